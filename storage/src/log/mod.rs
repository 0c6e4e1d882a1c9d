//! One log of commits: the only truth about a table, and about the catalog's names.
//!
//! ```text
//! {root}/log/{v:020}.vlc    commit v, created once, never overwritten   (record.rs: layout)
//! {root}/ckpt/{v:020}.vck   the whole state after commit v              (checkpoint.rs)
//! {root}/gc/floor-{v:020}   everything below version v may be gone      (floor.rs)
//! {root}/hint               the newest checkpoint's version; advisory, the only file ever overwritten
//! ```
//!
//! What the commits say is the business of a [`LogState`]; this module knows how to find the newest commit
//! ([`head`]) and how to add one so that exactly one writer wins a slot and every writer learns its own fate
//! ([`append`]).

mod append;
mod checkpoint;
mod created;
pub(crate) mod files;
mod floor;
mod head;
mod record;
#[cfg(test)]
mod tests;

pub(crate) use append::{Appended, Draft};
pub(crate) use created::create_file;
pub(crate) use files::LogFiles;
pub(crate) use head::Head;
#[cfg(test)]
pub(crate) use record::hash_of;
pub(crate) use record::{CommitHash, Damage, LogKind, Record, RecordForm};

use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A checkpoint is written after every so many commits; in tests more often, so that they see some.
pub(crate) const CHECKPOINT_EVERY: u64 = if cfg!(test) { 8 } else { 64 };
/// A head seen longer ago than this may lie below the floor: the floor is looked up before anything rests on it. Far
/// below the shortest retention, so that garbage collection cannot pass a head within it.
pub(crate) const HEAD_TRUSTED_MS: i64 = 60_000;

/// What the commits of a log add up to.
pub(crate) trait LogState: Clone + Send + Sync + Sized + 'static {
    /// Which kind of log it is.
    const KIND: LogKind;
    /// What the log belongs to, known before the log is read.
    type Owner: Clone + Send + Sync + 'static;

    /// The state after a commit on top of the state before it (`None` before version 0). Refuses whatever the state's
    /// invariants forbid, because the bytes may come from anywhere.
    fn replay(owner: &Self::Owner, before: Option<&Self>, commit: &Record) -> Result<Self, Damage>;
    /// The body of a checkpoint.
    fn to_checkpoint(&self) -> crate::Result<Vec<u8>>;
    /// The state that a checkpoint holds.
    fn from_checkpoint(owner: &Self::Owner, checkpoint: &Record) -> Result<Self, Damage>;
}

/// A log and what this process knows of its newest commit.
#[derive(Debug)]
pub(crate) struct Log<S: LogState> {
    pub(crate) files: LogFiles,
    pub(crate) owner: S::Owner,
    cached: RwLock<Option<Arc<Head<S>>>>,
    /// Whether a newer head is being looked for ahead of time.
    refreshing: AtomicBool,
}

impl<S: LogState> Log<S> {
    pub(crate) fn new(files: LogFiles, owner: S::Owner) -> Self {
        Self { files, owner, cached: RwLock::new(None), refreshing: AtomicBool::new(false) }
    }

    /// The newest head that this process has seen, without asking the store.
    pub(crate) fn cached(&self) -> Option<Arc<Head<S>>> {
        self.cached.read().clone()
    }

    /// Remembers a head; an older one than is known is not taken, so that versions never go backwards.
    fn publish(&self, head: &Arc<Head<S>>) {
        let mut cached = self.cached.write();
        match cached.as_ref() {
            Some(known) if known.version > head.version => {}
            Some(known) if known.version == head.version => known.confirm(head.confirmed_ms()),
            _ => *cached = Some(head.clone()),
        }
    }
}
