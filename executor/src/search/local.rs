//! Searching segments in this process.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use crate::interrupt::Interrupt;
use crate::search::allowed::allowed_rows;
use crate::search::chunks::{Workers, search_chunks};
use crate::search::merge::{Found, merge};
use crate::search::row_ids::RowIdsOf;
use crate::search::stop::{Floors, Stop};
use crate::search::vectors::SegmentVectors;
use crate::search::{QueryHits, SearchHit, SearchMetrics, SearchRequest, SearchResponse, ShardSearcher};
use crate::segment_source::fetch_rows;

/// Searches segments in this process, exactly.
///
/// Reading happens on the runtime that calls; distances are computed on its blocking threads, of which searches use no
/// more at a time than the searcher has permits, however many searches there are.
#[derive(Debug, Clone)]
pub struct LocalSearcher {
    threads: usize,
    permits: Arc<Semaphore>,
}

impl LocalSearcher {
    /// A searcher that computes on `threads` threads at a time.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Self { threads, permits: Arc::new(Semaphore::new(threads)) }
    }

    /// The process's own searcher: one thread per core.
    pub fn shared() -> Self {
        static SHARED: OnceLock<LocalSearcher> = OnceLock::new();
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        SHARED.get_or_init(|| Self::new(cores())).clone()
    }
}

#[async_trait]
impl ShardSearcher for LocalSearcher {
    async fn search(&self, request: SearchRequest, task: &Arc<TaskContext>) -> Result<SearchResponse> {
        request.check()?;
        let stop = Stop::new(request.deadline, Interrupt::of(task));
        // When this future is dropped the threads see it within a millisecond or so.
        let _stop_on_drop = stop.on_drop();
        let floors = Arc::new(Floors::new(&request));
        let permits = Arc::clone(&self.permits);
        let workers = Workers { permits, parallelism: self.threads, floors, stop };

        // One segment more than there are threads, so that one is read while the others are searched.
        let ordinals = request.ordinals.clone().into_iter();
        let searches = ordinals.map(|ordinal| search_segment(&request, ordinal, task, &workers));
        let searched: Vec<_> = stream::iter(searches).buffer_unordered(self.threads + 1).try_collect().await?;
        let mut metrics = SearchMetrics::default();
        let mut found = Vec::with_capacity(searched.len());
        for (segment, work) in searched {
            metrics.segments += work.segments;
            metrics.distances += work.distances;
            metrics.rows_filtered += work.rows_filtered;
            metrics.bytes += work.bytes;
            found.push(segment);
        }
        let mut queries = Vec::with_capacity(request.query_count());
        for query in 0..request.query_count() {
            let complete = request.floor_of(query) == f32::INFINITY;
            let hits = merge(&found, query, request.k, request.ties, complete)?;
            queries.push(with_columns(&request, hits, task).await?);
        }
        workers.stop.check()?;
        Ok(SearchResponse { queries, metrics })
    }
}

/// Searches one segment.
async fn search_segment(
    request: &SearchRequest,
    ordinal: u32,
    task: &Arc<TaskContext>,
    workers: &Workers,
) -> Result<(Found, SearchMetrics)> {
    workers.stop.check()?;
    let segment = request.segments.get(ordinal)?;
    let rows = segment.segment.rows as usize;
    let allowed = allowed_rows(request, segment, task).await?.map(Arc::new);
    let left = allowed.as_ref().map_or(rows, |allowed| allowed.count());
    let mut metrics = SearchMetrics { segments: 1, rows_filtered: (rows - left) as u64, ..SearchMetrics::default() };
    let mut found = Found {
        segment: segment.clone(),
        allowed: allowed.clone(),
        hits: vec![Vec::new(); request.query_count()],
        row_ids: RowIdsOf::From(0),
    };
    if left == 0 || request.k == 0 {
        return Ok((found, metrics));
    }
    found.row_ids = RowIdsOf::open(&request.segments, segment, task).await?;
    let vectors = SegmentVectors::open(&request.segments, segment, request.column, request.dim, task).await?;
    let defined = match vectors.nulls(rows)? {
        None => allowed,
        Some(nulls) => {
            let mut defined = allowed.map_or_else(|| volley_index::RowSet::new_full(rows), Arc::unwrap_or_clone);
            defined.and_not(&nulls);
            Some(Arc::new(defined))
        }
    };
    let compared = defined.as_ref().map_or(rows, |defined| defined.count());
    if compared > 0 {
        let searched = search_chunks(request, vectors, rows, defined, workers).await?;
        found.hits = searched.hits;
        metrics.distances = searched.distances;
        metrics.bytes = (compared * request.dim * size_of::<f32>()) as u64;
    }
    Ok((found, metrics))
}

/// The hits with the columns that the request wants of them.
async fn with_columns(request: &SearchRequest, hits: Vec<SearchHit>, task: &Arc<TaskContext>) -> Result<QueryHits> {
    let addresses: Vec<u64> = hits.iter().map(|hit| hit.address).collect();
    let columns = fetch_rows(task, &request.segments, &addresses, &request.projection).await?;
    Ok(QueryHits { hits, columns })
}
