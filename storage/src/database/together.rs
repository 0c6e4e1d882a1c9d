//! Appends that meet land in one commit: what a commit costs is a file made durable, however much is in it.
//!
//! ```text
//! append ─▶ waiting ─▶ turn ─┬─ answered meanwhile: done
//!                            └─ else takes all that wait, makes one transaction of them, commits it, answers each
//! ```
//! So a commit holds what came while the one before it was being written, and an append that nobody else is in the way of
//! is committed by itself, at once. The commit's record names its members, so that each can be found again. Where the
//! whole is refused each member is committed by itself, to learn what is wrong with it and not with the others.

use super::{Database, TableHandle};
use crate::error::{Error, Result};
use crate::ids::{TxnId, Version};
use crate::store::{Committed, Transaction};
use std::collections::BTreeMap;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// Members of a commit at most, so that a record stays a small file.
const MEMBERS_MAX: usize = 64;

/// A transaction that waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
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

impl Database {
    /// Commits an append, together with those that wait for their turn at the same time.
    pub(super) async fn commit_together(&self, table: &TableHandle, txn: Transaction) -> Result<Committed> {
        let (id, base) = (txn.id, txn.base.version);
        let (answer, mut answered) = oneshot::channel();
        table.waiting.lock().push_back(Waiting { txn, answer });
        let _turn = table.writing.lock().await;
        loop {
            match answered.try_recv() {
                Ok(outcome) => return outcome,
                // It still waits, so it is this one's turn to commit for all.
                Err(TryRecvError::Empty) => self.commit_waiting(table).await,
                // Whoever committed it was dropped on the way.
                Err(TryRecvError::Closed) => {
                    return Err(Error::CommitUnknown { table: table.table, version: base.next(), txn: id });
                }
            }
        }
    }

    /// Commits what has waited longest, and answers it.
    async fn commit_waiting(&self, table: &TableHandle) {
        let group: Vec<Waiting> = {
            let mut waiting = table.waiting.lock();
            // Nobody waits any more for those whose call was dropped: they never began.
            waiting.retain(|waiting| !waiting.answer.is_closed());
            let count = waiting.len().min(MEMBERS_MAX);
            waiting.drain(..count).collect()
        };
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
                Err(_) => {}
            }
        }
        for Waiting { txn, answer } in group {
            drop(answer.send(self.commit_in_turn(table, &txn, &[]).await));
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
