//! Walks the blocks: every block against every query.

use super::{
    ExactRequest, ExactResult,
    blocks::{Block, Blocks},
};
use crate::{DistanceKernel, Hit, Residence, TopK};

/// How many bytes of rows a block of a batch has: with room to spare in a first-level cache of 32 KiB.
const BATCH_BLOCK_BYTES: usize = 16 << 10;

/// How many bytes of rows a block of a single query has: enough to make the work between blocks vanish.
const SINGLE_BLOCK_BYTES: usize = 256 << 10;

/// The most rows of a block, however short they are.
const BLOCK_ROWS: usize = 2048;

/// The rows that kernels compute together: blocks are whole multiples.
const GROUP_ROWS: usize = 4;

/// How many bytes of queries are taken at a time: half of a small second-level cache.
const QUERY_BYTES: usize = 256 << 10;
/// Queries compared with one block before the next, at most.
const QUERIES_AT_A_TIME_MAX: usize = 512;
/// Queries that are handed to the kernel together, at most.
const QUERIES_TOGETHER_MAX: usize = 16;

/// How many bytes of rows are compared between two polls of `cancel`: about a millisecond's worth when they come from
/// memory, less when they come from a cache.
const POLL_BYTES: usize = 8 << 20;

/// The search itself.
pub(super) fn scan<K: DistanceKernel>(kernel: &K, request: &ExactRequest<'_>, rows: K::Rows<'_>) -> ExactResult {
    let count = request.queries.rows();
    let prepared: Vec<K::Query<'_>> = (0..count).map(|query| kernel.prepare(request.queries.row(query))).collect();
    let fits = prepared.iter().all(|query| kernel.fits(query, rows));
    debug_assert!(fits, "the queries and the rows differ in dimension");
    let floor = |query: usize| request.floor.and_then(|floor| floor.get(query)).copied().unwrap_or(f32::INFINITY);
    let mut best: Vec<Best> = (0..count).map(|query| Best::new(request, floor(query))).collect();
    let mut pass =
        Pass { kernel, rows, request, out: Vec::new(), unpolled: POLL_BYTES, distances: 0, cancelled: false };
    if fits && request.k > 0 {
        let fitting = QUERY_BYTES / (request.queries.dim() * size_of::<f32>());
        // Bounded, so that a batch of many short queries is still asked often enough whether to stop.
        let at_a_time = fitting.clamp(GROUP_ROWS, QUERIES_AT_A_TIME_MAX);
        for (queries, best) in prepared.chunks(at_a_time).zip(best.chunks_mut(at_a_time)) {
            pass.run(queries, best);
        }
    }
    let undefined = best.iter().map(|best| best.undefined).collect();
    let hits = best.into_iter().map(|best| best.top.into_sorted()).collect();
    ExactResult { hits, undefined, distances: pass.distances, cancelled: pass.cancelled }
}

/// What one query has so far.
struct Best {
    top: TopK,
    undefined: u64,
}

impl Best {
    fn new(request: &ExactRequest<'_>, floor: f32) -> Self {
        Self { top: TopK::new(request.k, floor, request.ties), undefined: 0 }
    }

    /// Takes in the distances of a block.
    fn offer(&mut self, distances: &[f32], block: &Block) {
        let mut limit = self.top.limit();
        for (index, &distance) in distances.iter().enumerate() {
            // The usual case, in one comparison: too far. NaN is not, and is looked at below.
            if distance > limit {
                continue;
            }
            if distance.is_nan() {
                self.undefined += 1;
            } else {
                self.top.offer(Hit { distance, row: block.row(index) });
                limit = self.top.limit();
            }
        }
    }
}

/// Passes over the rows, and what they add up to.
struct Pass<'a, 'r, K: DistanceKernel> {
    kernel: &'a K,
    rows: K::Rows<'r>,
    request: &'a ExactRequest<'a>,
    /// Distances of one block to some queries, one query after another.
    out: Vec<f32>,
    /// Bytes compared since `cancel` was polled.
    unpolled: usize,
    distances: u64,
    cancelled: bool,
}

impl<K: DistanceKernel> Pass<'_, '_, K> {
    /// Compares all allowed rows with some queries.
    fn run(&mut self, queries: &[K::Query<'_>], best: &mut [Best]) {
        let row_bytes = self.kernel.row_bytes(self.rows);
        let block_bytes = if queries.len() == 1 { SINGLE_BLOCK_BYTES } else { BATCH_BLOCK_BYTES };
        let size = (block_bytes / row_bytes / GROUP_ROWS * GROUP_ROWS).clamp(GROUP_ROWS, BLOCK_ROWS);
        let mut blocks = Blocks::new(self.kernel.rows(self.rows), self.request.filter, size).peekable();
        while let Some(block) = blocks.next() {
            self.poll();
            if self.cancelled {
                return;
            }
            let next = if queries.len() > 1 { blocks.peek() } else { None };
            self.compare(&block, next, queries, best);
            self.distances += (block.len() * queries.len()) as u64;
            self.unpolled += block.len() * row_bytes * queries.len();
        }
    }

    /// Compares one block with the queries, fetching the next block meanwhile: some of its rows along with some queries, so
    /// that fetching overlaps with computing.
    fn compare(&mut self, block: &Block, next: Option<&Block>, queries: &[K::Query<'_>], best: &mut [Best]) {
        let residence = if queries.len() == 1 { Residence::Memory } else { Residence::Cache };
        // The kernel works faster on several queries; but a few wait for memory, for which fetching little at a time is best.
        let together = match queries.len() {
            0..16 => 1,
            many => (many / 2).next_multiple_of(GROUP_ROWS).min(QUERIES_TOGETHER_MAX),
        };
        let parts = queries.len().div_ceil(together);
        let rows = self.rows;
        self.out.resize(block.len() * together, 0.0);
        for (part, (queries, best)) in queries.chunks(together).zip(best.chunks_mut(together)).enumerate() {
            if let Some(next) = next {
                for index in (part..next.len()).step_by(parts) {
                    self.kernel.prefetch(rows, next.row(index) as usize);
                }
            }
            block.distances(self.kernel, queries, rows, residence, &mut self.out);
            for (number, best) in best.iter_mut().enumerate() {
                best.offer(&self.out[number * block.len()..][..block.len()], block);
            }
        }
    }

    /// Asks whether to stop, if it is time to.
    fn poll(&mut self) {
        if self.unpolled >= POLL_BYTES {
            self.unpolled = 0;
            self.cancelled = self.cancelled || self.request.cancel.is_some_and(|cancel| cancel());
        }
    }
}
