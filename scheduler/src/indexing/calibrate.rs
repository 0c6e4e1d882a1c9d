//! Measuring anew how well indexes answer.

use std::sync::Arc;

use futures::future::join_all;
use volley_executor::maintenance::{IndexJob, Source};
use volley_storage::ErrorKind;
use volley_storage::segment::Segment;
use volley_storage::snapshot::Snapshot;
use volley_storage::store::Consistency;

use super::{Indexer, Work};
use crate::error::{Error, Result};
use crate::progress::RowsDone;

/// What a measurement saw.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Segments measured.
    pub(crate) segments: usize,
    /// Segments whose index cannot be read.
    pub(crate) damaged: usize,
    /// Segments whose measurement by given vectors gave way to one by their own rows.
    pub(crate) replaced: usize,
}

impl Indexer {
    /// Measures the index of every segment that has it, each in a commit of its own; with the vectors given instead of
    /// rows of the segments.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; whatever measuring or committing refuses.
    pub(crate) async fn calibrate(&self, work: &Work, queries: Option<&Arc<[f32]>>) -> Result<Measured> {
        let mut measured = Measured::default();
        let snapshot = self.store.snapshot(work.table, Consistency::Strong).await?;
        let indexed: Vec<_> = snapshot.segments.iter().filter(|s| work.definition.index_of(s).is_some()).collect();
        let parallel = self.parallel(work.table);
        for (round, segments) in indexed.chunks(parallel).enumerate() {
            if work.stopped.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let _turn = self.turn(work).await?;
            let (first, last) = (round * parallel + 1, round * parallel + segments.len());
            let what = match last - first {
                0 => format!("measuring segment {first} of {}", indexed.len()),
                _ => format!("measuring segments {first} to {last} of {}", indexed.len()),
            };
            let progress = work.say(what, 0);
            let jobs = segments.iter().map(|segment| {
                let measuring = self.calibrate_segment(work, &snapshot, segment, queries, Arc::clone(&progress));
                async move { (segment.id, measuring.await) }
            });
            for (id, outcome) in join_all(jobs).await {
                match outcome {
                    Ok(before) => {
                        measured.segments += 1;
                        measured.replaced += usize::from(before == Source::Queries && queries.is_none());
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::NewerFormat) => {
                        tracing::warn!(%error, table = %work.table, segment = %id, "an index cannot be measured");
                        measured.damaged += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(measured)
    }

    async fn calibrate_segment(
        &self,
        work: &Work,
        snapshot: &Arc<Snapshot>,
        segment: &Arc<Segment>,
        queries: Option<&Arc<[f32]>>,
        progress: RowsDone,
    ) -> Result<Source> {
        let job = IndexJob {
            store: Arc::clone(&self.store),
            snapshot: Arc::clone(snapshot),
            segment: Arc::clone(segment),
            definition: work.definition.clone(),
            threads: self.threads,
            progress,
            cancel: work.stopped.clone(),
        };
        let (sidecar, before) = self.calibrate_somewhere(job, queries.cloned()).await?;
        let kinds = [work.definition.calibration_kind()];
        // Where the segment is gone or its index was dropped meanwhile, the next look finds nothing to measure.
        self.replace_sidecars(work, segment.id, vec![sidecar], &kinds).await?;
        if !self.is_wanted(work.table, &work.definition).await? {
            self.detach_leftovers(work.table).await?;
        }
        Ok(before)
    }
}
