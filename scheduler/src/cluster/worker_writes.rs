//! An executor's side of writes: rows become segments in the shared store, and a coordinator commits them.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tonic::Status;
use volley_storage::drafts::encode_staged;
use volley_storage::snapshot::Snapshot;
use volley_storage::store::{Consistency, StagedSegment, TableStore};

use super::failure::status_of;
use super::service::Rows;
use super::writes::{StageRows, decoded};
use crate::error::Error;

/// Writes a stream of rows; the answer is the staged segments. Whoever asks may go away: what was written then belongs to
/// nobody, and garbage collection finds it.
pub(super) async fn stage(store: &Arc<dyn TableStore>, cpu: &Handle, task: Bytes, rows: Rows) -> Result<Bytes, Status> {
    let task = StageRows::decode(task).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let (table, version) = task.target()?;
    let store = Arc::clone(store);
    let write = async move {
        let base = store.snapshot(table, Consistency::Exactly(version)).await?;
        encode_staged(&stage_rows(&store, &base, rows).await?)
    };
    // Decoding and checking rows is work for the threads that compute. It ends when nobody waits for it.
    let mut writing = JoinSet::new();
    writing.spawn_on(write, cpu);
    let ended = writing.join_next().await.ok_or_else(|| Status::internal("nobody writes the rows"))?;
    let written = ended.map_err(|fault| Status::internal(format!("writing rows failed: {fault}")))?;
    written.map_err(|error| status_of(&Error::from(error)))
}

/// Writes the rows of a stream up to its end.
pub(super) async fn stage_rows(
    store: &Arc<dyn TableStore>,
    base: &Snapshot,
    rows: Rows,
) -> volley_storage::Result<Vec<StagedSegment>> {
    store.stage(base, decoded(rows).boxed()).await
}
