//! The file while it is being built.

use super::{copies::Grouped, tower::Tower};
use crate::hnsw::{
    BuildError,
    layout::{HEADER_BYTES, Header, NONE, Sections},
};

/// A file whose codes and lowest level, nearly all of it, are built where they will stay; the rest is appended.
pub(super) struct Draft {
    header: Header,
    sections: Sections,
    file: Vec<u8>,
}

impl Draft {
    /// A file for a header that does not count nodes yet.
    pub(super) fn new(header: Header) -> Result<Self, BuildError> {
        let sections = header.sections().ok_or(BuildError::OutOfMemory { bytes: u64::MAX })?;
        let mut file = Vec::new();
        reserve(&mut file, &sections)?;
        file.resize(sections.links.end, 0);
        Ok(Self { header, sections, file })
    }

    /// The sections of the codes and of the links.
    pub(super) fn codes_and_links(&mut self) -> (&mut [u8], &mut [u8]) {
        let (front, links) = self.file.split_at_mut(self.sections.links.start);
        (&mut front[self.sections.codes.clone()], links)
    }

    /// The whole file.
    pub(super) fn finish(mut self, tower: &Tower, grouped: &Grouped) -> Result<Vec<u8>, BuildError> {
        let upper_rows: Vec<u32> = tower.upper.iter().map(|&(row, _)| row).collect();
        let groups = || grouped.copies.chunk_by(|a, b| a.0 == b.0);
        self.header.nodes = grouped.nodes.len() as u32;
        self.header.entry = tower.entry;
        self.header.max_level = tower.max_level;
        self.header.upper_nodes = upper_rows.len() as u32;
        self.header.upper_lists = (tower.lists.len() / usize::from(self.header.m)) as u32;
        self.header.copied = groups().count() as u32;
        self.header.copies = grouped.copies.len() as u32;
        let sections = self.header.sections().ok_or(BuildError::OutOfMemory { bytes: u64::MAX })?;
        reserve(&mut self.file, &sections)?;
        self.file[..HEADER_BYTES].copy_from_slice(&self.header.write());
        let mut nodes = vec![0u64; self.header.codes.rows().div_ceil(64)];
        grouped.nodes.iter().for_each(|&node| nodes[node as usize / 64] |= 1 << (node % 64));
        self.append(sections.nodes.start, nodes.into_iter().flat_map(u64::to_le_bytes));
        let index_of = |row: u32| upper_rows.binary_search(&row).map_or(NONE, |index| index as u32);
        let lists = tower.lists.iter().map(|&row| index_of(row));
        self.append_numbers(sections.upper_rows.start, upper_rows.iter().copied());
        self.append_numbers(sections.upper_first.start, firsts(tower.upper.iter().map(|&(_, levels)| levels)));
        self.append_numbers(sections.upper_links.start, lists);
        self.append_numbers(sections.copied.start, groups().map(|group| group[0].0));
        self.append_numbers(sections.copies_first.start, firsts(groups().map(|group| group.len() as u32)));
        self.append_numbers(sections.copies.start, grouped.copies.iter().map(|&(_, copy)| copy));
        debug_assert_eq!(self.file.len(), sections.len);
        Ok(self.file)
    }

    /// Appends a section of numbers.
    fn append_numbers(&mut self, start: usize, numbers: impl IntoIterator<Item = u32>) {
        self.append(start, numbers.into_iter().flat_map(u32::to_le_bytes));
    }

    /// Appends a section that starts at `start`, after a gap of zeros.
    fn append(&mut self, start: usize, bytes: impl IntoIterator<Item = u8>) {
        self.file.resize(start, 0);
        self.file.extend(bytes);
    }
}

/// Makes room for the sections.
fn reserve(file: &mut Vec<u8>, sections: &Sections) -> Result<(), BuildError> {
    let more = sections.len.saturating_sub(file.len());
    file.try_reserve_exact(more).map_err(|_| BuildError::OutOfMemory { bytes: sections.len as u64 })
}

/// Where each group starts if groups of these sizes lie one after another, and where the last one ends.
fn firsts(sizes: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    std::iter::once(0).chain(sizes.scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    }))
}
