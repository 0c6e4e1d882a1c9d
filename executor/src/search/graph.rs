//! Approximate search of one segment: a traversal of its graph, the distances of what it found computed anew in f32.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::common::Result;
use volley_index::hnsw::{self, FilterMode, Scratch};
use volley_index::{Hit, Matrix, RowSet, cost};

use crate::error::Error;
use crate::search::SearchRequest;
use crate::search::chunks::{Workers, on_thread};
use crate::search::indexes::SegmentIndex;
use crate::search::stop::Stop;
use crate::search::vectors::SegmentVectors;

thread_local! {
    /// What traversals need while they run. Threads that search are kept by the runtime.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// What traversals of one segment found.
#[derive(Debug, Default)]
pub(super) struct GraphHits {
    /// Per query, the `k` nearest of the rows that were found, by their f32 distances; `None` where the traversal gave up
    /// or found too few, so that an exact search is to be made.
    pub(super) hits: Vec<Option<Vec<Hit>>>,
    /// Distances computed, those in f32 included.
    pub(super) distances: u64,
    /// Rows looked up in the filter's row set.
    pub(super) filter_tests: u64,
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
    /// Neighbours wanted of this segment.
    pub(super) k: usize,
    pub(super) walk: cost::Walk,
}

impl GraphSearch {
    /// Runs on a thread of its own.
    pub(super) async fn run(self, request: &SearchRequest, workers: &Workers) -> Result<GraphHits> {
        let (request, stop) = (request.clone(), Arc::clone(&workers.stop));
        on_thread(&workers.permits, &workers.stop, move || self.search(&request, &stop)).await
    }

    fn search(self, request: &SearchRequest, stop: &Stop) -> Result<GraphHits> {
        let internal = |error: volley_index::Error| Error::Internal { detail: error.to_string() };
        let queries = Matrix::new(&request.queries, request.dim).map_err(internal)?;
        let rows = Matrix::new(self.vectors.data()?, request.dim).map_err(internal)?;
        let cancel = || stop.requested();
        let walk = hnsw::Walk {
            k: self.walk.ef,
            ef: self.walk.ef,
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
        for (number, walked) in walked.into_iter().enumerate() {
            found.distances += walked.distances + walked.hits.len() as u64;
            found.filter_tests += walked.filter_tests;
            let is_short = walked.exhausted || walked.hits.len() < wanted;
            found.hits.push((!is_short).then(|| {
                let (query, floor) = (queries.row(number), request.floor_of(number));
                hnsw::rescore(rows, request.metric, query, &walked.hits, self.k, request.ties, floor)
            }));
        }
        Ok(found)
    }
}
