//! Searching: walks a batch of queries through a file's graph.

mod beam;
mod key;
mod visited;
mod walk;

pub use self::walk::Scratch;
use self::walk::{Cancel, Walker};
pub(super) use self::{
    beam::{Beam, Next, Pool},
    key::Key,
    visited::Visited,
};
use super::HnswView;
use crate::{DistanceKernel, Hit, Matrix, RowSet, WithKernel};

/// What a filter does to a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilterMode {
    /// The walk goes on until `ef` allowed rows are found; the others only lead the way.
    #[default]
    In,
    /// The walk ignores the filter, which is then asked about the `ef` rows that were found.
    Post,
}

/// How to walk. `Walk { k, ef, ..Walk::default() }` is an unfiltered walk without limits.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// How many hits each query wants at most.
    pub k: usize,
    /// How many hits the walk looks for: the effort. At least `k` is used.
    pub ef: usize,
    /// The rows that may be hits; `None` allows all. Rows past the set's length are not allowed.
    pub allowed: Option<&'a RowSet>,
    /// What `allowed` does to the walk.
    pub mode: FilterMode,
    /// How many distances each query may compute; it ends a little above. `None` is no limit.
    pub budget: Option<u64>,
    /// Per query, the navigation distance beyond which hits are not wanted (one exactly that far away is). `None`, NaN and
    /// a missing element mean no limit.
    pub floor: Option<&'a [f32]>,
    /// Per query, a row that is treated as if it were not there: no hit, and, unless it has copies or is where the walk
    /// begins, not on the way either.
    pub skip: Option<&'a [u32]>,
    /// Polled about once per millisecond of work; the walk ends early once it returns true.
    pub cancel: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl Default for Walk<'_> {
    fn default() -> Self {
        Self { k: 10, ef: 64, allowed: None, mode: FilterMode::In, budget: None, floor: None, skip: None, cancel: None }
    }
}

/// What one query found, and what that took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walked {
    /// The hits, nearest first, equal distances by ascending row. Distances are those of the codes, which
    /// [`rescore`](super::rescore) replaces by exact ones.
    pub hits: Vec<Hit>,
    /// How many distances were computed.
    pub distances: u64,
    /// How many rows the filter was asked about.
    pub filter_tests: u64,
    /// How many nodes of the lowest level had their links looked at.
    pub hops: u64,
    /// Whether the budget ended the walk.
    pub exhausted: bool,
    /// Whether `cancel` ended the walk, or it was not begun because of that.
    pub cancelled: bool,
}

/// Walks the graph once for each query. The results are the same for the same file, query and walk.
///
/// Takes no locks; memory comes from `scratch`, all but the hits themselves.
///
/// # Panics
/// If the queries do not have the dimension of the rows.
pub fn search(view: &HnswView<'_>, queries: Matrix<'_>, walk: &Walk<'_>, scratch: &mut Scratch) -> Vec<Walked> {
    assert_eq!(queries.dim(), view.rows().dim(), "the queries and the rows differ in dimension");
    view.codes().dispatch(Batch { view, queries, walk, scratch })
}

/// A batch of queries, to be compiled for each encoding.
struct Batch<'a> {
    view: &'a HnswView<'a>,
    queries: Matrix<'a>,
    walk: &'a Walk<'a>,
    scratch: &'a mut Scratch,
}

impl WithKernel for Batch<'_> {
    type Output = Vec<Walked>;

    fn run<K: DistanceKernel>(self, kernel: &K, rows: K::Rows<'_>) -> Vec<Walked> {
        let Self { view, queries, walk, scratch } = self;
        let (graph, upper_entry) = (view.graph(), view.facts().facts().upper_entry);
        let mut all = Vec::with_capacity(queries.rows());
        let mut cancel = Cancel::new(walk.cancel);
        for number in 0..queries.rows() {
            let query = kernel.prepare(queries.row(number));
            let floor = walk.floor.and_then(|floor| floor.get(number)).copied().unwrap_or(f32::NAN);
            let skip = walk.skip.and_then(|skip| skip.get(number)).copied();
            let found = Walked::default();
            let cancel = &mut cancel;
            all.push(Walker { kernel, rows, query, graph, upper_entry, walk, floor, skip, cancel, found }.run(scratch));
        }
        all
    }
}
