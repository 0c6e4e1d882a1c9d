//! What a walk keeps: the nearest rows found so far, and which of them are still to be expanded.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::key::Key;
use crate::{RowSet, hnsw::graph::Graph};

/// What a walk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hnsw) enum Next {
    /// Look at the links of this node.
    Expand(Key),
    /// Stop: whatever could still be expanded is farther than everything kept.
    Done,
    /// There is room left but nothing to expand.
    Dry,
}

/// The nearest of the nodes offered, and an order in which to expand them.
pub(in crate::hnsw) trait Beam {
    /// Nodes that are not nearer than this need not be offered.
    fn limit(&self) -> Key;

    /// Takes a node that has not been offered before.
    fn offer(&mut self, node: Key);

    /// The nearest node that has not been expanded.
    fn next(&mut self) -> Next;

    /// The node that would come after the last one, as far as is known; a hint for fetching.
    fn peek(&self) -> Option<Key>;
}

/// A beam for walks in which every node counts: one sorted array, which is faster than heaps while it is short.
///
/// A node that falls off the end can be forgotten also as a candidate, because it is farther than all that is kept.
#[derive(Debug, Default)]
pub(in crate::hnsw) struct Pool {
    entries: Vec<Entry>,
    size: usize,
    /// No entry before this one is open.
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: Key,
    /// Not yet expanded.
    open: bool,
}

impl Pool {
    /// Empties the pool; it will keep `size` nodes.
    pub(in crate::hnsw) fn reset(&mut self, size: usize) {
        self.entries.clear();
        self.entries.reserve(size + 1);
        self.size = size;
        self.next = 0;
    }

    /// The nodes kept, nearest first.
    pub(in crate::hnsw) fn kept(&self) -> impl Iterator<Item = Key> + '_ {
        self.entries.iter().map(|entry| entry.key)
    }
}

impl Beam for Pool {
    #[inline]
    fn limit(&self) -> Key {
        if self.entries.len() < self.size {
            Key::FARTHEST
        } else {
            self.entries.last().map_or(Key::FARTHEST, |last| last.key)
        }
    }

    #[inline]
    fn offer(&mut self, node: Key) {
        if self.entries.len() == self.size {
            if self.limit() <= node {
                return;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|entry| entry.key < node);
        self.entries.insert(at, Entry { key: node, open: true });
        self.next = self.next.min(at);
    }

    #[inline]
    fn next(&mut self) -> Next {
        while let Some(entry) = self.entries.get_mut(self.next) {
            self.next += 1;
            if entry.open {
                entry.open = false;
                return Next::Expand(entry.key);
            }
        }
        if self.entries.len() < self.size { Next::Dry } else { Next::Done }
    }

    #[inline]
    fn peek(&self) -> Option<Key> {
        self.entries[self.next..].iter().find(|entry| entry.open).map(|entry| entry.key)
    }
}

/// A beam for walks in which only some rows count: nodes lead the way whether their rows are allowed or not, so what is
/// still to be expanded is not among what is kept.
#[derive(Debug, Default)]
pub(in crate::hnsw) struct Heaps {
    open: BinaryHeap<Reverse<Key>>,
    kept: BinaryHeap<Key>,
}

impl Heaps {
    /// Empties both heaps.
    pub(in crate::hnsw) fn reset(&mut self) {
        self.open.clear();
        self.kept.clear();
    }

    /// The rows kept, nearest first. Leaves nothing behind.
    pub(in crate::hnsw) fn take_kept(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.kept).into_sorted_vec()
    }
}

/// [`Heaps`] for one query: which rows count.
#[derive(Debug)]
pub(in crate::hnsw) struct Filtered<'a> {
    pub(in crate::hnsw) heaps: &'a mut Heaps,
    pub(in crate::hnsw) size: usize,
    pub(in crate::hnsw) graph: Graph<'a>,
    /// The rows that count; `None` is all.
    pub(in crate::hnsw) allowed: Option<&'a RowSet>,
    /// A row that does not count whatever the filter says.
    pub(in crate::hnsw) skip: Option<u32>,
    /// How often the filter was asked.
    pub(in crate::hnsw) tests: u64,
}

impl Filtered<'_> {
    /// Keeps the row if it counts and is near enough.
    fn keep(&mut self, row: Key) {
        if row >= self.limit() || self.skip == Some(row.row()) {
            return;
        }
        if let Some(allowed) = self.allowed {
            self.tests += 1;
            if !allowed.contains(row.row() as usize) {
                return;
            }
        }
        if self.heaps.kept.len() == self.size {
            self.heaps.kept.pop();
        }
        self.heaps.kept.push(row);
    }
}

impl Beam for Filtered<'_> {
    #[inline]
    fn limit(&self) -> Key {
        if self.heaps.kept.len() < self.size {
            Key::FARTHEST
        } else {
            self.heaps.kept.peek().copied().unwrap_or(Key::FARTHEST)
        }
    }

    fn offer(&mut self, node: Key) {
        if node >= self.limit() {
            return;
        }
        self.heaps.open.push(Reverse(node));
        self.keep(node);
        if self.graph.copied.len() > 0 {
            for copy in self.graph.copies_of(node.row()).iter() {
                self.keep(node.with_row(copy));
            }
        }
    }

    fn next(&mut self) -> Next {
        match self.heaps.open.pop() {
            Some(Reverse(node)) if node > self.limit() => Next::Done,
            Some(Reverse(node)) => Next::Expand(node),
            None if self.heaps.kept.len() < self.size => Next::Dry,
            None => Next::Done,
        }
    }

    fn peek(&self) -> Option<Key> {
        self.heaps.open.peek().map(|node| node.0)
    }
}
