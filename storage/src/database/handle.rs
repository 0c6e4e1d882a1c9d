//! One table of this process: its log, the snapshots in use, and whose turn it is to write.

use super::table_root;
use super::together::Queue;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::{TableId, Version};
use crate::log::{Head, Log, LogFiles};
use crate::snapshot::Snapshot;
use crate::store::Consistency;
use crate::table::TableState;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Snapshots kept for queries that pin a version.
const SNAPSHOTS_KEPT: usize = 32;

#[derive(Debug)]
pub(crate) struct TableHandle {
    pub(crate) table: TableId,
    pub(crate) log: Arc<Log<TableState>>,
    /// Writers of this process take turns: among themselves they would only make each other try again.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// Appends that wait to be committed together.
    pub(super) appends: Mutex<Queue>,
    /// Whether a fold is under way in this process.
    pub(crate) folding: AtomicBool,
    snapshots: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl TableHandle {
    pub(super) fn new(env: &Env, table: TableId) -> Self {
        let files = LogFiles { env: env.clone(), root: table_root(table) };
        Self {
            table,
            log: Arc::new(Log::new(files, table)),
            writing: tokio::sync::Mutex::default(),
            appends: Mutex::default(),
            folding: AtomicBool::new(false),
            snapshots: Mutex::default(),
        }
    }

    /// The newest commit, looked for after this call began.
    pub(crate) async fn head(&self) -> Result<Arc<Head<TableState>>> {
        let head = self.log.head().await?.ok_or(Error::NoSuchTable { table: self.table })?;
        self.keep(&head.state.snapshot);
        Ok(head)
    }

    /// What a transaction starts from: the newest commit that is known, if it is not older than the transaction's own
    /// base. It may be out of date; then the slot after it is taken, and that is found out by trying to write it.
    pub(crate) async fn head_for_writing(&self, base: Version) -> Result<Arc<Head<TableState>>> {
        match self.log.cached() {
            Some(head) if head.version >= base && self.log.is_fresh(&head) => Ok(head),
            _ => self.head().await,
        }
    }

    pub(crate) async fn snapshot(&self, consistency: Consistency) -> Result<Arc<Snapshot>> {
        match consistency {
            Consistency::Strong => Ok(self.head().await?.state.snapshot.clone()),
            Consistency::AtLeast(version) => match self.log.cached() {
                Some(head) if head.version >= version => Ok(head.state.snapshot.clone()),
                _ => {
                    let head = self.head().await?;
                    if head.version < version {
                        return Err(self.no_such_version(version, head.version).await);
                    }
                    Ok(head.state.snapshot.clone())
                }
            },
            Consistency::Within(age_max_ms) => match self.log.recent(age_max_ms) {
                Some(head) => Ok(head.state.snapshot.clone()),
                None => Ok(self.head().await?.state.snapshot.clone()),
            },
            Consistency::Exactly(version) => self.pinned(version).await,
        }
    }

    async fn pinned(&self, version: Version) -> Result<Arc<Snapshot>> {
        if let Some(head) = self.log.cached()
            && head.version == version
        {
            return Ok(head.state.snapshot.clone());
        }
        if let Some(kept) = self.snapshots.lock().iter().find(|snapshot| snapshot.version == version) {
            return Ok(kept.clone());
        }
        // Newer than what is known here: mostly the log's end, which is a short way to read on.
        if self.log.cached().is_none_or(|head| head.version < version) {
            let head = self.head().await?;
            if head.version == version {
                return Ok(head.state.snapshot.clone());
            }
        }
        match self.log.at(version).await? {
            Some(head) => {
                self.keep(&head.state.snapshot);
                Ok(head.state.snapshot.clone())
            }
            None => {
                let newest = self.head().await?.version;
                Err(self.no_such_version(version, newest).await)
            }
        }
    }

    async fn no_such_version(&self, version: Version, newest: Version) -> Error {
        let oldest = self.log.floor().await.unwrap_or_default();
        Error::NoSuchVersion { table: self.table, version, oldest, newest }
    }

    pub(crate) fn keep(&self, snapshot: &Arc<Snapshot>) {
        let mut kept = self.snapshots.lock();
        if kept.iter().any(|known| known.version == snapshot.version) {
            return;
        }
        if kept.len() == SNAPSHOTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(snapshot.clone());
    }
}
