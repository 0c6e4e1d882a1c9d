//! The commit protocol: at most one writer gets a slot, and each learns its own fate.
//!
//! 1. The caller has made every file durable that the commit speaks of.
//! 2. `Create` the next version's file, in a task of its own.
//! 3. Whatever the reply says short of success, **the slot decides**: it holds this transaction (the reply was lost, or
//!    a retry inside the store met its own first try) – landed; another's – taken; nothing – the *identical* bytes
//!    are tried again, so that a first try that is still under way can only land as itself. When the slot cannot be
//!    read to the end of the tries, the outcome is unknown, and nothing the commit speaks of may ever be deleted.
//! 4. A writer that slept since it looked at the head may have landed in a slot that garbage collection had freed:
//!    a commit is acknowledged only at or above the floor.

use super::files::PATIENCE_MS;
use super::head::Head;
use super::record::{Record, RecordForm, hash_of};
use super::{HEAD_TRUSTED_MS, Log, LogState};
use crate::error::{Error, Result, is_disk_full};
use crate::ids::{TxnId, Version};
use crate::planted::{PlantedBug, planted};
use crate::remote::was_never_sent;
use bytes::Bytes;
use object_store::path::Path;
use std::sync::Arc;

/// How often a slot is written and read before the outcome counts as unknown.
const RESOLVE_TRIES: u32 = 10;
/// No try begins later than this after the first: a store that is silent so long leaves the outcome unknown.
const RESOLVE_MS_MAX: i64 = 60_000;
/// How often a store is tried that nothing reaches; [`PATIENCE_MS`] ends it sooner.
const UNREACHED_TRIES: u32 = 20;

/// A commit to be: its place in the log is given when it is appended.
pub(crate) struct Draft<S> {
    pub(crate) txn: TxnId,
    /// See [`Log::next_commit_ts`].
    pub(crate) commit_ts_ms: i64,
    pub(crate) body: Vec<u8>,
    /// The state after the commit.
    pub(crate) state: S,
}

/// What became of a commit.
pub(crate) enum Appended<S> {
    /// It is durable and part of the log.
    Landed(Arc<Head<S>>),
    /// Another's commit has the slot; this one is not and will never be in the log.
    Taken,
    /// The store did not say.
    Unknown(Version),
}

/// What a slot turned out to hold.
enum Slot {
    Mine,
    /// This transaction, committed by an earlier call with other bytes.
    MineBefore(Bytes),
    Others,
    Unknown,
}

impl<S: LogState> Log<S> {
    /// The time of a commit on top of `base`: later than every commit before it whatever the clocks say.
    pub(crate) fn next_commit_ts(&self, base: Option<&Head<S>>) -> i64 {
        let now_ms = self.files.env.clock.now_ms();
        base.map_or(now_ms, |base| now_ms.max(base.commit_ts_ms.saturating_add(1)))
    }

    /// Appends a commit after `base`, or as version 0.
    pub(crate) async fn append(&self, base: Option<&Arc<Head<S>>>, draft: Draft<S>) -> Result<Appended<S>> {
        let started_ms = self.files.env.clock.now_ms();
        let version = base.map_or(Version(0), |base| base.version.next());
        let path = self.files.commit(version);
        let writer_features = base.map_or(0, |base| base.writer_features);
        Record::check_writable(writer_features).map_err(|d| d.at(&path))?;
        let record = Record {
            form: RecordForm::Commit,
            kind: S::KIND,
            writer_features,
            version,
            commit_ts_ms: draft.commit_ts_ms,
            txn: draft.txn,
            link: base.map_or([0; 32], |base| base.hash),
            body: draft.body.into(),
        };
        let bytes = record.encode();
        let head = match self.settle(&path, &bytes, &record).await? {
            Slot::Mine => Head::new(&record, hash_of(&bytes), draft.state, started_ms),
            Slot::MineBefore(file) => match base {
                Some(base) => self.replay(base, version, file)?,
                None => return Ok(Appended::Taken),
            },
            Slot::Others => return Ok(Appended::Taken),
            Slot::Unknown => return Ok(Appended::Unknown(version)),
        };
        let looked_ms = base.map_or(started_ms, |base| base.confirmed_ms());
        let overslept = self.files.env.clock.now_ms() - looked_ms > HEAD_TRUSTED_MS;
        if overslept && !planted(PlantedBug::AcknowledgeBelowFloor) {
            match self.floor().await {
                Ok(floor) if floor <= version => {}
                // Either it landed in time and the log went on, or its slot had been freed and it lies where nobody
                // will ever look. The commits that could tell are deleted.
                Ok(_) => {
                    *self.cached.write() = None;
                    return Ok(Appended::Unknown(version));
                }
                // It stands in the store; whether it counts is the one thing that is not known.
                Err(error) => {
                    tracing::warn!(%error, "a late commit could not be compared with the floor");
                    return Ok(Appended::Unknown(version));
                }
            }
        }
        let head = Arc::new(head);
        self.publish(&head);
        Ok(Appended::Landed(head))
    }

    /// Creates the slot's file and finds out who has it.
    async fn settle(&self, path: &Path, bytes: &Bytes, record: &Record) -> Result<Slot> {
        let began_ms = self.files.env.clock.now_ms();
        // Whether no try can have reached the store.
        let mut unreached = true;
        let mut last = None;
        for attempt in 0.. {
            if attempt > 0 {
                // Where nothing was sent there is no doubt to resolve, and others wait for their turn.
                let (tries, ms_max) = match unreached {
                    true => (UNREACHED_TRIES, PATIENCE_MS),
                    false => (RESOLVE_TRIES, RESOLVE_MS_MAX),
                };
                if attempt >= tries || self.files.env.clock.now_ms() - began_ms > ms_max {
                    break;
                }
                self.files.back_off(attempt).await;
            }
            let mut failure = match self.files.create(path, bytes.clone()).await {
                Some(Ok(())) => return Ok(Slot::Mine),
                Some(Err(error)) => Some(error),
                None => None,
            };
            unreached &= failure.as_ref().is_some_and(was_never_sent);
            if unreached {
                // The slot cannot be read either, and holds nothing of this try.
                last = failure;
                continue;
            }
            if matches!(failure, Some(object_store::Error::AlreadyExists { .. })) {
                if planted(PlantedBug::ExistsMeansLanded) {
                    return Ok(Slot::Mine);
                }
                if planted(PlantedBug::ExistsMeansLost) {
                    return Ok(Slot::Others);
                }
            }
            match self.files.read(path).await {
                Ok(Some(found)) => return self.whose(path, found, bytes, record),
                Ok(None) => {
                    if let Some(source) = failure.take_if(|error| attempt == 0 && is_final(error)) {
                        return Err(Error::store("write", path, source));
                    }
                }
                Err(error @ (Error::Corrupted { .. } | Error::NewerFormat { .. })) => return Err(error),
                Err(error) => tracing::debug!(%error, "a commit's slot could not be read"),
            }
            last = failure;
        }
        match last {
            // Nothing was sent, so nothing will land: that is an error like any other, and not a doubt.
            Some(source) if unreached => Err(Error::store("write", path, source)),
            _ => Ok(Slot::Unknown),
        }
    }

    fn whose(&self, path: &Path, found: Bytes, mine: &Bytes, record: &Record) -> Result<Slot> {
        if found == *mine {
            return Ok(Slot::Mine);
        }
        let other = Record::decode(found.clone(), RecordForm::Commit, S::KIND, record.version)
            .map_err(|damage| damage.at(path))?;
        Ok(if other.txn == record.txn { Slot::MineBefore(found) } else { Slot::Others })
    }
}

/// Whether an error says for certain that nothing landed and that trying again is pointless.
fn is_final(error: &object_store::Error) -> bool {
    use object_store::Error::{NotImplemented, NotSupported, PermissionDenied, Unauthenticated};
    matches!(error, NotImplemented { .. } | NotSupported { .. } | PermissionDenied { .. } | Unauthenticated { .. })
        || is_disk_full(error)
}
