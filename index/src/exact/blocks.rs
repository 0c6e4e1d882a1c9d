//! Cuts the allowed rows of a matrix into blocks, ascending.

use std::ops::Range;

use crate::{DistanceKernel, Residence, RowSet, row_set::Ranges};

/// Some rows to compute together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Neighbours.
    Range(Range<usize>),
    /// Scattered rows, ascending.
    Ids(Vec<u32>),
}

impl Block {
    pub(super) fn len(&self) -> usize {
        match self {
            Block::Range(range) => range.len(),
            Block::Ids(ids) => ids.len(),
        }
    }

    /// The number of the block's `index`-th row. Rows fit 32 bits, as every encoding promises.
    pub(super) fn row(&self, index: usize) -> u32 {
        match self {
            Block::Range(range) => (range.start + index) as u32,
            Block::Ids(ids) => ids[index],
        }
    }

    /// The distances from the queries to the block's rows, one query after another.
    pub(super) fn distances<K: DistanceKernel>(
        &self,
        kernel: &K,
        queries: &[K::Query<'_>],
        rows: K::Rows<'_>,
        residence: Residence,
        out: &mut [f32],
    ) {
        match (self, queries) {
            (Block::Range(range), [query]) => kernel.range(query, rows, range.clone(), residence, out),
            (Block::Range(range), queries) => kernel.ranges(queries, rows, range.clone(), out),
            (Block::Ids(ids), queries) => {
                for (query, out) in queries.iter().zip(out.chunks_mut(ids.len())) {
                    kernel.gather(query, rows, ids, residence, out);
                }
            }
        }
    }
}

/// The blocks of at most `size` rows that cover the allowed rows.
///
/// A run of allowed neighbours that fills a block becomes a [`Block::Range`]; shorter runs are gathered together.
pub(super) struct Blocks<'a> {
    runs: Runs<'a>,
    size: usize,
    /// What is left of the run in hand.
    run: Range<usize>,
}

/// Where the runs of allowed rows come from.
enum Runs<'a> {
    /// No filter: the one run in hand from the start is all.
    None,
    /// The runs of a filter, which may be longer than the matrix.
    Filter(Ranges<'a>, usize),
}

impl Runs<'_> {
    fn next(&mut self) -> Range<usize> {
        match self {
            Runs::None => 0..0,
            Runs::Filter(ranges, rows) => ranges.next().map_or(0..0, |run| run.start..run.end.min(*rows)),
        }
    }
}

impl<'a> Blocks<'a> {
    pub(super) fn new(rows: usize, filter: Option<&'a RowSet>, size: usize) -> Self {
        match filter {
            None => Self { runs: Runs::None, size, run: 0..rows },
            Some(filter) => Self { runs: Runs::Filter(filter.iter_ranges(), rows), size, run: 0..0 },
        }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut ids = Vec::new();
        loop {
            if self.run.is_empty() {
                self.run = self.runs.next();
            }
            if self.run.is_empty() {
                return (!ids.is_empty()).then_some(Block::Ids(ids));
            }
            let fills_block = self.run.len() >= self.size || matches!(self.runs, Runs::None);
            if fills_block && ids.is_empty() {
                let end = self.run.end.min(self.run.start + self.size);
                let block = self.run.start..end;
                self.run.start = end;
                return Some(Block::Range(block));
            }
            if fills_block || ids.len() == self.size {
                return Some(Block::Ids(ids));
            }
            let end = self.run.end.min(self.run.start + self.size - ids.len());
            ids.extend(self.run.start as u32..end as u32);
            self.run.start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cover_the_allowed_rows_once_and_in_order(
            runs in prop::collection::vec((any::<bool>(), 1usize..40), 0..20),
            rows in 0usize..400,
            size in 1usize..33,
            filtered: bool,
        ) {
            let mut filter = RowSet::new_empty(runs.iter().map(|run| run.1).sum());
            let mut start = 0;
            for (allowed, length) in runs {
                if allowed {
                    filter.insert_range(start..start + length);
                }
                start += length;
            }
            let allowed: Vec<usize> = (0..rows).filter(|&row| !filtered || filter.contains(row)).collect();
            let blocks: Vec<Block> = Blocks::new(rows, filtered.then_some(&filter), size).collect();
            prop_assert!(blocks.iter().all(|block| (1..=size).contains(&block.len())));
            let covered: Vec<usize> =
                blocks.iter().flat_map(|block| (0..block.len()).map(|i| block.row(i) as usize)).collect();
            prop_assert_eq!(covered, allowed);
            prop_assert!(filtered || blocks.iter().all(|block| matches!(block, Block::Range(_))));
        }
    }
}
