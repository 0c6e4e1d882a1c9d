//! Exact distances of what a walk found.

use crate::{DistanceKernel, F32Kernel, Hit, Matrix, Metric, Residence, TopK};

/// How many distances are computed at a time.
const BLOCK: usize = 8;
/// Differences that have to be seen before they say anything of those to come.
const SEEN_MIN: usize = 16;
/// How many times the largest difference seen no row is expected to differ by.
const MARGIN: f32 = 3.0;

/// By how much the distances of codes differ from the exact ones, as far as was seen for one query, in one segment or in
/// several.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeError {
    largest: f32,
    seen: usize,
}

impl CodeError {
    /// Differences seen so far: exact distances computed.
    pub fn seen(&self) -> usize {
        self.seen
    }

    fn see(&mut self, code: f32, exact: f32) {
        self.largest = self.largest.max((code - exact).abs());
        self.seen += 1;
    }

    /// Whether a row with this distance by its code is farther than the limit.
    fn is_beyond(&self, code: f32, limit: f32) -> bool {
        self.seen >= SEEN_MIN && code - MARGIN * self.largest > limit
    }
}

/// What to compute anew.
#[derive(Clone, Copy)]
pub struct Rescore<'a> {
    /// The rows, in f32.
    pub rows: Matrix<'a>,
    /// The metric.
    pub metric: Metric,
    /// How many rows are wanted.
    pub k: usize,
    /// Whether every candidate exactly as far away as the k-th is kept too.
    pub ties: bool,
}

impl Rescore<'_> {
    /// The `k` nearest of the candidates by their exact f32 distance, nearest first, equal distances by ascending row.
    ///
    /// The distances have the bits that [`exact_search`](crate::exact_search) gives. Hits farther than `floor` are not kept
    /// (NaN and infinity: no limit), nor are candidates with an undefined distance. Candidates come as a walk gives them,
    /// nearest first by their codes: as soon as their codes are so much farther than the k-th that none of them can be
    /// nearer by three times the largest error seen, the rest is not computed.
    ///
    /// # Panics
    /// If a candidate's row does not exist, or the query has another dimension than the rows.
    pub fn run(&self, query: &[f32], candidates: &[Hit], floor: f32, error: &mut CodeError) -> Vec<Hit> {
        let kernel = F32Kernel::new(self.metric);
        let query = kernel.prepare(query);
        let mut top = TopK::new(self.k, floor, self.ties);
        let (mut ids, mut distances) = ([0; BLOCK], [0.0; BLOCK]);
        for (number, block) in candidates.chunks(BLOCK).enumerate() {
            // Rows of other segments may be shorter, and their codes nearer the truth: some of these have to be seen.
            if number > 0 && block.first().is_some_and(|nearest| error.is_beyond(nearest.distance, top.limit())) {
                break;
            }
            let (ids, distances) = (&mut ids[..block.len()], &mut distances[..block.len()]);
            ids.iter_mut().zip(block).for_each(|(id, hit)| *id = hit.row);
            kernel.gather(&query, self.rows, ids, Residence::Memory, distances);
            for (candidate, &distance) in block.iter().zip(distances.iter()) {
                error.see(candidate.distance, distance);
                // NaN is no hit, and is not greater than the limit either.
                if distance <= top.limit() {
                    top.offer(Hit { distance, row: candidate.row });
                }
            }
        }
        top.into_sorted()
    }
}

/// [`Rescore::run`] for one query on its own.
pub fn rescore(
    rows: Matrix<'_>,
    metric: Metric,
    query: &[f32],
    candidates: &[Hit],
    k: usize,
    ties: bool,
    floor: f32,
) -> Vec<Hit> {
    Rescore { rows, metric, k, ties }.run(query, candidates, floor, &mut CodeError::default())
}
