//! Garbage collection: old versions, files that no version refers to, directories of dropped tables.
//!
//! The order is what makes it safe, whatever else runs and wherever it stops:
//!
//! 1. The time is the **store's**: that of a freshly written object. A machine with a wrong clock deletes nothing early.
//! 2. A table's files are listed *before* its log is read, so a file committed in between counts as referred to.
//! 3. The floor is chosen by the age of the log's own files, never less than a day below the newest commit that was in
//!    force; the checkpoint at the floor is written and read back; **then the floor is published; then** commits and
//!    checkpoints below it are deleted. Readers that find a commit missing look at the floor before they believe that
//!    the log ends; writers that slept look at it before they acknowledge.
//! 4. A data file goes only when no version from the floor on refers to it and it is three days old: longer than any
//!    transaction may take from staging to commit (one day).
//! 5. That a transaction checks its age is not enough: its process may sleep between the check and the request. So an
//!    empty commit, the **fence**, comes before the deletion. What landed before the fence is seen; what did not has to
//!    be built anew on top of it, since a commit repeats the hash of its predecessor, and checks its age again.

use crate::database::{Database, TableHandle, file_path, table_root};
use crate::error::{Error, Result};
use crate::ids::{TableId, TxnId, Version};
use crate::log::{Appended, Draft, Log, LogFiles, LogState, files::list_all};
use crate::planted::{PlantedBug, planted};
use crate::segment::{Deletes, FileRef, Segment, SegmentData};
use crate::table::{TableCommit, TableState, encode_commit, file_refs};
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long versions can be read after they were replaced, unless asked otherwise.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// No retention is shorter: running queries and sleeping writers rely on it.
pub const RETENTION_MIN: Duration = Duration::from_secs(24 * 3600);
/// A file that nothing refers to is deleted at this age.
const ORPHAN_AGE_MS: i64 = 72 * 3600 * 1000;
/// How often a fence is tried; a table that is written so busily keeps its orphans for another day.
const FENCE_TRIES: u32 = 8;

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GarbageReport {
    /// Log files, checkpoints and data files deleted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Directories of dropped tables deleted.
    pub tables: u64,
    /// Tables left alone because their log cannot be read.
    pub skipped: u64,
}

impl Database {
    /// Deletes what no version within `retention` (at least [`RETENTION_MIN`]) needs. Any number of processes may do
    /// it at the same time, beside readers and writers.
    ///
    /// # Errors
    /// Those of the store. A table whose log is damaged is left alone and counted.
    pub async fn collect_garbage(&self, retention: Duration) -> Result<GarbageReport> {
        let mut report = GarbageReport::default();
        let now_ms = self.store_now_ms().await?;
        let retention_ms = i64::try_from(retention.max(RETENTION_MIN).as_millis()).unwrap_or(i64::MAX);
        let cutoff_ms = now_ms.saturating_sub(retention_ms);
        // Directories are listed before the catalog is read: a table that gets its name meanwhile is not taken for one
        // that has none.
        let directories = self.table_directories().await?;
        let named = self.named_tables(cutoff_ms, &mut report).await?;
        let nameless: Vec<TableId> = directories.iter().copied().filter(|table| !named.contains(table)).collect();
        self.remove_tables(nameless, now_ms, &mut report).await?;
        for table in directories.into_iter().filter(|table| named.contains(table)) {
            match self.collect_table(table, now_ms, cutoff_ms, &mut report).await {
                Err(Error::Corrupted { .. } | Error::NewerFormat { .. } | Error::NoSuchTable { .. }) => {
                    report.skipped += 1;
                }
                other => other?,
            }
        }
        Ok(report)
    }

    /// The store's time: that of an object written now.
    async fn store_now_ms(&self) -> Result<i64> {
        let env = self.env();
        if planted(PlantedBug::OrphansByLocalClock) {
            return Ok(env.clock.now_ms());
        }
        let path = Path::from("gc").join(format!("clock-{}", env.new_ulid()));
        let written = env.store.put(&path, Vec::new().into()).await;
        written.map_err(|source| Error::store("write", &path, source))?;
        let seen = env.store.head(&path).await;
        // A probe left behind is an empty file; the next collection does not mind it.
        let _ = env.store.delete(&path).await;
        Ok(seen.map_err(|source| Error::store("read", &path, source))?.last_modified.timestamp_millis())
    }

    pub(crate) async fn table_directories(&self) -> Result<Vec<TableId>> {
        let root = Path::from("tables");
        let listed = self.env().store.list_with_delimiter(Some(&root)).await;
        let listed = listed.map_err(|source| Error::store("list", &root, source))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok()).collect())
    }

    /// Tables that some version of the catalog from its floor on names.
    async fn named_tables(&self, cutoff_ms: i64, report: &mut GarbageReport) -> Result<BTreeSet<TableId>> {
        let log = &self.catalog().log;
        let floor = self.collect_log(log, cutoff_ms, report).await?;
        let mut named = BTreeSet::new();
        log.walk(floor, |head| named.extend(head.state.snapshot.tables())).await?;
        Ok(named)
    }

    async fn collect_table(
        &self,
        table: TableId,
        now_ms: i64,
        cutoff_ms: i64,
        report: &mut GarbageReport,
    ) -> Result<()> {
        let mut files = Vec::new();
        for folder in ["seg", "dv"] {
            files.extend(list_all(self.env(), &table_root(table).join(folder)).await?);
        }
        let handle = self.table(table);
        let floor = self.collect_log(&handle.log, cutoff_ms, report).await?;
        let mut candidates: Vec<ObjectMeta> = files
            .into_iter()
            .filter(|file| now_ms.saturating_sub(file.last_modified.timestamp_millis()) > ORPHAN_AGE_MS)
            .collect();
        let live = self.live_files(&handle, floor).await?;
        candidates.retain(|file| !live.contains(&file.location));
        if candidates.is_empty() {
            return Ok(());
        }
        if !planted(PlantedBug::OrphansWithoutFence) {
            if !self.fence_table(&handle).await? {
                return Ok(());
            }
            let live = self.live_files(&handle, floor).await?;
            candidates.retain(|file| !live.contains(&file.location));
        }
        self.delete(candidates, report).await
    }

    /// Every file that a version from the floor on refers to.
    async fn live_files(&self, handle: &TableHandle, floor: Version) -> Result<BTreeSet<Path>> {
        let log = &handle.log;
        let Some(oldest) = log.at(floor).await? else { return Err(overtaken(&log.files)) };
        let files = oldest.state.snapshot.segments.iter().flat_map(|segment| segment_files(segment));
        let mut live: BTreeSet<Path> = files.map(|file| file_path(handle.table, &file)).collect();
        let mut version = floor.next();
        while let Some(record) = log.record(version).await? {
            let refs = file_refs(&record).map_err(|damage| damage.at(&log.files.commit(version)))?;
            live.extend(refs.iter().map(|file| file_path(handle.table, file)));
            version = version.next();
        }
        Ok(live)
    }

    /// Appends the empty commit that every transaction under way has to be rebased over. False when it did not get
    /// through this time.
    async fn fence_table(&self, handle: &TableHandle) -> Result<bool> {
        let commit = |base| TableCommit {
            operation: "GC".into(),
            base,
            idempotency: None,
            members: Vec::new(),
            actions: Vec::new(),
        };
        let _turn = handle.writing.lock().await;
        for attempt in 1..=FENCE_TRIES {
            let head = handle.head().await?;
            let (txn, commit) = (TxnId(self.env().new_ulid()), commit(head.version));
            let commit_ts_ms = handle.log.next_commit_ts(Some(&head));
            let version = head.version.next();
            let state = TableState::apply(handle.table, Some(&head.state), &commit, version, commit_ts_ms, txn)
                .map_err(|damage| damage.at(&handle.log.files.commit(version)))?;
            let body = encode_commit(&commit, state.snapshot.schema.id)?;
            match handle.log.append(Some(&head), Draft { txn, commit_ts_ms, body, state }).await? {
                Appended::Landed(_) => return Ok(true),
                Appended::Taken => handle.log.files.back_off(attempt).await,
                Appended::Unknown(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Raises a log's floor to the version that was in force at the cutoff, and deletes what lies below it.
    async fn collect_log<S: LogState>(
        &self,
        log: &Log<S>,
        cutoff_ms: i64,
        report: &mut GarbageReport,
    ) -> Result<Version> {
        let commits = log.files.list("log").await?;
        let newest = match log.head().await? {
            Some(head) => head.version,
            None => return Ok(Version(0)),
        };
        let mut floor = log.floor().await?;
        let in_force = commits
            .iter()
            .filter(|(version, file)| *version <= newest && file.last_modified.timestamp_millis() <= cutoff_ms);
        if let Some(target) = in_force.map(|(version, _)| *version).max().filter(|target| *target > floor) {
            let Some(head) = log.at(target).await? else {
                return Ok(floor);
            };
            log.write_checkpoint(&head).await?;
            if log.read_checkpoint(target).await?.is_none() {
                return Ok(floor);
            }
            log.publish_floor(target).await?;
            floor = target;
        }
        let mut below: Vec<ObjectMeta> = Vec::new();
        for (version, file) in
            commits.into_iter().chain(log.files.list("ckpt").await?).chain(log.files.list("gc").await?)
        {
            if version < floor {
                below.push(file);
            }
        }
        self.delete(below, report).await?;
        Ok(floor)
    }

    /// Deletes the directories of tables without a name, unless something in one is young: it may be about to get one.
    async fn remove_tables(&self, tables: Vec<TableId>, now_ms: i64, report: &mut GarbageReport) -> Result<()> {
        let mut old = Vec::new();
        for table in tables {
            let files = list_all(self.env(), &table_root(table)).await?;
            let young =
                |file: &ObjectMeta| now_ms.saturating_sub(file.last_modified.timestamp_millis()) <= ORPHAN_AGE_MS;
            if !files.iter().any(young) {
                old.push((table, files));
            }
        }
        // A name that is given after the fence is refused for tables as old as these.
        if old.is_empty() || !self.catalog().fence().await? {
            return Ok(());
        }
        let mut named = BTreeSet::new();
        let log = &self.catalog().log;
        log.walk(log.floor().await?, |head| named.extend(head.state.snapshot.tables())).await?;
        for (table, files) in old {
            if !named.contains(&table) {
                report.tables += 1;
                self.delete(files, report).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, files: Vec<ObjectMeta>, report: &mut GarbageReport) -> Result<()> {
        for file in &files {
            report.files += 1;
            report.bytes += file.size;
        }
        let paths: Vec<_> = files.into_iter().map(|file| Ok(file.location)).collect();
        let mut deleted = self.env().store.delete_stream(stream::iter(paths).boxed());
        while let Some(reply) = deleted.next().await {
            match reply {
                // Another collector was faster.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(Error::store("delete", &Path::from("tables"), source)),
            }
        }
        Ok(())
    }
}

fn overtaken(files: &LogFiles) -> Error {
    Error::Internal { detail: format!("another collection of {} came between", files.root) }
}

/// Every file that a segment refers to.
pub(crate) fn segment_files(segment: &Segment) -> Vec<FileRef> {
    let mut files: Vec<FileRef> = segment.sidecars.iter().map(|sidecar| sidecar.file.clone()).collect();
    if let SegmentData::File(file) = &segment.data {
        files.push(file.clone());
    }
    if let Deletes::File { file, .. } = &segment.deletes {
        files.push(file.clone());
    }
    files
}
