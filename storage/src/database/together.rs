//! Appends that meet land in one commit: what a commit costs is a file made durable, however much is in it.
//!
//! ```text
//! append ─▶ queue ─▶ the one task that serves it: takes all that wait, makes one transaction of them, commits it,
//!                    answers each, and again until nobody waits
//! ```
//! So a commit holds what came while the one before it was being written, and an append that nobody else is in the way of
//! is committed by itself, at once. The commit's record names its members, so that each can be found again. Where the
//! whole is refused each member is committed by itself, to learn what is wrong with it and not with the others; where it is the
//! store that fails, it fails for all of them.

use super::{Database, TableHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{TxnId, Version};
use crate::store::{Committed, Transaction};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Members of a commit at most, so that a record stays a small file.
const MEMBERS_MAX: usize = 64;

/// Appends that wait, and whether a task serves them.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    is_served: bool,
}

/// A transaction that waits for its turn.
#[derive(Debug)]
struct Waiting {
    txn: Transaction,
    answer: oneshot::Sender<Result<Committed>>,
}

/// A transaction inside a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) txn: TxnId,
    /// The version it was computed on.
    pub(super) base: Version,
}

/// Whether a transaction only adds new rows, which never depends on what others do.
pub(super) fn can_be_shared(txn: &Transaction) -> bool {
    let Transaction { add, delete, remove, attach, detach, idempotency, .. } = txn;
    let changes = delete.is_empty() && remove.is_empty() && attach.is_empty() && detach.is_empty();
    changes && idempotency.is_none() && !add.is_empty() && add.iter().all(|staged| !staged.has_row_id_column)
}

/// Whether it is the store that failed, whatever was to be committed.
pub(super) fn is_of_store(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::DiskFull)
}

/// The task that serves a table's queue, until nobody waits.
struct Serving {
    table: Arc<TableHandle>,
    is_done: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ended before its time, with its runtime or by a panic: whoever waits hears of it, and the next append begins anew.
        if !self.is_done {
            *self.table.appends.lock() = Queue::default();
        }
    }
}

impl Database {
    /// Commits an append, together with those that wait for their turn at the same time.
    pub(super) async fn commit_together(&self, table: &Arc<TableHandle>, txn: Transaction) -> Result<Committed> {
        let (id, base) = (txn.id, txn.base.version);
        let (answer, answered) = oneshot::channel();
        let was_served = {
            let mut queue = table.appends.lock();
            queue.waiting.push_back(Waiting { txn, answer });
            std::mem::replace(&mut queue.is_served, true)
        };
        if !was_served {
            // A task of its own, because turns that pass from one append to the next would wait for each to be scheduled.
            let (database, serving) = (self.clone(), Serving { table: Arc::clone(table), is_done: false });
            tokio::spawn(async move { database.serve(serving).await });
        }
        // Without an answer the task ended on the way.
        let unknown = Error::CommitUnknown { table: table.table, version: base.next(), txn: id };
        answered.await.unwrap_or(Err(unknown))
    }

    /// Commits what waits until nothing does.
    async fn serve(&self, mut serving: Serving) {
        while !serving.is_done {
            let _turn = serving.table.writing.lock().await;
            let group: Vec<Waiting> = {
                let mut queue = serving.table.appends.lock();
                // Nobody waits any more for those whose call was dropped: they never began.
                queue.waiting.retain(|waiting| !waiting.answer.is_closed());
                let count = queue.waiting.len().min(MEMBERS_MAX);
                // Said under the lock, so that an append that comes now begins another task.
                queue.is_served = count > 0;
                serving.is_done = count == 0;
                queue.waiting.drain(..count).collect()
            };
            self.commit_group(&serving.table, group).await;
        }
    }

    /// Commits a group and answers its members.
    async fn commit_group(&self, table: &TableHandle, group: Vec<Waiting>) {
        let mut failure = None;
        if let Some((whole, members)) = self.whole(&group) {
            match self.commit_in_turn(table, &whole, &members).await {
                Ok(committed) => {
                    // One that has gone away meanwhile has no use for the answer.
                    group.into_iter().for_each(|member| drop(member.answer.send(Ok(committed.clone()))));
                    return;
                }
                Err(Error::CommitUnknown { table, version, .. }) => {
                    for Waiting { txn, answer } in group {
                        drop(answer.send(Err(Error::CommitUnknown { table, version, txn: txn.id })));
                    }
                    return;
                }
                // Refused as a whole; nothing of it landed.
                Err(error) => failure = Some(error).filter(is_of_store),
            }
        }
        for Waiting { txn, answer } in group {
            // Whoever gave up meanwhile never began.
            if answer.is_closed() {
                continue;
            }
            let outcome = match &failure {
                // Each by itself would wait for the same store, one after the other.
                Some(error) => Err(error.shared()),
                None => self.commit_in_turn(table, &txn, &[]).await,
            };
            failure = failure.or(outcome.as_ref().err().filter(|error| is_of_store(error)).map(Error::shared));
            drop(answer.send(outcome));
        }
    }

    /// One transaction that does what all of them do, and which they are; `None` where they do not fit together.
    fn whole(&self, group: &[Waiting]) -> Option<(Transaction, Vec<Member>)> {
        let newest = group.iter().map(|waiting| &waiting.txn).max_by_key(|txn| txn.base.version)?;
        let fits =
            |other: &Transaction| other.base.schema.id == newest.base.schema.id && other.operation == newest.operation;
        if group.len() < 2 || !group.iter().all(|waiting| fits(&waiting.txn)) {
            return None;
        }
        let whole = Transaction {
            id: TxnId(self.env().new_ulid()),
            base: newest.base.clone(),
            add: group.iter().flat_map(|waiting| waiting.txn.add.iter().cloned()).collect(),
            delete: BTreeMap::new(),
            remove: Vec::new(),
            attach: Vec::new(),
            detach: Vec::new(),
            idempotency: None,
            operation: newest.operation.clone(),
        };
        let members = group.iter().map(|waiting| Member { txn: waiting.txn.id, base: waiting.txn.base.version });
        Some((whole, members.collect()))
    }
}
