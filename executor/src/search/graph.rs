//! Approximate search of segments: a traversal of each one's graph, the distances of what it found computed anew in f32.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result;
use futures::future::try_join_all;
use volley_index::hnsw::{self, CodeError, FilterMode, Rescore, Scratch};
use volley_index::{Hit, Matrix, RowSet, cost};

use crate::error::Error;
use crate::search::SearchRequest;
use crate::search::chunks::{Workers, here, on_thread};
use crate::search::indexes::SegmentIndex;
use crate::search::stop::Stop;
use crate::search::vectors::SegmentVectors;

/// Traversals that take no longer together are run where they are asked for: other threads would not be faster.
const HERE_NS: f32 = 200_000.0;
/// The same for those that no other thread could help with. A query that waits for this thread waits so long at most.
const ALONE_NS: f32 = 2_000_000.0;

thread_local! {
    /// What traversals need while they run. Threads that search are kept by the runtime.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// What traversals of one segment found.
#[derive(Debug, Default)]
pub(super) struct GraphHits {
    /// Per query, the nearest rows by their f32 distances, as far as they were found and may be among those that the search
    /// wants of all segments;
    /// `None` where the traversal gave up or found too few, so that an exact search is to be made.
    pub(super) hits: Vec<Option<Vec<Hit>>>,
    /// Distances computed, those in f32 included.
    pub(super) distances: u64,
    /// Rows looked up in the filter's row set.
    pub(super) filter_tests: u64,
    /// What it took.
    pub(super) time: Duration,
}

/// A search of one segment's graph.
#[derive(Debug, Clone)]
pub(super) struct GraphSearch {
    pub(super) index: Arc<SegmentIndex>,
    pub(super) vectors: SegmentVectors,
    /// Rows that have a vector and may be found; `None`: all that are in the graph.
    pub(super) allowed: Option<Arc<RowSet>>,
    /// How many those are.
    pub(super) allowed_count: usize,
    /// The least number of neighbours wanted of this segment.
    pub(super) k: usize,
    pub(super) walk: cost::Walk,
}

/// Searches graphs, each thread a share of the queries, or of the graphs where there is one query: a traversal takes less
/// time than handing it to a thread does. One that is short is not handed over at all. What comes out is in the order of what
/// goes in.
pub(super) async fn search_graphs(
    searches: Vec<GraphSearch>,
    request: &SearchRequest,
    workers: &Workers,
) -> Result<Vec<GraphHits>> {
    let queries = request.query_count();
    let expected_ns: f32 = searches.iter().map(|search| search.walk.expected_ns).sum::<f32>() * queries as f32;
    // Of one that has to be read first nobody knows how long it takes.
    let cold = searches.iter().filter(|search| !search.index.is_warm()).count();
    let run = |group: Vec<GraphSearch>, request: &SearchRequest, stop: &Stop| {
        let mut so_far = vec![SoFar::default(); request.query_count()];
        group.into_iter().map(|search| search.run(request, &mut so_far, stop)).collect::<Result<Vec<_>>>()
    };
    let threads = workers.parallelism.max(1);
    let is_alone = searches.len().max(queries).min(threads) <= 1;
    if cold == 0 && (expected_ns <= HERE_NS || is_alone && expected_ns <= ALONE_NS) {
        return here(&workers.permits, &workers.stop, || run(searches, request, &workers.stop)).await;
    }
    let on_thread = |group: Vec<GraphSearch>, request: SearchRequest| {
        let stop = Arc::clone(&workers.stop);
        on_thread(&workers.permits, &workers.stop, move || run(group, &request, &stop))
    };
    if queries > 1 {
        let parts = threads.min(queries);
        let ranges = (0..parts).map(|part| queries * part / parts..queries * (part + 1) / parts);
        let found = try_join_all(ranges.map(|range| on_thread(searches.clone(), request.of_queries(range)))).await?;
        let of_search = |all: Vec<GraphHits>, part: Vec<GraphHits>| {
            all.into_iter().zip(part).map(|(all, part)| all.with(part)).collect()
        };
        return Ok(found.into_iter().reduce(of_search).unwrap_or_default());
    }
    let share = searches.len().div_ceil(threads);
    let mut searches = searches.into_iter();
    let groups = std::iter::from_fn(|| {
        let group: Vec<GraphSearch> = searches.by_ref().take(share).collect();
        (!group.is_empty()).then_some(group)
    });
    let found = try_join_all(groups.map(|group| on_thread(group, request.clone())));
    Ok(found.await?.into_iter().flatten().collect())
}

impl GraphHits {
    /// These, and those of the queries that come after.
    fn with(mut self, later: GraphHits) -> Self {
        self.hits.extend(later.hits);
        self.distances += later.distances;
        self.filter_tests += later.filter_tests;
        self.time = self.time.max(later.time);
        self
    }
}

/// What is known of one query after some of the segments were searched for it, one after another.
#[derive(Debug, Clone, Default)]
struct SoFar {
    /// The distances of the k nearest rows, ascending.
    nearest: Vec<f32>,
    error: CodeError,
}

impl SoFar {
    /// The distance beyond which no row is among the k nearest any more.
    fn floor(&self, k: usize) -> f32 {
        k.checked_sub(1).and_then(|last| self.nearest.get(last)).copied().unwrap_or(f32::INFINITY)
    }

    fn add(&mut self, hits: &[Hit], k: usize) {
        self.nearest.extend(hits.iter().map(|hit| hit.distance));
        self.nearest.sort_unstable_by(f32::total_cmp);
        self.nearest.truncate(k);
    }
}

impl GraphSearch {
    /// Searches it, after the segments that `so_far` knows.
    fn run(self, request: &SearchRequest, so_far: &mut [SoFar], stop: &Stop) -> Result<GraphHits> {
        let begun = Instant::now();
        let internal = |error: volley_index::Error| Error::Internal { detail: error.to_string() };
        let queries = Matrix::new(&request.queries, request.dim).map_err(internal)?;
        let rows = Matrix::new(self.vectors.data()?, request.dim).map_err(internal)?;
        let cancel = || stop.requested();
        // One more where ties count, to see whether the last one is tied with what is left out.
        let ef = self.walk.ef + usize::from(request.ties);
        let walk = hnsw::Walk {
            k: ef,
            ef,
            allowed: self.allowed.as_deref(),
            mode: if self.walk.in_filter { FilterMode::In } else { FilterMode::Post },
            budget: Some(self.walk.budget),
            cancel: Some(&cancel),
            ..hnsw::Walk::default()
        };
        let view = self.index.view(rows)?;
        let walked = SCRATCH.with_borrow_mut(|scratch| hnsw::search(&view, queries, &walk, scratch));
        let wanted = self.k.min(self.allowed_count);
        let mut found = GraphHits::default();
        let rescore = Rescore { rows, metric: request.metric, k: request.k, ties: request.ties };
        for ((number, walked), so_far) in walked.into_iter().enumerate().zip(so_far) {
            found.filter_tests += walked.filter_tests;
            let floor = request.floor_of(number).min(so_far.floor(request.k));
            let seen = so_far.error.seen();
            let rescored = (!walked.exhausted && walked.hits.len() >= wanted)
                .then(|| rescore.run(queries.row(number), &walked.hits, floor, &mut so_far.error));
            so_far.add(rescored.as_deref().unwrap_or_default(), request.k);
            found.distances += walked.distances + (so_far.error.seen() - seen) as u64;
            // How many hits the beam had is not known once they are filtered.
            let is_full = walked.hits.len() >= ef || walk.mode == FilterMode::Post && walk.allowed.is_some();
            let is_cut = |hits: &Vec<Hit>| match walked.hits.last() {
                Some(last) if request.ties && is_full => {
                    let mut as_far = walked.hits.iter().rev().take_while(|hit| hit.distance == last.distance);
                    as_far.any(|hit| hits.iter().any(|kept| kept.row == hit.row))
                }
                _ => false,
            };
            found.hits.push(rescored.filter(|hits| !is_cut(hits)));
        }
        found.time = begun.elapsed();
        Ok(found)
    }
}
