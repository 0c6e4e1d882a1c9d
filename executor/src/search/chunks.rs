//! Exact search of one segment, in parallel.
//!
//! A segment is cut into chunks of rows, each searched on a CPU thread of its own, so that a table of one segment is
//! still searched by all cores. Chunks tell each other the distance of their k-th hit: what lies farther need not be
//! kept by anybody.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::Result;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;
use volley_index::{ExactRequest, Hit, Matrix, RowSet, exact_search};

use crate::error::Error;
use crate::search::SearchRequest;
use crate::search::stop::{Floors, Stop};
use crate::search::vectors::SegmentVectors;

/// Below this many bytes of vectors a chunk is not worth a thread.
const CHUNK_BYTES_MIN: usize = 4 << 20;

/// Up to this many bytes of vectors are compared on the thread that asks, over all segments: about a tenth of a millisecond.
pub(super) const HERE_BYTES_MAX: usize = 1 << 20;

/// What the chunks of one search have in common.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    /// One permit per CPU thread that searches may use, over all searches of the process.
    pub(super) permits: Arc<Semaphore>,
    /// How many chunks of this search may run at a time.
    pub(super) parallelism: usize,
    pub(super) floors: Arc<Floors>,
    pub(super) stop: Arc<Stop>,
    /// Bytes of vectors that this search may still compare on the thread that asks.
    pub(super) here_bytes: Arc<AtomicUsize>,
}

/// The hits of one segment.
#[derive(Debug, Default)]
pub(super) struct SegmentHits {
    /// Per query, in no particular order; rows are offsets within the segment.
    pub(super) hits: Vec<Vec<Hit>>,
    /// Distances computed.
    pub(super) distances: u64,
}

/// The rows among `allowed` (`None`: all) that can be among the k nearest, in one segment of `rows` rows.
pub(super) async fn search_chunks(
    request: &SearchRequest,
    vectors: SegmentVectors,
    rows: usize,
    allowed: Option<Arc<RowSet>>,
    workers: &Workers,
) -> Result<SegmentHits> {
    let compared = allowed.as_ref().map_or(rows, |allowed| allowed.count());
    let bytes = compared * request.queries.len() * size_of::<f32>();
    let left = |left: usize| left.checked_sub(bytes);
    let is_short = workers.here_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok();
    let parallelism = if is_short { 1 } else { workers.parallelism };
    let chunks = chunks(rows, request.dim, parallelism).into_iter().map(|chunk| {
        let job = Job {
            request: request.clone(),
            vectors: vectors.clone(),
            allowed: allowed.as_deref().map(|allowed| slice(allowed, &chunk)),
            chunk,
            floors: Arc::clone(&workers.floors),
            stop: Arc::clone(&workers.stop),
        };
        let stop = Arc::clone(&job.stop);
        async move {
            match is_short {
                true => here(&workers.permits, &stop, || job.run()).await,
                false => on_thread(&workers.permits, &stop, move || job.run()).await,
            }
        }
    });
    let empty = SegmentHits { hits: vec![Vec::new(); request.query_count()], distances: 0 };
    let found = stream::iter(chunks).buffer_unordered(workers.parallelism.max(1));
    found
        .try_fold(empty, |mut all, chunk| async move {
            all.distances += chunk.distances;
            all.hits.iter_mut().zip(chunk.hits).for_each(|(all, hits)| all.extend(hits));
            Ok(all)
        })
        .await
}

/// Waits for a CPU thread and works on it.
pub(super) async fn on_thread<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    stop: &Stop,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(|_| Error::Internal { detail: "the searcher was shut down".into() })?;
    let done = tokio::task::spawn_blocking(move || {
        // Held until the thread is free again, even when nobody waits for the result any more.
        let _permit = permit;
        work()
    });
    let found = done.await.map_err(|error| Error::Internal { detail: format!("a search thread died: {error}") })?;
    stop.check()?;
    found
}

/// Waits for a turn and works on this thread: for work of less than a few milliseconds.
pub(super) async fn here<T>(permits: &Semaphore, stop: &Stop, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _permit =
        permits.acquire().await.map_err(|_| Error::Internal { detail: "the searcher was shut down".into() })?;
    let found = work();
    stop.check()?;
    found
}

/// One chunk to search; owns all it needs, because its thread outlives a dropped search for a moment.
struct Job {
    request: SearchRequest,
    vectors: SegmentVectors,
    chunk: Range<usize>,
    allowed: Option<RowSet>,
    floors: Arc<Floors>,
    stop: Arc<Stop>,
}

impl Job {
    fn run(self) -> Result<SegmentHits> {
        let SearchRequest { dim, metric, k, ties, ref queries, .. } = self.request;
        let data = self.vectors.data()?;
        let rows = data.get(self.chunk.start * dim..self.chunk.end * dim);
        let rows = rows.ok_or_else(|| Error::Internal { detail: "a segment has too few vectors".into() })?;
        let (queries, rows) = match (Matrix::new(queries, dim), Matrix::new(rows, dim)) {
            (Ok(queries), Ok(rows)) => (queries, rows),
            (Err(error), _) | (_, Err(error)) => {
                return Err(Error::Internal { detail: error.to_string() }.into());
            }
        };
        let floor = self.floors.current();
        let cancel = || self.stop.requested();
        let filter = self.allowed.as_ref();
        let exact = ExactRequest { queries, metric, k, filter, floor: Some(&floor), ties, cancel: Some(&cancel) };
        let mut found = exact_search(&exact, rows);
        for (query, hits) in found.hits.iter_mut().enumerate() {
            if let Some(kth) = k.checked_sub(1).and_then(|i| hits.get(i)) {
                self.floors.lower(query, kth.distance);
            }
            hits.iter_mut().for_each(|hit| hit.row += self.chunk.start as u32);
        }
        Ok(SegmentHits { hits: found.hits, distances: found.distances })
    }
}

/// Even chunks that are worth a thread each, one per thread at most.
fn chunks(rows: usize, dim: usize, threads: usize) -> Vec<Range<usize>> {
    let worth = (rows * dim * size_of::<f32>()) / CHUNK_BYTES_MIN;
    let count = worth.clamp(1, threads.max(1));
    (0..count).map(|i| rows * i / count..rows * (i + 1) / count).filter(|chunk| !chunk.is_empty()).collect()
}

/// The part of a set that lies in a chunk, counted from the chunk's start.
fn slice(set: &RowSet, chunk: &Range<usize>) -> RowSet {
    let mut part = RowSet::new_empty(chunk.len());
    for run in set.iter_ranges().skip_while(|run| run.end <= chunk.start).take_while(|run| run.start < chunk.end) {
        part.insert_range(run.start.max(chunk.start) - chunk.start..run.end.min(chunk.end) - chunk.start);
    }
    part
}
