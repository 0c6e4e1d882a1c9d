//! Reading the sections of a file: numbers from bytes, wherever they lie.

use super::layout::{Header, NONE, Sections, link_stride, places};

/// A section of u32 numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a>(&'a [[u8; 4]]);

impl<'a> Numbers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn get(self, index: usize) -> u32 {
        u32::from_le_bytes(self.0[index])
    }

    #[inline]
    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + 'a {
        self.0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The part from `start` up to `end`.
    #[inline]
    pub(super) fn part(self, start: usize, end: usize) -> Self {
        Self(&self.0[start..end])
    }

    /// Where a number is in an ascending section.
    pub(super) fn find(self, number: u32) -> Option<usize> {
        self.0.binary_search_by_key(&number, |bytes| u32::from_le_bytes(*bytes)).ok()
    }

    /// The links of a list: what comes before the first unused place.
    #[inline]
    pub(super) fn links(self) -> impl Iterator<Item = u32> + 'a {
        self.iter().take_while(|&link| link != NONE)
    }
}

/// The graph of a file. Reads nothing out of bounds, but relies on validation for links that lead somewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Graph<'a> {
    pub(super) rows: usize,
    pub(super) entry: u32,
    pub(super) max_level: u32,
    m: usize,
    places: usize,
    stride: usize,
    links: &'a [u8],
    pub(super) nodes: &'a [[u8; 8]],
    pub(super) upper_rows: Numbers<'a>,
    pub(super) upper_first: Numbers<'a>,
    pub(super) upper_links: Numbers<'a>,
    pub(super) copied: Numbers<'a>,
    pub(super) copies_first: Numbers<'a>,
    pub(super) copies: Numbers<'a>,
}

impl<'a> Graph<'a> {
    /// The graph in a file that has these sections.
    pub(super) fn new(bytes: &'a [u8], header: &Header, sections: &Sections) -> Self {
        let numbers = |section: &std::ops::Range<usize>| Numbers::new(&bytes[section.clone()]);
        Self {
            rows: header.codes.rows(),
            entry: header.entry,
            max_level: header.max_level,
            m: usize::from(header.m),
            places: places(header.m),
            stride: link_stride(header.m),
            links: &bytes[sections.links.clone()],
            nodes: bytes[sections.nodes.clone()].as_chunks().0,
            upper_rows: numbers(&sections.upper_rows),
            upper_first: numbers(&sections.upper_first),
            upper_links: numbers(&sections.upper_links),
            copied: numbers(&sections.copied),
            copies_first: numbers(&sections.copies_first),
            copies: numbers(&sections.copies),
        }
    }

    /// The most links that any list has.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// The places for a row's links on the lowest level.
    #[inline]
    pub(super) fn lowest(&self, row: usize) -> Numbers<'a> {
        let start = row * self.stride;
        Numbers::new(&self.links[start..start + self.places * size_of::<u32>()])
    }

    /// Asks the processor to fetch a row's links of the lowest level.
    #[inline]
    pub(super) fn prefetch_lowest(&self, row: usize) {
        let start = self.links.as_ptr().wrapping_add(row.wrapping_mul(self.stride));
        for line in (0..self.stride).step_by(super::layout::ALIGNMENT) {
            crate::kernel::prefetch::line(start.wrapping_add(line));
        }
    }

    /// How many upper levels the upper node has.
    pub(super) fn levels(&self, upper: usize) -> u32 {
        self.upper_first.get(upper + 1).wrapping_sub(self.upper_first.get(upper))
    }

    /// The places for an upper node's links on a level from 1 up to its highest.
    pub(super) fn upper(&self, upper: usize, level: u32) -> Numbers<'a> {
        let list = self.upper_first.get(upper) as usize + level as usize - 1;
        self.upper_links.part(list * self.m, (list + 1) * self.m)
    }

    /// Whether the row has a node.
    #[inline]
    pub(super) fn is_node(&self, row: u32) -> bool {
        let word = self.nodes.get(row as usize / 64).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        word >> (row % 64) & 1 == 1
    }

    /// The rows with the same code as the row's node.
    #[inline]
    pub(super) fn copies_of(&self, row: u32) -> Numbers<'a> {
        match self.copied.find(row) {
            None => Numbers(&[]),
            Some(group) => self.copies_of_group(group),
        }
    }

    /// The copies of the group with this index.
    pub(super) fn copies_of_group(&self, group: usize) -> Numbers<'a> {
        self.copies.part(self.copies_first.get(group) as usize, self.copies_first.get(group + 1) as usize)
    }
}
