//! Finding the newest commit: from what is cached by one probe, from nothing by a checkpoint and the commits after it.

use super::record::{CommitHash, Record, RecordForm, hash_of};
use super::{HEAD_TRUSTED_MS, Log, LogState};
use crate::error::{Error, Result};
use crate::ids::Version;
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Commits read at once when many are expected.
const READ_AHEAD: usize = 16;
/// Loading begins anew when garbage collection overtakes it; more often than this cannot be bad luck.
const LOAD_TRIES: u32 = 8;

/// The state after one commit, and what the next commit has to repeat of it.
#[derive(Debug)]
pub(crate) struct Head<S> {
    pub(crate) version: Version,
    /// BLAKE3 of the commit's file: the next commit's link.
    pub(crate) hash: CommitHash,
    pub(crate) commit_ts_ms: i64,
    pub(crate) writer_features: u64,
    pub(crate) state: S,
    confirmed_ms: AtomicI64,
}

impl<S> Head<S> {
    pub(super) fn new(record: &Record, hash: CommitHash, state: S, confirmed_ms: i64) -> Self {
        let Record { version, commit_ts_ms, writer_features, .. } = *record;
        Self { version, hash, commit_ts_ms, writer_features, state, confirmed_ms: AtomicI64::new(confirmed_ms) }
    }

    /// When this was last known to be at or above the floor, by the local clock.
    pub(super) fn confirmed_ms(&self) -> i64 {
        self.confirmed_ms.load(Ordering::Relaxed)
    }

    pub(super) fn confirm(&self, now_ms: i64) {
        self.confirmed_ms.fetch_max(now_ms, Ordering::Relaxed);
    }
}

impl<S: LogState> Log<S> {
    /// Whether a head was seen so lately that it cannot have fallen below the floor.
    pub(crate) fn is_fresh(&self, head: &Head<S>) -> bool {
        self.files.env.clock.now_ms() - head.confirmed_ms() <= HEAD_TRUSTED_MS
    }

    /// Whether a head was the newest at most so many milliseconds ago, by the local clock; not if the clock was set back since.
    fn was_newest_within(&self, head: &Head<S>, age_max_ms: i64) -> bool {
        (0..=age_max_ms).contains(&(self.files.env.clock.now_ms() - head.confirmed_ms()))
    }

    /// The newest commit that this process has seen, if it was the newest at most so many milliseconds ago.
    ///
    /// Over a network a task of its own looks for a newer one when half of that time has passed, so that those who ask often do
    /// not wait for the store.
    pub(crate) fn recent(self: &Arc<Self>, age_max_ms: i64) -> Option<Arc<Head<S>>> {
        let head = self.cached().filter(|head| self.was_newest_within(head, age_max_ms))?;
        let is_due = self.files.env.is_remote() && !self.was_newest_within(&head, age_max_ms / 2);
        if is_due && !self.refreshing.swap(true, Ordering::Relaxed) {
            let log = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = log.head().await {
                    tracing::debug!(%error, "a newer version could not be looked for ahead of time");
                }
                log.refreshing.store(false, Ordering::Relaxed);
            });
        }
        Some(head)
    }

    /// One commit with its envelope checked, its place in the chain not; `None` when it is not there.
    pub(crate) async fn record(&self, version: Version) -> Result<Option<Record>> {
        let path = self.files.commit(version);
        let Some(file) = self.files.read(&path).await? else { return Ok(None) };
        Record::decode(file, RecordForm::Commit, S::KIND, version).map(Some).map_err(|damage| damage.at(&path))
    }

    /// The newest commit, looked for after this call began; `None` when the log does not exist.
    pub(crate) async fn head(&self) -> Result<Option<Arc<Head<S>>>> {
        let now_ms = self.files.env.clock.now_ms();
        let Some(cached) = self.cached() else { return self.load(now_ms).await };
        let old = !self.is_fresh(&cached);
        let head = match self.files.is_absent(&self.files.commit(cached.version.next())) {
            true => cached,
            false => self.follow(cached, None, 1).await?,
        };
        // An old head may have fallen below the floor, where a missing commit means "deleted" and a present one may be
        // that of a writer who overslept. Asked after the probe, since the floor is published before any deletion.
        if old && self.floor().await? > head.version {
            *self.cached.write() = None;
            return self.load(now_ms).await;
        }
        head.confirm(now_ms);
        self.publish(&head);
        Ok(Some(head))
    }

    /// The state after one commit, newest or not; `None` when no such commit can be reached.
    pub(crate) async fn at(&self, version: Version) -> Result<Option<Arc<Head<S>>>> {
        for _ in 0..LOAD_TRIES {
            let floor = self.floor().await?;
            if version < floor {
                return Ok(None);
            }
            let checkpoints = self.files.list("ckpt").await?;
            let base = checkpoints.into_iter().rev().map(|(v, _)| v).filter(|v| (floor..=version).contains(v));
            let found = match self.start(base.collect(), floor).await? {
                Some(start) => self.follow(start, Some(version), READ_AHEAD).await?,
                None => return Ok(None),
            };
            if found.version == version {
                return Ok(Some(found));
            }
            // The log ends earlier, or garbage collection took the commits from under this reader.
            if self.floor().await? <= found.version {
                return Ok(None);
            }
        }
        Err(self.overtaken())
    }

    /// Shows every state from a version on to the newest, in order; returns the newest version.
    pub(crate) async fn walk(&self, from: Version, mut visit: impl FnMut(&Head<S>)) -> Result<Version> {
        let Some(mut head) = self.at(from).await? else {
            let path = self.files.commit(from).to_string();
            return Err(Error::Corrupted { path, detail: "the version at the log's floor cannot be read".into() });
        };
        visit(&head);
        while let Some(file) = self.files.read(&self.files.commit(head.version.next())).await? {
            head = Arc::new(self.replay(&head, head.version.next(), file)?);
            visit(&head);
        }
        Ok(head.version)
    }

    /// Reads the log from a checkpoint on.
    async fn load(&self, now_ms: i64) -> Result<Option<Arc<Head<S>>>> {
        for attempt in 0..LOAD_TRIES {
            // A hint from before the floor leads nowhere, so it gets one chance.
            let Some(start) = self.newest_start(attempt == 0).await? else { return Ok(None) };
            let head = self.follow(start, None, READ_AHEAD).await?;
            // The floor is published before anything is deleted: if it is not above what was found, then no commit
            // that was missed had been deleted.
            if self.floor().await? <= head.version {
                head.confirm(now_ms);
                self.publish(&head);
                return Ok(Some(head));
            }
        }
        Err(self.overtaken())
    }

    fn overtaken(&self) -> Error {
        Error::Internal {
            detail: format!("garbage collection overtook a reader of {} again and again", self.files.root),
        }
    }

    /// Where to begin reading: the checkpoint that the hint names, the newest listed one that is whole, or version 0.
    async fn newest_start(&self, trust_hint: bool) -> Result<Option<Arc<Head<S>>>> {
        if trust_hint
            && let Some(version) = self.hint().await
            && let Ok(Some(start)) = self.read_checkpoint(version).await
        {
            return Ok(Some(start));
        }
        let floor = self.floor().await?;
        let checkpoints = self.files.list("ckpt").await?;
        self.start(checkpoints.into_iter().rev().map(|(v, _)| v).filter(|v| *v >= floor).collect(), floor).await
    }

    /// The first of these checkpoints that is whole, or version 0 when the log still reaches down to it.
    async fn start(&self, checkpoints: Vec<Version>, floor: Version) -> Result<Option<Arc<Head<S>>>> {
        let mut damage = None;
        for version in checkpoints {
            match self.read_checkpoint(version).await {
                Ok(Some(head)) => return Ok(Some(head)),
                Ok(None) => {}
                Err(error @ (Error::Corrupted { .. } | Error::NewerFormat { .. })) => {
                    tracing::warn!(%error, "a checkpoint cannot be used; reading the log from an older one");
                    damage = damage.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if floor > Version(0) {
            let path = self.files.checkpoint(floor).to_string();
            return Err(damage.unwrap_or(Error::Corrupted { path, detail: "the file is missing".into() }));
        }
        let (path, version) = (self.files.commit(Version(0)), Version(0));
        let Some(file) = self.files.read(&path).await? else { return damage.map_or(Ok(None), Err) };
        let hash = hash_of(&file);
        let record = Record::decode(file, RecordForm::Commit, S::KIND, version).map_err(|d| d.at(&path))?;
        let state = S::replay(&self.owner, None, &record).map_err(|d| d.at(&path))?;
        Ok(Some(Arc::new(Head::new(&record, hash, state, 0))))
    }

    /// Reads commits after `head` until there are no more, or until version `last`.
    async fn follow(&self, head: Arc<Head<S>>, last: Option<Version>, read_ahead: usize) -> Result<Arc<Head<S>>> {
        let mut head = head;
        let end = last.map_or(u64::MAX, |v| v.0.saturating_add(1));
        let versions = futures::stream::iter(head.version.0.saturating_add(1)..end);
        let mut files = versions
            .map(|v| async move { (Version(v), self.files.read(&self.files.commit(Version(v))).await) })
            .buffered(read_ahead);
        while let Some((version, file)) = files.next().await {
            let Some(file) = file? else { break };
            head = Arc::new(self.replay(&head, version, file)?);
        }
        Ok(head)
    }

    /// The head that a commit's bytes make on top of its predecessor.
    pub(super) fn replay(&self, before: &Head<S>, version: Version, file: bytes::Bytes) -> Result<Head<S>> {
        let path = self.files.commit(version);
        let hash = hash_of(&file);
        let record = Record::decode(file, RecordForm::Commit, S::KIND, version).map_err(|d| d.at(&path))?;
        self.check_chain(before, &record)?;
        let state = S::replay(&self.owner, Some(&before.state), &record).map_err(|d| d.at(&path))?;
        Ok(Head::new(&record, hash, state, before.confirmed_ms()))
    }

    /// The invariants of a chain: each commit repeats its predecessor's hash and is later than it.
    fn check_chain(&self, before: &Head<S>, record: &Record) -> Result<()> {
        let path = || self.files.commit(record.version).to_string();
        if record.link != before.hash {
            let detail = "it does not follow the commit before it (the hash chain is broken)".into();
            return Err(Error::Corrupted { path: path(), detail });
        }
        if record.commit_ts_ms <= before.commit_ts_ms {
            let detail = "it is not later than the commit before it".into();
            return Err(Error::Corrupted { path: path(), detail });
        }
        Ok(())
    }
}
