//! Table versions that an executor has open for the queries of others.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::execution::SessionState;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use volley_executor::segment_set::{SegmentSet, StorageHandle};
use volley_storage::ids::{TableId, Version};
use volley_storage::store::Consistency;

use crate::error::Result;

/// Versions that are kept, of all tables together. What one holds is mostly shared with the store's own snapshot.
const KEPT_MAX: usize = 64;

type Opened = Arc<OnceCell<Arc<SegmentSet>>>;

/// The versions used last.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<VecDeque<((TableId, Version), Opened)>>);

impl Versions {
    /// The segments of a version. Those who want one at the same time wait for one of them to open it.
    pub(super) async fn open(&self, state: &SessionState, table: TableId, version: Version) -> Result<Arc<SegmentSet>> {
        let opened = self.slot((table, version));
        let segments = opened.get_or_try_init(|| open(state, table, version)).await?;
        Ok(Arc::clone(segments))
    }

    fn slot(&self, key: (TableId, Version)) -> Opened {
        let mut kept = self.0.lock();
        let found = kept.iter().position(|(known, _)| *known == key).and_then(|at| kept.remove(at));
        let (_, opened) = found.unwrap_or_else(|| (key, Opened::default()));
        kept.push_front((key, Arc::clone(&opened)));
        kept.truncate(KEPT_MAX);
        opened
    }
}

async fn open(state: &SessionState, table: TableId, version: Version) -> Result<Arc<SegmentSet>> {
    let storage = StorageHandle::clone(StorageHandle::of(state.config())?.as_ref());
    let snapshot = storage.0.snapshot(table, Consistency::Exactly(version)).await?;
    Ok(SegmentSet::load(storage, state.runtime_env(), &snapshot).await?)
}
