//! The tables of one data directory.
//!
//! ```text
//! volley.vfm          the directory's format (format.rs)
//! catalog/            the names' log
//! tables/{ulid}/      log/ ckpt/ gc/ hint: the table's log; seg/{ulid}/: segments; dv/: deletion vectors
//! ```

mod commit;
mod deletes;
mod format;
mod handle;
mod keys;
mod rebase;
#[cfg(test)]
mod tests;
mod together;
mod verify;

use crate::catalog::Catalog;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::files::FileCache;
use crate::ids::{SegmentId, TableId, Version};
use crate::log::{Appended, Draft, Log, create_file};
use crate::remote;
use crate::schema::TableSchema;
use crate::segment::{FileRef, Segment};
use crate::segment_writer::{self, StageOptions};
use crate::snapshot::{Snapshot, TableProperties};
use crate::store::{CommitInfo, Committed, Consistency, FileBytes, StagedSegment, TableStore, Transaction};
use crate::table::{TableAction, TableCommit, TableState, commit_info, encode_commit};
use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use deletes::DeletesCache;
use futures::StreamExt;
use futures::stream::BoxStream;
pub(crate) use handle::TableHandle;
use object_store::path::Path;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// The tables of one data directory. Clones share everything.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) env: Env,
    pub(crate) catalog: Catalog,
    pub(crate) files: FileCache,
    deletes: DeletesCache,
    tables: Mutex<HashMap<TableId, Arc<TableHandle>>>,
    /// Work that nobody waits for: checkpoints and folds.
    background: Mutex<JoinSet<()>>,
}

impl Database {
    /// Opens a data directory, creating what is missing in an empty one.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] when a newer Volley wrote it, [`Error::Corrupted`] naming the file when the directory's
    /// own files or the catalog are damaged, [`Error::Location`] when it lies in a store on which commits are not safe. A
    /// damaged table is no reason to fail: only using it is.
    pub async fn open(env: Env) -> Result<Database> {
        if env.is_remote() {
            remote::probe(&env).await?;
        }
        format::check(&env).await?;
        let inner = Inner {
            catalog: Catalog::open(env.clone()).await?,
            files: FileCache::new(env.clone()),
            deletes: DeletesCache::default(),
            tables: Mutex::default(),
            background: Mutex::default(),
            env,
        };
        Ok(Database { inner: Arc::new(inner) })
    }

    /// Whether there is a data directory that was opened before. Nothing is created.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn exists(env: &Env) -> Result<bool> {
        format::is_marked(env).await
    }

    /// The names of this data directory.
    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// The outside world that this directory was opened with.
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// The verified files of this directory.
    pub fn files(&self) -> &FileCache {
        &self.inner.files
    }

    /// Waits for the work that commits left behind: checkpoints and folds. Whoever closes the process soon after a
    /// commit calls it, or that work is left to the next process.
    pub async fn settle(&self) {
        loop {
            let mut running = std::mem::take(&mut *self.inner.background.lock());
            if running.is_empty() {
                return;
            }
            while running.join_next().await.is_some() {}
        }
    }

    /// Runs work that nobody waits for.
    pub(crate) fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.inner.background.lock();
        while background.try_join_next().is_some() {}
        background.spawn(work);
    }

    pub(crate) fn table(&self, table: TableId) -> Arc<TableHandle> {
        let mut tables = self.inner.tables.lock();
        tables.entry(table).or_insert_with(|| Arc::new(TableHandle::new(&self.inner.env, table))).clone()
    }
}

/// The directory of a table.
pub(crate) fn table_root(table: TableId) -> Path {
    Path::from("tables").join(table.to_string())
}

/// The path of a table's file below the store's root.
pub(crate) fn file_path(table: TableId, file: &FileRef) -> Path {
    // References were checked when they were decoded; a path that cannot be parsed names nothing.
    Path::parse(format!("{}/{}", table_root(table), file.path)).unwrap_or_else(|_| table_root(table).join("invalid"))
}

#[async_trait]
impl TableStore for Database {
    async fn create_table(
        &self,
        table: TableId,
        schema: TableSchema,
        properties: TableProperties,
    ) -> Result<Arc<Snapshot>> {
        let handle = self.table(table);
        let txn = crate::ids::TxnId(self.inner.env.new_ulid());
        let schema_id = schema.id;
        let commit = TableCommit {
            operation: "CREATE TABLE".into(),
            base: Version(0),
            idempotency: None,
            members: Vec::new(),
            actions: vec![TableAction::Create { schema: Arc::new(schema), properties }],
        };
        let commit_ts_ms = handle.log.next_commit_ts(None);
        let state = TableState::apply(table, None, &commit, Version(0), commit_ts_ms, txn)
            .map_err(|damage| Error::Internal { detail: format!("a table cannot be created: {damage:?}") })?;
        let draft = Draft { txn, commit_ts_ms, body: encode_commit(&commit, schema_id)?, state };
        match handle.log.append(None, draft).await? {
            Appended::Landed(head) => Ok(head.state.snapshot.clone()),
            Appended::Taken => Err(Error::Internal { detail: format!("table {table} exists already") }),
            Appended::Unknown(version) => Err(Error::CommitUnknown { table, version, txn }),
        }
    }

    async fn snapshot(&self, table: TableId, consistency: Consistency) -> Result<Arc<Snapshot>> {
        self.table(table).snapshot(consistency).await
    }

    async fn history(&self, table: TableId) -> Result<Vec<CommitInfo>> {
        let handle = self.table(table);
        let newest = handle.head().await?.version;
        let oldest = handle.log.floor().await?;
        let log: &Log<TableState> = &handle.log;
        let mut records = futures::stream::iter((oldest.0..=newest.0).rev())
            .map(|version| async move { log.record(Version(version)).await })
            .buffered(16);
        let mut lines = Vec::new();
        while let Some(record) = records.next().await {
            // Commits below a floor that rose meanwhile are gone, and so is their history.
            let Some(record) = record? else { break };
            lines.push(commit_info(&record).map_err(|damage| damage.at(&log.files.commit(record.version)))?);
        }
        Ok(lines)
    }

    async fn stage(&self, snapshot: &Snapshot, rows: BoxStream<'_, Result<RecordBatch>>) -> Result<Vec<StagedSegment>> {
        segment_writer::stage(&self.inner.env, snapshot.table, snapshot, rows, StageOptions::default()).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.commit_transaction(transaction).await
    }

    async fn deletes(&self, table: TableId, segment: &Segment) -> Result<Option<Arc<RoaringBitmap>>> {
        self.inner.deletes.get(&self.inner.files, table, segment).await
    }

    async fn open(&self, table: TableId, file: &FileRef) -> Result<Arc<dyn FileBytes>> {
        self.inner.files.open(&file_path(table, file), file).await
    }

    async fn check(&self, table: TableId, file: &FileRef) -> Result<()> {
        self.inner.files.check(&file_path(table, file), file).await
    }

    async fn put_sidecar(&self, table: TableId, segment: SegmentId, name: &str, bytes: Bytes) -> Result<FileRef> {
        let file = FileRef {
            path: format!("seg/{segment}/{name}"),
            length: bytes.len() as u64,
            blake3: *blake3::hash(&bytes).as_bytes(),
        };
        let path = file_path(table, &file);
        create_file(&self.inner.env, &path, bytes).await?;
        Ok(file)
    }

    fn path(&self, table: TableId, file: &FileRef) -> Path {
        file_path(table, file)
    }

    fn is_remote(&self) -> bool {
        self.inner.env.is_remote()
    }
}
