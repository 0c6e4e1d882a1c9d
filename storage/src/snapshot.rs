//! The table after commit *n*.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use ulid::Ulid;

use crate::error::Result;
use crate::ids::{RowId, TableId, TxnId, Version};
use crate::log::{CommitHash, LogKind, LogState, Record, RecordForm};
use crate::schema::TableSchema;
use crate::segment::Segment;
use crate::table::TableState;

/// Settings of a table, fixed at creation in this format version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProperties {
    /// Number of shards; a segment's shard is a stable hash of its id modulo this.
    pub shards: u32,
}

impl Default for TableProperties {
    fn default() -> Self {
        Self { shards: 8 }
    }
}

/// One version of one table: what a query pins. Cheap to clone and share.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table.
    pub table: TableId,
    /// The commit it stands after.
    pub version: Version,
    /// When that commit was made: milliseconds since the Unix epoch, strictly increasing along the log.
    pub commit_ts_ms: i64,
    /// The current schema.
    pub schema: Arc<TableSchema>,
    /// Settings.
    pub properties: TableProperties,
    /// Live segments in commit order.
    pub segments: Vec<Arc<Segment>>,
    /// The first row id that the next commit gives out.
    pub next_row_id: RowId,
}

impl Snapshot {
    /// Rows that a full scan returns.
    pub fn live_rows(&self) -> u64 {
        self.segments.iter().map(|s| s.live_rows()).sum()
    }

    /// Schema, properties and segments as bytes, for plans that travel to other processes: the body of a checkpoint
    /// without idempotency keys. Whoever keeps them also keeps the table, the version and the time of the commit.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let snapshot = Arc::new(self.clone());
        TableState { snapshot, idempotency: Arc::default(), recent: VecDeque::new() }.to_checkpoint()
    }

    /// What [`Self::to_bytes`] made bytes of. Takes any bytes; those that are no snapshot are refused.
    pub fn from_bytes(table: TableId, version: Version, commit_ts_ms: i64, bytes: Bytes) -> Result<Snapshot> {
        let record = Record {
            form: RecordForm::Checkpoint,
            kind: LogKind::Table,
            writer_features: 0,
            version,
            commit_ts_ms,
            txn: TxnId(Ulid::nil()),
            link: CommitHash::default(),
            body: bytes,
        };
        let origin = || Path::from(format!("version {version} of table {table} inside a plan"));
        let state = TableState::from_checkpoint(&table, &record).map_err(|damage| damage.at(&origin()))?;
        Ok(Arc::unwrap_or_clone(state.snapshot))
    }
}
