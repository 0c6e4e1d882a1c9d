//! The boundary trait of storage: open a snapshot, stage a segment, commit.

use crate::error::Result;
use crate::ids::{SegmentId, TableId, TxnId, Version};
use crate::schema::TableSchema;
use crate::segment::{ColumnStats, FileRef, Segment, SegmentData, Sidecar};
use crate::snapshot::{Snapshot, TableProperties};
use crate::verify::files_of;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Files of a segment that are made ready at the same time.
const PREFETCHES_AT_ONCE: usize = 4;

/// How fresh a snapshot has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The head is probed after the call arrives.
    Strong,
    /// At least this version, otherwise what is cached.
    AtLeast(Version),
    /// What was the newest at most so many milliseconds ago; never older than what this process has seen or written.
    Within(i64),
    /// Exactly this version (time travel, retries at a pinned version).
    Exactly(Version),
}

/// Rows written to the store but not yet part of any version.
#[derive(Debug, Clone)]
pub struct StagedSegment {
    /// The segment's id.
    pub id: SegmentId,
    /// When its writing began, or before that, in milliseconds since the Unix epoch by the clock of this process. The id may have been
    /// given by another, whose clock is another.
    pub begun_ms: u64,
    /// Rows.
    pub rows: u64,
    /// Whether the data carries a physical row id column.
    pub has_row_id_column: bool,
    /// Data: a file, or the rows themselves when they are few enough to travel in the commit.
    pub data: SegmentData,
    /// Statistics by column.
    pub stats: Vec<ColumnStats>,
    /// Files beside the data.
    pub sidecars: Vec<Sidecar>,
    /// 128-bit hashes of the primary keys, in row order; empty without a primary key.
    pub key_hashes: Arc<[u128]>,
}

/// One change to a table, built against a snapshot and applied atomically.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Identity across retries.
    pub id: TxnId,
    /// The snapshot that the change was computed on.
    pub base: Arc<Snapshot>,
    /// Segments to add.
    pub add: Vec<StagedSegment>,
    /// Newly deleted offsets by segment.
    pub delete: BTreeMap<SegmentId, RoaringBitmap>,
    /// Segments to remove (compaction: their live rows stand in `add` with a row id column).
    pub remove: Vec<SegmentId>,
    /// Sidecars to attach to live segments (an index build).
    pub attach: Vec<(SegmentId, Sidecar)>,
    /// Sidecars to detach.
    pub detach: Vec<(SegmentId, FileRef)>,
    /// `(client, sequence)` pairs: a pair that is in the log already makes the commit a no-op that succeeds.
    pub idempotency: Option<(String, u64)>,
    /// What made the commit (`INSERT`, `DELETE`, `COMPACT` …), for `volley.snapshots`.
    pub operation: String,
}

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The snapshot after the commit.
    pub snapshot: Arc<Snapshot>,
    /// Whether it had been applied before (idempotency).
    pub replayed: bool,
}

/// One line of a table's history.
#[derive(Debug, Clone)]
pub struct CommitInfo {
    /// The version.
    pub version: Version,
    /// Milliseconds since the Unix epoch.
    pub commit_ts_ms: i64,
    /// What made it.
    pub operation: String,
    /// The transaction.
    pub txn: TxnId,
    /// Segments added and removed, rows added and deleted.
    pub segments_added: u64,
    /// See above.
    pub segments_removed: u64,
    /// See above.
    pub rows_added: u64,
    /// See above.
    pub rows_deleted: u64,
}

/// Verified bytes of a file: mapped where the store is local, in memory elsewhere. Derefs to a slice aligned to 64 bytes.
pub trait FileBytes: Send + Sync + std::fmt::Debug {
    /// The whole file.
    fn as_slice(&self) -> &[u8];

    /// How many of its bytes are in memory now, as far as the system tells; a mapped file comes and goes by pages.
    fn resident(&self) -> u64 {
        self.as_slice().len() as u64
    }
}

/// Tables of one data directory.
#[async_trait]
pub trait TableStore: Send + Sync + std::fmt::Debug {
    /// Creates a table at version 0.
    async fn create_table(
        &self,
        table: TableId,
        schema: TableSchema,
        properties: TableProperties,
    ) -> Result<Arc<Snapshot>>;
    /// The table at the asked freshness. Immutable; shared between callers.
    async fn snapshot(&self, table: TableId, consistency: Consistency) -> Result<Arc<Snapshot>>;
    /// The table's history, newest first, as far as the log reaches.
    async fn history(&self, table: TableId) -> Result<Vec<CommitInfo>>;
    /// Writes rows as segments of at most [`crate::segment::SEGMENT_ROWS_MAX`] rows with vector and primary-key sidecars. Rows must
    /// have the snapshot's schema. Checks NOT NULL, vectors' finiteness and duplicate keys within the rows. Small results
    /// stay inline. Files are durable when the call returns; nothing is visible.
    async fn stage(&self, snapshot: &Snapshot, rows: BoxStream<'_, Result<RecordBatch>>) -> Result<Vec<StagedSegment>>;
    /// Applies a transaction: rebases over what others committed (probing primary keys), retries, and returns only when
    /// the commit object is durable and known to be this transaction's.
    async fn commit(&self, transaction: Transaction) -> Result<Committed>;
    /// The deletion vector of a segment; `None` when nothing is deleted. Cached.
    async fn deletes(&self, table: TableId, segment: &Segment) -> Result<Option<Arc<RoaringBitmap>>>;
    /// A file of the table, its length and BLAKE3 checked once per process.
    async fn open(&self, table: TableId, file: &FileRef) -> Result<Arc<dyn FileBytes>>;
    /// Checks a file's length and BLAKE3 once per process without keeping it.
    async fn check(&self, table: TableId, file: &FileRef) -> Result<()>;
    /// Writes a sidecar (an index) beside a segment.
    async fn put_sidecar(&self, table: TableId, segment: SegmentId, name: &str, bytes: Bytes) -> Result<FileRef>;
    /// The path of a table's file below the store's root: `tables/{table}/{path}`.
    fn path(&self, table: TableId, file: &FileRef) -> object_store::path::Path;
    /// Whether each look at the store is a trip over a network, so that files are worth a copy and the newest version is not
    /// looked for with every query.
    fn is_remote(&self) -> bool;

    /// Makes a segment ready to be read: its files are fetched to this machine where they are not on it, and verified.
    ///
    /// # Errors
    /// Those of [`Self::open`], for the first file that cannot be had.
    async fn prefetch(&self, table: TableId, segment: &Segment) -> Result<()> {
        let files: Vec<FileRef> = files_of(segment).into_iter().cloned().collect();
        let opened = files.into_iter().map(|file| async move { self.open(table, &file).await.map(drop) });
        stream::iter(opened).buffer_unordered(PREFETCHES_AT_ONCE).try_collect().await
    }
}
