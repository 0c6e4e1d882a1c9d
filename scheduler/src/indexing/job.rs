//! A job on the index of one segment: done in this process, or by an executor.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use volley_executor::maintenance::{IndexJob, Source, build_index, calibrate_index};
use volley_storage::drafts::decode_sidecars;
use volley_storage::ids::{SegmentId, TableId, Version};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::Sidecar;
use volley_storage::store::Consistency;

use super::Indexer;
use super::memory::build_bytes;
use crate::cluster::{Calibrated, IndexTask, TaskKind};
use crate::error::{Error, Result};

/// A job that another process asks for.
#[derive(Debug)]
pub(crate) struct Job {
    /// The table.
    pub(crate) table: TableId,
    /// The version at which the segment is read.
    pub(crate) version: Version,
    /// The segment.
    pub(crate) segment: SegmentId,
    /// The index.
    pub(crate) definition: IndexDefinition,
    /// Stops the work.
    pub(crate) stopped: CancellationToken,
}

impl Indexer {
    /// Builds the index of a segment for another process, which attaches what is returned.
    pub(crate) async fn do_build(self: &Arc<Self>, job: &Job, in_background: bool) -> Result<Vec<Sidecar>> {
        let job = self.open(job, in_background).await?;
        let indexer = Arc::clone(self);
        self.compute(async move { indexer.build_here(job).await }).await
    }

    /// Measures the index of a segment for another process.
    pub(crate) async fn do_calibrate(
        self: &Arc<Self>,
        job: &Job,
        queries: Option<Arc<[f32]>>,
    ) -> Result<(Sidecar, Source)> {
        let job = self.open(job, false).await?;
        let indexer = Arc::clone(self);
        self.compute(async move { indexer.calibrate_here(job, queries).await }).await
    }

    /// Builds the index of a segment, on an executor where there is one.
    pub(super) async fn build_somewhere(&self, job: IndexJob, in_background: bool) -> Result<Vec<Sidecar>> {
        match self.ask_executors(&job, TaskKind::BuildIndex, in_background, None).await? {
            Some(answer) => {
                (job.progress)(job.segment.rows);
                Ok(decode_sidecars(answer, job.segment.id)?)
            }
            None => self.build_here(job).await,
        }
    }

    /// Measures the index of a segment, on an executor where there is one.
    pub(super) async fn calibrate_somewhere(
        &self,
        job: IndexJob,
        queries: Option<Arc<[f32]>>,
    ) -> Result<(Sidecar, Source)> {
        let segment = job.segment.id;
        let Some(answer) = self.ask_executors(&job, TaskKind::Calibrate, false, queries.as_deref()).await? else {
            return self.calibrate_here(job, queries).await;
        };
        let garbled = |detail: &str| Error::Internal { detail: format!("an executor's measurement: {detail}") };
        let answer = Calibrated::decode(answer).map_err(|error| garbled(&error.to_string()))?;
        let before = if answer.was_by_queries { Source::Queries } else { Source::Rows };
        let sidecar = decode_sidecars(answer.sidecar, segment)?.pop().ok_or_else(|| garbled("it has no sidecar"))?;
        Ok((sidecar, before))
    }

    /// How many segments can be built at the same time.
    pub(super) fn parallel(&self, table: TableId) -> usize {
        self.helpers.as_ref().map_or(1, |helpers| helpers.count(table).max(1))
    }

    async fn ask_executors(
        &self,
        job: &IndexJob,
        kind: TaskKind,
        in_background: bool,
        queries: Option<&[f32]>,
    ) -> Result<Option<Bytes>> {
        let Some(helpers) = &self.helpers else { return Ok(None) };
        let (table, version) = (job.snapshot.table, job.snapshot.version);
        let task = IndexTask::new(table, version, job.segment.id, &job.definition, in_background, queries);
        let task = task.encode_to_vec().into();
        tokio::select! {
            biased;
            () = job.cancel.cancelled() => Err(Error::Cancelled),
            answer = helpers.ask(table, job.segment.shard, kind, &task) => answer,
        }
    }

    async fn build_here(&self, job: IndexJob) -> Result<Vec<Sidecar>> {
        let _computing = self.computing.lock().await;
        let _memory = self.reserve(build_bytes(&job.snapshot, &job.segment, &job.definition))?;
        Ok(build_index(job).await?)
    }

    async fn calibrate_here(&self, job: IndexJob, queries: Option<Arc<[f32]>>) -> Result<(Sidecar, Source)> {
        let _computing = self.computing.lock().await;
        Ok(calibrate_index(job, queries).await?)
    }

    async fn open(&self, job: &Job, in_background: bool) -> Result<IndexJob> {
        let snapshot = self.store.snapshot(job.table, Consistency::Exactly(job.version)).await?;
        let found = snapshot.segments.iter().find(|segment| segment.id == job.segment);
        let Some(segment) = found.cloned() else {
            let detail = format!("segment {} is not part of version {} of its table", job.segment, job.version);
            return Err(Error::Internal { detail });
        };
        Ok(IndexJob {
            store: Arc::clone(&self.store),
            snapshot,
            segment,
            definition: job.definition.clone(),
            threads: if in_background { self.threads_in_background() } else { self.threads },
            progress: Arc::new(|_| ()),
            cancel: job.stopped.clone(),
        })
    }

    /// Runs work on the threads that compute; it ends when nobody waits for it.
    async fn compute<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let mut task = JoinSet::new();
        task.spawn_on(work, &self.cpu);
        match task.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(fault)) => Err(Error::Internal { detail: format!("an index job failed: {fault}") }),
            None => Err(Error::Cancelled),
        }
    }
}
