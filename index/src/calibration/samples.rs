//! What a measurement searches for, and random filters.

use std::borrow::Cow;
use std::ops::Range;

use super::MeasureRequest;
use crate::{Matrix, Metric, RowSet};

/// Samples drawn from the rows: enough that a recall of 0.95 is known to about 0.01 for k = 10.
const SAMPLES: usize = 512;

/// What is searched for.
pub(super) struct Samples<'a> {
    /// Q × dim, row after row.
    values: Cow<'a, [f32]>,
    pub(super) dim: usize,
    /// The rows that they are, where they are rows.
    pub(super) rows: Option<Vec<u32>>,
    /// The position of the first of them among all.
    pub(super) first: usize,
}

impl<'a> Samples<'a> {
    pub(super) fn of(request: &MeasureRequest<'a>) -> Samples<'a> {
        let dim = request.view.rows().dim();
        if let Some(queries) = request.queries {
            let is_zero = |query: usize| queries.row(query).iter().all(|x| *x == 0.0);
            let values = match request.view.facts().metric() {
                // Nothing is near to a vector without a direction.
                Metric::Cosine if (0..queries.rows()).any(is_zero) => {
                    let rows = (0..queries.rows()).filter(|query| !is_zero(*query));
                    rows.flat_map(|query| queries.row(query)).copied().collect::<Vec<_>>().into()
                }
                _ => queries.data().into(),
            };
            return Samples { values, dim, rows: None, first: 0 };
        }
        let count = request.present.count();
        let wanted = SAMPLES.min(count);
        // One of each stretch of rows, at a random place in it: rows that were inserted together are often alike.
        let mut random = Random(count as u64);
        let chosen: Vec<usize> = (0..wanted)
            .map(|i| {
                let (from, to) = (count * i / wanted, count * (i + 1) / wanted);
                from + (random.next() % (to - from).max(1) as u64) as usize
            })
            .collect();
        let mut rows = Vec::with_capacity(wanted);
        let mut next = chosen.iter().peekable();
        for (position, row) in request.present.iter().enumerate() {
            if next.next_if(|chosen| **chosen == position).is_some() {
                rows.push(row as u32);
            }
        }
        // Those of the front and of the back alike among the first ones, which are used alone with filters.
        for i in (1..rows.len()).rev() {
            rows.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let values: Vec<f32> = rows.iter().flat_map(|row| request.view.rows().row(*row as usize)).copied().collect();
        Samples { values: values.into(), dim, rows: Some(rows), first: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Some of them.
    pub(super) fn part(&self, range: Range<usize>) -> Samples<'_> {
        Samples {
            values: self.values[range.start * self.dim..range.end * self.dim].into(),
            dim: self.dim,
            rows: self.rows.as_ref().map(|rows| rows[range.clone()].to_vec()),
            first: self.first + range.start,
        }
    }

    /// Even parts, one per thread at most.
    fn parts(&self, threads: usize) -> Vec<Samples<'_>> {
        let threads = threads.clamp(1, self.count().max(1));
        (0..threads).map(|i| self.part(self.count() * i / threads..self.count() * (i + 1) / threads)).collect()
    }

    /// As a matrix; `None` if there is nothing to search for.
    pub(super) fn matrix(&self) -> Option<Matrix<'_>> {
        Matrix::new(&self.values, self.dim).ok().filter(|matrix| matrix.rows() > 0)
    }
}

/// Works on parts of the samples on several threads; `None` if one was cancelled.
pub(super) fn in_parallel<T: Send>(
    samples: &Samples<'_>,
    threads: usize,
    work: impl Fn(&Samples<'_>) -> Option<T> + Sync,
) -> Option<Vec<T>> {
    let parts = samples.parts(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = parts.iter().map(|part| scope.spawn(|| work(part))).collect();
        // A thread that panicked has nothing to give; neither has the whole.
        running.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    })
}

/// Some of the rows, each with the same probability, the same ones every time.
pub(super) fn random_filter(rows: &RowSet, share: f32, seed: u64) -> RowSet {
    let mut random = Random(seed);
    let limit = (f64::from(share) * u64::MAX as f64) as u64;
    let mut filter = RowSet::new_empty(rows.len());
    rows.iter().filter(|_| random.next() < limit).for_each(|row| filter.insert(row));
    filter
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): enough to choose samples
/// with, and the same on every machine.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
