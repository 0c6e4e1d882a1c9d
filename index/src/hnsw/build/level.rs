//! One level of the graph while it grows.

use super::links::Links;

/// Nodes and their links on one level. Links are row numbers on all levels.
pub(super) struct Level<'a> {
    /// The rows that are on it, ascending; `None` for the lowest, where all nodes are.
    pub(super) rows: Option<Vec<u32>>,
    pub(super) links: Links<'a>,
}

/// A link that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NewLink {
    /// The number of the list that it belongs in.
    pub(super) list: u32,
    /// The row that it leads to.
    pub(super) to: u32,
}

impl Level<'_> {
    /// The rows that are on an upper level, ascending.
    pub(super) fn rows(&self) -> &[u32] {
        self.rows.as_deref().unwrap_or_default()
    }

    /// The number of a row's list.
    #[inline]
    pub(super) fn list(&self, row: u32) -> u32 {
        self.rows.as_ref().map_or(row, |rows| rows.partition_point(|&other| other < row) as u32)
    }

    /// The rows that a row links to.
    #[inline]
    pub(super) fn links_of(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        self.links.of(self.list(row))
    }

    /// Asks the processor to fetch a row's links, where that takes no search for them.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        if self.rows.is_none() {
            self.links.prefetch(row);
        }
    }

    /// The links between two rows, there and back.
    pub(super) fn between(&self, a: u32, b: u32) -> [NewLink; 2] {
        [NewLink { list: self.list(a), to: b }, NewLink { list: self.list(b), to: a }]
    }

    /// Cuts new links, which are ascending, into parts of about so many, each along with the lists that it changes.
    pub(super) fn parts<'l>(&'l mut self, mut new: &'l [NewLink], size: usize) -> Vec<Part<'l>> {
        let rows = self.rows.as_deref();
        let mut parts = Vec::with_capacity(new.len() / size + 1);
        let (mut rest, mut first) = (self.links.reborrow(), 0);
        while let Some(last) = new.get(..size).unwrap_or(new).last() {
            let (of_part, later) = new.split_at(new.partition_point(|link| link.list <= last.list));
            let (links, others) = rest.split_at((last.list + 1 - first) as usize);
            parts.push(Part { new: of_part, first, links, rows });
            (rest, first, new) = (others, last.list + 1, later);
        }
        parts
    }
}

/// Some new links, and lists of one level that no other part has.
pub(super) struct Part<'a> {
    /// Ascending.
    pub(super) new: &'a [NewLink],
    /// The number of the first list.
    pub(super) first: u32,
    pub(super) links: Links<'a>,
    pub(super) rows: Option<&'a [u32]>,
}

impl Part<'_> {
    /// The row that a list belongs to.
    pub(super) fn row(&self, list: u32) -> u32 {
        self.rows.and_then(|rows| rows.get(list as usize)).copied().unwrap_or(list)
    }
}
