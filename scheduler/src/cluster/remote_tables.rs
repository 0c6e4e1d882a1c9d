//! A coordinator's tables: everything as in one process, but large writes are written by executors.
//!
//! ```text
//! rows ─► few? ─► written here, like in one process
//!           │
//!           └─► cut where segments end ─► a parcel each, executors in turn ─► their segments ─► one commit
//! ```
//!
//! A segment is filled before the next is begun, so that rows that belong together stay together and there are as many
//! segments as one process would make. What executors do at the same time is the rest of the work on segments whose rows
//! have all been sent.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::memory_pool::MemoryPool;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use roaring::RoaringBitmap;
use tokio::task::{JoinError, JoinSet};
use volley_storage::ids::{SegmentId, TableId};
use volley_storage::schema::TableSchema;
use volley_storage::segment::{FileRef, Segment};
use volley_storage::segment_writer::{SegmentLimits, data_bytes, segment_limits};
use volley_storage::snapshot::{Snapshot, TableProperties};
use volley_storage::store::{CommitInfo, Committed, Consistency, FileBytes, StagedSegment, TableStore, Transaction};
use volley_storage::{Error, Result};

use super::Members;
use super::parcel::{Dispatch, Parcel};

/// Up to so many rows and bytes are written here: another process would not be faster.
const ROWS_HERE_MAX: usize = 4096;
const BYTES_HERE_MAX: usize = 1 << 20;
/// Rows travel in pieces of about so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Segments that may be finished at the same time.
const FINISHING_MAX: usize = 4;

/// The tables of a coordinator.
pub struct RemoteTables {
    local: Arc<dyn TableStore>,
    members: Arc<Members>,
    memory: Arc<dyn MemoryPool>,
}

impl fmt::Debug for RemoteTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTables").field("local", &self.local).finish_non_exhaustive()
    }
}

impl RemoteTables {
    /// Tables in `local` that `members` help to write. Rows that are kept in case one of them fails are held in `memory`.
    pub fn new(local: Arc<dyn TableStore>, members: Arc<Members>, memory: Arc<dyn MemoryPool>) -> Self {
        Self { local, members, memory }
    }

    async fn deal(
        &self,
        base: Arc<Snapshot>,
        mut rows: BoxStream<'_, Result<RecordBatch>>,
    ) -> Result<Vec<StagedSegment>> {
        let limits = segment_limits(&base.schema)?;
        let dispatch = Dispatch {
            members: Arc::clone(&self.members),
            local: Arc::clone(&self.local),
            base,
            memory: Arc::clone(&self.memory),
            begun_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64),
        };
        let mut finishing = Finishing::default();
        let mut open: Option<Open> = None;
        while let Some(batch) = rows.try_next().await? {
            let mut from = 0;
            while from < batch.num_rows() {
                let mut current = match open.take() {
                    Some(current) => current,
                    None => Open { parcel: Parcel::begin(dispatch.clone(), &batch).await?, rows: 0, bytes: 0 },
                };
                let count = piece_rows(&batch).min(batch.num_rows() - from).min(limits.rows - current.rows);
                current.push(&batch.slice(from, count)).await?;
                from += count;
                match current.is_full(limits) {
                    true => finishing.add(current.parcel).await?,
                    false => open = Some(current),
                }
            }
            finishing.collect()?;
        }
        if let Some(last) = open {
            finishing.add(last.parcel).await?;
        }
        finishing.all().await
    }
}

/// Rows of this batch that make a piece.
fn piece_rows(batch: &RecordBatch) -> usize {
    let row_bytes = data_bytes(batch) / batch.num_rows().max(1);
    (PIECE_BYTES / row_bytes.max(1)).max(1)
}

/// The segment whose rows are being sent.
struct Open {
    parcel: Parcel,
    rows: usize,
    bytes: usize,
}

impl Open {
    async fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.bytes += data_bytes(rows);
        self.parcel.push(rows).await
    }

    /// Whoever writes it cuts at the same number of rows; a little before its number of bytes, which it counts otherwise.
    fn is_full(&self, limits: SegmentLimits) -> bool {
        self.rows >= limits.rows || self.bytes >= limits.bytes / 8 * 7
    }
}

/// Segments whose rows have all been sent. Each is finished by a task of its own, so that its end is said at once, whatever comes
/// of those before it; dropping this stops them.
#[derive(Default)]
struct Finishing {
    running: JoinSet<(usize, Result<Vec<StagedSegment>>)>,
    /// What came of each, in the order in which they were added.
    done: Vec<Vec<StagedSegment>>,
}

impl Finishing {
    /// Adds one; waits for another where there are many.
    async fn add(&mut self, parcel: Parcel) -> Result<()> {
        let at = self.done.len();
        self.done.push(Vec::new());
        self.running.spawn(async move { (at, parcel.finish().await) });
        while self.running.len() > FINISHING_MAX
            && let Some(ended) = self.running.join_next().await
        {
            self.keep(ended)?;
        }
        self.collect()
    }

    /// Takes what is done, so that a failure is heard of soon.
    fn collect(&mut self) -> Result<()> {
        while let Some(ended) = self.running.try_join_next() {
            self.keep(ended)?;
        }
        Ok(())
    }

    fn keep(&mut self, ended: Ended) -> Result<()> {
        let internal = |error| Error::Internal { detail: format!("a task that writes rows failed: {error}") };
        let (at, staged) = ended.map_err(internal)?;
        self.done[at] = staged?;
        Ok(())
    }

    async fn all(mut self) -> Result<Vec<StagedSegment>> {
        while let Some(ended) = self.running.join_next().await {
            self.keep(ended)?;
        }
        Ok(self.done.into_iter().flatten().collect())
    }
}

type Ended = Result<(usize, Result<Vec<StagedSegment>>), JoinError>;

/// Reads until the stream ends or holds more than is written here.
async fn read_head(rows: &mut BoxStream<'_, Result<RecordBatch>>) -> Result<(Vec<RecordBatch>, bool)> {
    let (mut head, mut count, mut bytes) = (Vec::new(), 0, 0);
    while count <= ROWS_HERE_MAX && bytes <= BYTES_HERE_MAX {
        let Some(batch) = rows.try_next().await? else { return Ok((head, true)) };
        count += batch.num_rows();
        bytes += data_bytes(&batch);
        head.push(batch);
    }
    Ok((head, false))
}

#[async_trait]
impl TableStore for RemoteTables {
    async fn create_table(
        &self,
        table: TableId,
        schema: TableSchema,
        properties: TableProperties,
    ) -> Result<Arc<Snapshot>> {
        self.local.create_table(table, schema, properties).await
    }

    async fn snapshot(&self, table: TableId, consistency: Consistency) -> Result<Arc<Snapshot>> {
        self.local.snapshot(table, consistency).await
    }

    async fn history(&self, table: TableId) -> Result<Vec<CommitInfo>> {
        self.local.history(table).await
    }

    async fn stage(
        &self,
        snapshot: &Snapshot,
        mut rows: BoxStream<'_, Result<RecordBatch>>,
    ) -> Result<Vec<StagedSegment>> {
        let (head, ended) = read_head(&mut rows).await?;
        let all = stream::iter(head.into_iter().map(Ok)).chain(rows).boxed();
        if ended || self.members.live().is_empty() {
            return self.local.stage(snapshot, all).await;
        }
        // The same version as everybody may hold it.
        let base = self.local.snapshot(snapshot.table, Consistency::Exactly(snapshot.version)).await?;
        self.deal(base, all).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.local.commit(transaction).await
    }

    async fn deletes(&self, table: TableId, segment: &Segment) -> Result<Option<Arc<RoaringBitmap>>> {
        self.local.deletes(table, segment).await
    }

    async fn open(&self, table: TableId, file: &FileRef) -> Result<Arc<dyn FileBytes>> {
        self.local.open(table, file).await
    }

    async fn check(&self, table: TableId, file: &FileRef) -> Result<()> {
        self.local.check(table, file).await
    }

    async fn put_sidecar(&self, table: TableId, segment: SegmentId, name: &str, bytes: Bytes) -> Result<FileRef> {
        self.local.put_sidecar(table, segment, name, bytes).await
    }

    fn path(&self, table: TableId, file: &FileRef) -> Path {
        self.local.path(table, file)
    }

    fn is_remote(&self) -> bool {
        self.local.is_remote()
    }

    async fn prefetch(&self, table: TableId, segment: &Segment) -> Result<()> {
        self.local.prefetch(table, segment).await
    }
}
