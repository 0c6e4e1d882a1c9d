//! The links of one level while they are being made.

use crate::{
    hnsw::layout::{ALIGNMENT, NONE, link_stride, places},
    kernel::prefetch,
};

/// Lists of links, one after another.
pub(super) struct Links<'a> {
    bytes: &'a mut [u8],
    stride: usize,
    places: usize,
}

impl<'a> Links<'a> {
    /// The lowest level's, one list a row, where they will stay in the file: over its section, with no links in it yet.
    pub(super) fn new(bytes: &'a mut [u8], m: u16) -> Self {
        bytes.fill(NONE.to_le_bytes()[0]);
        Self { bytes, stride: link_stride(m), places: places(m) }
    }

    /// An upper level's, which there is a list of m places of each node for, with no links in them yet.
    pub(super) fn new_upper(bytes: &'a mut [u8], m: usize) -> Self {
        bytes.fill(NONE.to_le_bytes()[0]);
        Self { bytes, stride: m * size_of::<u32>(), places: m }
    }

    /// The same for a while.
    pub(super) fn reborrow(&mut self) -> Links<'_> {
        Links { bytes: self.bytes, ..*self }
    }

    /// The lists before `at`, and the others, of which that is the first.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        let Self { bytes, stride, places } = self;
        let (front, back) = bytes.split_at_mut(at * stride);
        (Self { bytes: front, stride, places }, Self { bytes: back, stride, places })
    }

    /// How many links a list has room for.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// The rows that a list links to.
    #[inline]
    pub(super) fn of(&self, list: u32) -> impl Iterator<Item = u32> + '_ {
        let start = list as usize * self.stride;
        let places = self.bytes[start..].as_chunks().0.iter().take(self.places);
        places.map(|place| u32::from_le_bytes(*place)).take_while(|&link| link != NONE)
    }

    /// Whether a list has room for one more link.
    pub(super) fn has_room(&self, list: u32) -> bool {
        self.of(list).count() < self.places
    }

    /// Adds links to a list, as many as there is room for.
    pub(super) fn add(&mut self, list: u32, links: impl IntoIterator<Item = u32>) {
        let used = self.of(list).count();
        self.places_of(list).skip(used).zip(links).for_each(|(place, link)| *place = link.to_le_bytes());
    }

    /// Replaces the links of a list by others, as many as there is room for.
    pub(super) fn replace(&mut self, list: u32, links: impl IntoIterator<Item = u32>) {
        let links = links.into_iter().chain(std::iter::repeat(NONE));
        self.places_of(list).zip(links).for_each(|(place, link)| *place = link.to_le_bytes());
    }

    fn places_of(&mut self, list: u32) -> impl Iterator<Item = &mut [u8; size_of::<u32>()]> {
        let start = list as usize * self.stride;
        self.bytes[start..].as_chunks_mut().0.iter_mut().take(self.places)
    }

    /// Asks the processor to fetch a list.
    #[inline]
    pub(super) fn prefetch(&self, list: u32) {
        let start = self.bytes.as_ptr().wrapping_add(list as usize * self.stride);
        (0..self.stride).step_by(ALIGNMENT).for_each(|line| prefetch::line(start.wrapping_add(line)));
    }
}
