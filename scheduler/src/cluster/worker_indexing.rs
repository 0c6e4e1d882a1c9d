//! An executor's side of index jobs: it writes sidecars beside a segment, and a coordinator attaches them.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use volley_executor::maintenance::Source;
use volley_storage::drafts::encode_sidecars;

use super::failure::status_of;
use super::writes::{Calibrated, IndexTask};
use crate::indexing::{Indexer, Job};

/// Builds the index of a segment; the answer is its sidecars. Dropping the call stops the build.
pub(super) async fn build_index(indexer: &Arc<Indexer>, body: Bytes) -> Result<Bytes, Status> {
    let (job, task) = job_of(body)?;
    let _stop_with_the_call = job.stopped.clone().drop_guard();
    let sidecars = indexer.do_build(&job, task.in_background).await.map_err(|error| status_of(&error))?;
    Ok(encode_sidecars(&sidecars))
}

/// Measures the index of a segment; the answer is a [`Calibrated`].
pub(super) async fn calibrate(indexer: &Arc<Indexer>, body: Bytes) -> Result<Bytes, Status> {
    let (job, task) = job_of(body)?;
    let _stop_with_the_call = job.stopped.clone().drop_guard();
    let measured = indexer.do_calibrate(&job, task.measured_by()).await;
    let (sidecar, before) = measured.map_err(|error| status_of(&error))?;
    let answer = Calibrated { sidecar: encode_sidecars(&[sidecar]), was_by_queries: before == Source::Queries };
    Ok(answer.encode_to_vec().into())
}

fn job_of(body: Bytes) -> Result<(Job, IndexTask), Status> {
    let task = IndexTask::decode(body).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let (table, version, segment) = task.target()?;
    let job = Job { table, version, segment, definition: task.definition(), stopped: CancellationToken::new() };
    Ok((job, task))
}
