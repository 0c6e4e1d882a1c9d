//! The links of the lowest level while they are being made.

use crate::hnsw::layout::{NONE, link_stride, places};

/// The places for the links of every row, where they will stay in the file.
pub(super) struct Links<'a> {
    bytes: &'a mut [u8],
    m: u16,
}

impl<'a> Links<'a> {
    /// Over the section of a file, with no links in it yet.
    pub(super) fn new(bytes: &'a mut [u8], m: u16) -> Self {
        bytes.fill(NONE.to_le_bytes()[0]);
        Self { bytes, m }
    }

    /// The rows that a row links to.
    pub(super) fn of(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        let start = row as usize * link_stride(self.m);
        let list = self.bytes[start..].as_chunks().0.iter().take(places(self.m));
        list.map(|place| u32::from_le_bytes(*place)).take_while(|&link| link != NONE)
    }

    /// Whether a row has room for one more link.
    pub(super) fn has_room(&self, row: u32) -> bool {
        self.of(row).count() < places(self.m)
    }

    /// Adds links to a row, as many as there is room for.
    pub(super) fn add(&mut self, row: u32, links: impl IntoIterator<Item = u32>) {
        let (start, used) = (row as usize * link_stride(self.m), self.of(row).count());
        let list = self.bytes[start..].as_chunks_mut().0.iter_mut().take(places(self.m));
        list.skip(used).zip(links).for_each(|(place, link)| *place = link.to_le_bytes());
    }
}
