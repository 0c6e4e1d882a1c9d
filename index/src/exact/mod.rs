//! Exact search: the top-k of a batch of queries by looking at every allowed row.
//!
//! The rows are walked once, in blocks; each block is compared with every query while it lies in the cache. A single
//! query is bound by memory bandwidth, which large blocks in order make the most of. A batch is bound by arithmetic: its
//! blocks are small enough for the first-level cache, its queries are taken as many at a time as stay in the second, and
//! while a block is worked on the next one is fetched. Rows that the filter forbids are never touched, neither in a
//! sparse set (rows are gathered) nor in a dense one (whole runs are scanned as they lie).
//!
//! `blocks.rs` cuts the allowed rows into blocks, `scan.rs` walks them.

mod blocks;
mod scan;

use crate::{DistanceKernel, F32Kernel, Hit, Matrix, Metric, RowSet};

/// What to search for. Queries are Q × dim.
#[derive(Clone, Copy)]
pub struct ExactRequest<'a> {
    /// The query vectors, one a row.
    pub queries: Matrix<'a>,
    /// How distance is measured.
    pub metric: Metric,
    /// How many hits each query wants at most; may be zero or more than there are rows.
    pub k: usize,
    /// The rows that may be hits; `None` allows all. Rows past the set's length are not allowed.
    pub filter: Option<&'a RowSet>,
    /// Per query, the distance beyond which hits are not wanted (one exactly that far away is). `None`, NaN and a missing
    /// element mean no limit.
    pub floor: Option<&'a [f32]>,
    /// Whether to also keep every row exactly as far away as the k-th, for a caller that breaks ties by other columns.
    pub ties: bool,
    /// Polled about once per millisecond of work; the search stops early once it returns true.
    pub cancel: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// What was found. The vectors have one element per query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExactResult {
    /// The hits of each query, nearest first, equal distances by ascending row. More than k only with ties.
    pub hits: Vec<Vec<Hit>>,
    /// How many allowed rows have no defined distance from each query (cosine of a zero vector). They are no hits. Not
    /// counted where nothing was computed (k = 0).
    pub undefined: Vec<u64>,
    /// How many distances were computed.
    pub distances: u64,
    /// Whether the search was cancelled; hits are then those of the rows seen so far.
    pub cancelled: bool,
}

/// The exact top-k of every query over f32 rows.
///
/// The queries must have the dimension of the rows, which is the caller's to check: where they do not, there are no hits.
pub fn exact_search(request: &ExactRequest<'_>, rows: Matrix<'_>) -> ExactResult {
    exact_search_with(&F32Kernel::new(request.metric), request, rows)
}

/// [`exact_search`] over rows of any encoding, by the kernel for it. The kernel's metric must be the request's.
pub fn exact_search_with<K: DistanceKernel>(kernel: &K, request: &ExactRequest<'_>, rows: K::Rows<'_>) -> ExactResult {
    debug_assert_eq!(kernel.metric(), request.metric, "the kernel is one of another metric");
    scan::scan(kernel, request, rows)
}

#[cfg(test)]
mod tests;
