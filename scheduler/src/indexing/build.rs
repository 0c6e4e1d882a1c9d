//! Building what an index lacks.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use volley_executor::maintenance::{IndexJob, index_facts};
use volley_storage::ErrorKind;
use volley_storage::ids::SegmentId;
use volley_storage::segment::{Segment, SegmentData};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::Consistency;

use super::{Indexer, Work, dropped_meanwhile};
use crate::error::{Error, Result};
use crate::progress::RowsDone;

/// Which segments are built, and on what terms.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Segments with fewer live rows are left to exact search.
    pub(crate) least_rows: u64,
    /// Segments whose index is built anew although they have one.
    pub(crate) anew: HashSet<SegmentId>,
    /// Threads to compute on.
    pub(crate) threads: usize,
    /// Whether a segment that cannot be built (no memory, damaged data) is left out instead of failing the work.
    pub(crate) lenient: bool,
}

/// The segments whose turn it is.
struct Next {
    segments: Vec<Arc<Segment>>,
    /// Segments that come after them, as far as is known.
    others: usize,
}

impl Indexer {
    /// The terms of a statement: every segment, on every thread.
    pub(crate) fn terms_of_statement(&self) -> Terms {
        Terms { least_rows: 0, anew: HashSet::new(), threads: self.threads, lenient: false }
    }

    /// Builds the index of every segment that lacks it, each in a commit of its own.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; that the index was dropped meanwhile; whatever building or committing refuses.
    pub(crate) async fn build_missing(&self, work: &Work, terms: &Terms) -> Result<()> {
        let mut tried = HashSet::new();
        loop {
            if work.stopped.is_cancelled() {
                return Err(Error::Cancelled);
            }
            // Chosen with the turn in hand: whoever had it before may have built the very segment.
            let _turn = self.turn(work).await?;
            // Looked at before each segment and after the last, so that no sidecar outlives its index: DROP INDEX
            // takes the name away first and the sidecars after.
            if !self.is_wanted(work.table, &work.definition).await? {
                self.detach_leftovers(work.table).await?;
                return Err(dropped_meanwhile());
            }
            let snapshot = self.store.snapshot(work.table, Consistency::Strong).await?;
            let next = next_segments(&snapshot, work, terms, &tried, self.parallel(work.table));
            if next.segments.is_empty() {
                return Ok(());
            }
            let progress = announce(work, &next, tried.len());
            tried.extend(next.segments.iter().map(|segment| segment.id));
            let builds = next.segments.into_iter().map(|segment| {
                let id = segment.id;
                let build = self.build_segment(work, terms, Arc::clone(&snapshot), segment, Arc::clone(&progress));
                async move { (id, build.await) }
            });
            for (id, outcome) in join_all(builds).await {
                match outcome {
                    Err(error) if terms.lenient && concerns_one_segment(&error) => {
                        tracing::warn!(%error, table = %work.table, segment = %id, "a segment is not indexed");
                    }
                    outcome => outcome?,
                }
            }
        }
    }

    async fn build_segment(
        &self,
        work: &Work,
        terms: &Terms,
        snapshot: Arc<Snapshot>,
        segment: Arc<Segment>,
        progress: Arc<SharedProgress>,
    ) -> Result<()> {
        let id = segment.id;
        let job = IndexJob {
            store: Arc::clone(&self.store),
            snapshot,
            segment,
            definition: work.definition.clone(),
            threads: terms.threads,
            progress: progress.of_one(),
            cancel: work.stopped.clone(),
        };
        let built = self.build_somewhere(job, terms.lenient).await?;
        // A segment that was rewritten meanwhile is gone, and so is what was built for it: the loop finds its successor.
        match terms.anew.contains(&id) {
            true => {
                let kinds = [work.definition.kind(), work.definition.calibration_kind()];
                self.replace_sidecars(work, id, built, &kinds).await?
            }
            false => self.add_sidecars(work, id, built).await?,
        };
        Ok(())
    }

    /// Segments whose index is missing on disk, or is not what was written.
    pub(crate) async fn damaged(&self, work: &Work) -> Result<HashSet<SegmentId>> {
        let snapshot = self.store.snapshot(work.table, Consistency::Strong).await?;
        let indexed: Vec<_> = snapshot.segments.iter().filter(|s| work.definition.index_of(s).is_some()).collect();
        let mut damaged = HashSet::new();
        for (checked, segment) in indexed.iter().enumerate() {
            work.say(format!("checking segment {} of {}", checked + 1, indexed.len()), 0);
            if work.stopped.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if !self.is_sound(work, &snapshot, segment).await {
                damaged.insert(segment.id);
            }
        }
        Ok(damaged)
    }

    async fn is_sound(&self, work: &Work, snapshot: &Snapshot, segment: &Segment) -> bool {
        for sidecar in segment.sidecars.iter().filter(|sidecar| work.definition.owns(sidecar)) {
            let path = self.store.path(work.table, &sidecar.file);
            // The bytes that are there now, whatever this process saw before.
            if self.database.files().recheck(&path, &sidecar.file).await.is_err() {
                return false;
            }
        }
        matches!(index_facts(&self.store, snapshot, segment, &work.definition).await, Ok(Some(_)))
    }
}

/// Whether the other segments may fare better.
fn concerns_one_segment(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Corrupted | ErrorKind::NewerFormat)
}

fn next_segments(snapshot: &Snapshot, work: &Work, terms: &Terms, tried: &HashSet<SegmentId>, parallel: usize) -> Next {
    let mut missing = snapshot.segments.iter().filter(|segment| {
        matches!(segment.data, SegmentData::File(_))
            && segment.live_rows() >= terms.least_rows
            && !tried.contains(&segment.id)
            && (work.definition.index_of(segment).is_none() || terms.anew.contains(&segment.id))
    });
    let segments = missing.by_ref().take(parallel).cloned().collect();
    Next { segments, others: missing.count() }
}

/// Says what is built now.
fn announce(work: &Work, next: &Next, before: usize) -> Arc<SharedProgress> {
    let (first, last) = (before + 1, before + next.segments.len());
    let total = last + next.others;
    let what = match last - first {
        0 => format!("indexing segment {first} of {total}"),
        _ => format!("indexing segments {first} to {last} of {total}"),
    };
    let rows = next.segments.iter().map(|segment| segment.rows).sum();
    Arc::new(SharedProgress { of_all: work.say(what, rows), done: AtomicU64::new(0) })
}

/// The rows done of several segments together.
struct SharedProgress {
    of_all: RowsDone,
    done: AtomicU64,
}

impl SharedProgress {
    /// What hears of the rows done of one segment.
    fn of_one(self: &Arc<Self>) -> RowsDone {
        let (shared, before) = (Arc::clone(self), AtomicU64::new(0));
        Arc::new(move |rows| {
            let new = rows.saturating_sub(before.fetch_max(rows, Ordering::Relaxed));
            (shared.of_all)(shared.done.fetch_add(new, Ordering::Relaxed) + new);
        })
    }
}
