//! Searching segments in this process.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use tokio::sync::Semaphore;
use volley_storage::ids::FieldId;
use volley_storage::index_definition::IndexDefinition;

use crate::interrupt::Interrupt;
use crate::kept::{KeptStatistics, Reclaim};
use crate::search::allowed::AllowedRows;
use crate::search::chunks::{HERE_BYTES_MAX, Workers};
use crate::search::indexes::OpenIndexes;
use crate::search::merge::merge;
use crate::search::segments::{Searched, Segments};
use crate::search::stop::{Floors, Stop};
use crate::search::ties::first_of;
use crate::search::{
    ExpectedRecall, QueryHits, SearchHit, SearchMetrics, SearchRequest, SearchResponse, ShardSearcher,
};
use crate::segment_set::{SegmentSet, split_row_address};
use crate::segment_source::fetch_rows;

/// Memory of the searcher for tasks that bring none.
const SHARED_BYTES: usize = 512 << 20;

/// Searches segments in this process.
///
/// Reading happens on the runtime that calls, and so do searches that are short; the distances of others are computed on its
/// blocking threads. Searches use no more threads at a time than the searcher has permits, however many searches there are.
#[derive(Debug, Clone)]
pub struct LocalSearcher {
    threads: usize,
    permits: Arc<Semaphore>,
    allowed: AllowedRows,
    indexes: OpenIndexes,
}

impl LocalSearcher {
    /// A searcher that computes on `threads` threads at a time and keeps what it may need again in this memory.
    pub fn new(threads: usize, pool: &Arc<dyn MemoryPool>) -> Self {
        let threads = threads.max(1);
        let permits = Arc::new(Semaphore::new(threads));
        Self { threads, permits, allowed: AllowedRows::new(pool), indexes: OpenIndexes::default() }
    }

    /// The process's own searcher, for tasks that bring none: one thread per core, and a little memory.
    pub fn shared() -> Self {
        static SHARED: OnceLock<LocalSearcher> = OnceLock::new();
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let pool = || Arc::new(GreedyMemoryPool::new(SHARED_BYTES)) as Arc<dyn MemoryPool>;
        SHARED.get_or_init(|| Self::new(cores(), &pool())).clone()
    }

    /// The row sets that it keeps, as whoever is short of memory sees them.
    pub fn reclaimable(&self) -> Weak<dyn Reclaim> {
        self.allowed.reclaimable()
    }

    /// What it keeps, and how useful that was.
    pub fn statistics(&self) -> KeptStatistics {
        self.allowed.statistics()
    }
}

#[async_trait]
impl ShardSearcher for LocalSearcher {
    async fn unusable(&self, segments: &SegmentSet, index: &IndexDefinition) -> u64 {
        let mut count = 0;
        for segment in segments.iter() {
            count += u64::from(self.indexes.of(segments, &segment.segment, index).await.is_err());
        }
        count
    }

    async fn search(&self, request: SearchRequest, task: &Arc<TaskContext>) -> Result<SearchResponse> {
        request.check()?;
        let stop = Stop::new(request.deadline, Interrupt::of(task));
        // When this future is dropped the threads see it within a millisecond or so.
        let _stop_on_drop = stop.on_drop();
        let floors = Arc::new(Floors::new(&request));
        let permits = Arc::clone(&self.permits);
        let here_bytes = Arc::new(AtomicUsize::new(HERE_BYTES_MAX));
        let workers = Workers { permits, parallelism: self.threads, floors, stop, here_bytes };
        let segments = Segments {
            request: &request,
            task,
            workers: &workers,
            allowed: &self.allowed,
            indexes: &self.indexes,
            at_a_time: self.threads + 1,
        };
        let searched = segments.search().await?;

        let mut metrics = SearchMetrics::default();
        searched.iter().for_each(|segment| metrics.add(segment.group.clone(), segment.bytes));
        let mut answers = Vec::with_capacity(request.query_count());
        for query in 0..request.query_count() {
            let complete = request.floor_of(query) == f32::INFINITY;
            let found = searched.iter().map(|segment| &segment.found);
            answers.push(merge(found, query, request.k, request.ties, complete)?);
        }
        metrics.expected = expected(&request, &searched, &answers);
        let mut queries = Vec::with_capacity(answers.len());
        for hits in answers {
            queries.push(with_columns(&request, hits, task).await?);
        }
        workers.stop.check()?;
        Ok(SearchResponse { queries, metrics })
    }
}

/// The recall to expect of answers: that of each row's segment, where rows of segments that were searched exactly count
/// as certain. Rows that an answer lacks are as uncertain as the least certain segment.
fn expected(request: &SearchRequest, searched: &[Searched], answers: &[Vec<SearchHit>]) -> ExpectedRecall {
    let (mut sum, mut count, mut samples) = (0.0, 0u64, u32::MAX);
    let mut add = |expected: Option<ExpectedRecall>, rows: usize| {
        sum += expected.map_or(1.0, |expected| expected.recall) * rows as f64;
        samples = samples.min(expected.map_or(u32::MAX, |expected| expected.samples));
        count += rows as u64;
    };
    let of_segments = || searched.iter().filter_map(|segment| segment.group.expected);
    let least = of_segments().min_by(|a, b| a.recall.total_cmp(&b.recall));
    for hits in answers {
        for hit in hits {
            let (ordinal, _) = split_row_address(hit.address);
            let segment = searched.iter().find(|segment| segment.found.segment.ordinal == ordinal);
            add(segment.and_then(|segment| segment.group.expected), 1);
        }
        add(least, request.k.saturating_sub(hits.len()));
    }
    let recall = if count == 0 { 1.0 } else { sum / count as f64 };
    ExpectedRecall { recall, samples: if samples == u32::MAX { 0 } else { samples } }
}

/// The hits with the columns that the request wants of them.
async fn with_columns(request: &SearchRequest, mut hits: Vec<SearchHit>, task: &Arc<TaskContext>) -> Result<QueryHits> {
    if hits.len() > request.k && !request.tie_order.is_empty() {
        // There may be any number of ties: only what decides between them is read of all.
        let deciding = request.projection.get(..request.tie_order.len()).unwrap_or_default();
        let ties = columns_of(&hits, request, deciding, task).await?;
        hits = first_of(&hits, &ties, &request.tie_order, request.k)?;
    }
    let columns = columns_of(&hits, request, &request.projection, task).await?;
    Ok(QueryHits { hits, columns })
}

async fn columns_of(
    hits: &[SearchHit],
    request: &SearchRequest,
    columns: &[FieldId],
    task: &Arc<TaskContext>,
) -> Result<RecordBatch> {
    let addresses: Vec<u64> = hits.iter().map(|hit| hit.address).collect();
    fetch_rows(task, &request.segments, &addresses, columns).await
}
