//! Jobs on segments that no query waits for: building an index, and measuring how well it answers.
//!
//! A job reads one segment of a pinned version and writes sidecars beside it. It commits nothing: whoever scheduled it
//! attaches them, in a commit of its own.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::{Segment, Sidecar};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::TableStore;

use crate::error::Result;

/// Hears how many rows of the segment are done.
pub type RowsDone = Arc<dyn Fn(u64) + Send + Sync>;

/// What to do with one segment.
#[derive(Clone)]
pub struct IndexJob {
    /// Where the segment is.
    pub store: Arc<dyn TableStore>,
    /// The version it is read at.
    pub snapshot: Arc<Snapshot>,
    /// The segment; its rows are in a file.
    pub segment: Arc<Segment>,
    /// The index.
    pub definition: IndexDefinition,
    /// Threads to compute on.
    pub threads: usize,
    /// Hears of progress.
    pub progress: RowsDone,
    /// Stops the job; nothing is attached then.
    pub cancel: CancellationToken,
}

impl fmt::Debug for IndexJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexJob").field("segment", &self.segment.id).field("definition", &self.definition).finish()
    }
}

/// What is known about the index of one segment.
#[derive(Debug, Clone)]
pub struct IndexFacts {
    /// Rows in the index: those whose vector can be compared.
    pub rows: u64,
    /// How long the build took, in milliseconds.
    pub build_ms: u64,
}

/// Builds the index of a segment and measures it; the sidecars to attach.
///
/// # Errors
/// [`crate::Error::Cancelled`]; whatever storage refuses, the disk being full among it.
pub async fn build_index(job: IndexJob) -> Result<Vec<Sidecar>> {
    let _ = job;
    Ok(Vec::new())
}

/// Measures the index of a segment again; the sidecar that takes the old measurement's place.
///
/// `queries` are vectors as they will be searched for, Q × dimension, row after row; without them rows of the segment are
/// used.
///
/// # Errors
/// As [`build_index`].
pub async fn calibrate_index(job: IndexJob, queries: Option<Arc<[f32]>>) -> Result<Sidecar> {
    let _ = (job, queries);
    Err(crate::Error::Internal { detail: "not yet".into() })
}

/// What is known about a segment's index; `None` where it has none.
///
/// # Errors
/// A file that is missing or damaged.
pub async fn index_facts(
    store: &Arc<dyn TableStore>,
    snapshot: &Snapshot,
    segment: &Segment,
    definition: &IndexDefinition,
) -> Result<Option<IndexFacts>> {
    let _ = (store, snapshot, segment, definition);
    Ok(None)
}
