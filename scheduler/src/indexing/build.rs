//! Building what an index lacks.

use std::collections::HashSet;
use std::sync::Arc;

use volley_executor::maintenance::{IndexJob, build_index, index_facts};
use volley_storage::ErrorKind;
use volley_storage::ids::SegmentId;
use volley_storage::segment::{Segment, SegmentData};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::Consistency;

use super::memory::build_bytes;
use super::{Indexer, Work, dropped_meanwhile};
use crate::error::{Error, Result};

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

/// The segment whose turn it is.
struct Next {
    segment: Arc<Segment>,
    /// Segments that come after it, as far as is known.
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
            let Some(next) = next_segment(&snapshot, work, terms, &tried) else { return Ok(()) };
            let id = next.segment.id;
            let what = format!("indexing segment {} of {}", tried.len() + 1, tried.len() + 1 + next.others);
            tried.insert(id);
            match self.build_segment(work, terms, snapshot, next.segment, what).await {
                Err(error) if terms.lenient && concerns_one_segment(&error) => {
                    tracing::warn!(%error, table = %work.table, segment = %id, "a segment is not indexed");
                }
                outcome => outcome?,
            }
        }
    }

    async fn build_segment(
        &self,
        work: &Work,
        terms: &Terms,
        snapshot: Arc<Snapshot>,
        segment: Arc<Segment>,
        what: String,
    ) -> Result<()> {
        let _memory = self.reserve(build_bytes(&snapshot, &segment, &work.definition))?;
        let (id, rows) = (segment.id, segment.rows);
        let job = IndexJob {
            store: Arc::clone(&self.store),
            snapshot,
            segment,
            definition: work.definition.clone(),
            threads: terms.threads,
            progress: work.say(what, rows),
            cancel: work.stopped.clone(),
        };
        let built = build_index(job).await?;
        let kinds = [work.definition.kind(), work.definition.calibration_kind()];
        // A segment that was rewritten meanwhile is gone, and so is what was built for it: the loop finds its successor.
        self.replace_sidecars(work, id, built, &kinds).await?;
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

fn next_segment(snapshot: &Snapshot, work: &Work, terms: &Terms, tried: &HashSet<SegmentId>) -> Option<Next> {
    let mut missing = snapshot.segments.iter().filter(|segment| {
        matches!(segment.data, SegmentData::File(_))
            && segment.live_rows() >= terms.least_rows
            && !tried.contains(&segment.id)
            && (work.definition.index_of(segment).is_none() || terms.anew.contains(&segment.id))
    });
    let segment = Arc::clone(missing.next()?);
    Some(Next { segment, others: missing.count() })
}
