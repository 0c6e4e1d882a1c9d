//! Committing a transaction: rebase it over the newest known version, try to get the next slot, and again.
//!
//! | at the same time | what happens |
//! |---|---|
//! | append, append | both land (in one commit if they meet: together.rs); with a primary key after the own keys were looked for in what landed between |
//! | deletes of different rows of a segment | both land, the deletion vectors united |
//! | deletes of the same row | the first one lands, the other is a conflict: its statement runs again |
//! | delete, removal of the segment (fold, compaction) | whichever lands first; the other is a conflict |
//! | the same index of a segment, built twice | the first one stays, the other is a conflict |
//! | change of schema, anything | conflict |

use super::together::{Member, can_be_shared, is_of_store};
use super::{Database, TableHandle, keys::NewKeys};
use crate::error::{Error, Result};
use crate::fold;
use crate::ids::{SegmentId, TableId, Version};
use crate::log::{Appended, CHECKPOINT_EVERY, Draft, Head, Log};
use crate::planted::{PlantedBug, planted};
use crate::store::{Committed, Transaction};
use crate::table::{TableState, encode_commit, holds};
use std::collections::HashSet;
use std::sync::Arc;

/// How often a transaction is rebased before it is a conflict.
const COMMIT_TRIES: u32 = 16;
/// Files of a transaction that took longer than this may be taken for orphans by garbage collection before they are
/// committed. Far below the age at which it does.
const STAGED_MS_MAX: u64 = 24 * 3600 * 1000;

impl Database {
    pub(super) async fn commit_transaction(&self, txn: Transaction) -> Result<Committed> {
        let table = self.table(txn.base.table);
        if can_be_shared(&txn) {
            return self.commit_together(&table, txn).await;
        }
        let _turn = table.writing.lock().await;
        self.commit_in_turn(&table, &txn, &[]).await
    }

    /// Commits a transaction, or several that were made one: `members`. Called by whoever's turn it is to write.
    pub(super) async fn commit_in_turn(
        &self,
        table: &TableHandle,
        txn: &Transaction,
        members: &[Member],
    ) -> Result<Committed> {
        let keys = NewKeys::of(txn).await?;
        let mut head = table.head_for_writing(txn.base.version).await?;
        let mut probed = HashSet::new();
        for attempt in 0..COMMIT_TRIES {
            if attempt > 0 {
                table.log.files.back_off(attempt).await;
                head = table.head().await?;
            }
            if txn.idempotency.as_ref().is_some_and(|key| head.state.idempotency.contains_key(key)) {
                return Ok(Committed { snapshot: head.state.snapshot.clone(), replayed: true });
            }
            for member in members {
                match self.applied_before(&table.log, &head, member).await {
                    Ok(false) => {}
                    Err(error) if is_of_store(&error) => return Err(error),
                    // One that was committed before, or of which nobody knows, is to be tried by itself: nothing of this landed.
                    _ => {
                        let detail = "a part of it may have been committed before".into();
                        return Err(Error::Conflict { table: txn.base.table, detail });
                    }
                }
            }
            let alone = Member { txn: txn.id, base: txn.base.version };
            if members.is_empty() && self.applied_before(&table.log, &head, &alone).await? {
                return Ok(Committed { snapshot: head.state.snapshot.clone(), replayed: true });
            }
            self.check_age(txn)?;
            let mut change = self.rebase(txn, &head.state).await?;
            change.commit.members = members.iter().map(|member| member.txn).collect();
            if attempt == 0 || !planted(PlantedBug::KeysNotProbedAgain) {
                self.probe_keys(txn, &keys, &head.state, &change.deleted, &mut probed).await?;
            }
            let commit_ts_ms = table.log.next_commit_ts(Some(&head));
            let version = head.version.next();
            let state =
                TableState::apply(table.table, Some(&head.state), &change.commit, version, commit_ts_ms, txn.id)
                    .map_err(|damage| Error::Internal {
                        detail: format!("a commit breaks an invariant: {damage:?}"),
                    })?;
            let body = encode_commit(&change.commit, txn.base.schema.id)?;
            match table.log.append(Some(&head), Draft { txn: txn.id, commit_ts_ms, body, state }).await? {
                Appended::Landed(landed) => {
                    table.keep(&landed.state.snapshot);
                    self.after_commit(&landed, txn.base.table);
                    return Ok(Committed { snapshot: landed.state.snapshot.clone(), replayed: false });
                }
                Appended::Taken => {}
                Appended::Unknown(version) => {
                    // The files stay: the commit may have landed, or land later.
                    if planted(PlantedBug::CleanUpAfterUnknown) {
                        self.delete_staged(txn).await;
                    }
                    return Err(Error::CommitUnknown { table: txn.base.table, version, txn: txn.id });
                }
            }
        }
        let detail = format!("{COMMIT_TRIES} tries met another commit each time");
        Err(Error::Conflict { table: txn.base.table, detail })
    }

    /// Whether the log holds this transaction already: an earlier call did not learn its fate, or the client repeats a
    /// change.
    async fn applied_before(
        &self,
        log: &Log<TableState>,
        head: &Arc<Head<TableState>>,
        &Member { txn, base }: &Member,
    ) -> Result<bool> {
        if let Some(known) = head.state.remembers(base, txn) {
            return Ok(known);
        }
        // What lies below the floor is deleted, or is a commit that landed in a slot after it had been freed and does
        // not count. There nobody can tell any more, and applying the transaction again may be once too often.
        let unknown = |version| Error::CommitUnknown { table: head.state.snapshot.table, version, txn };
        let first = base.next();
        if first < log.floor().await? {
            return Err(unknown(first));
        }
        for version in (first.0..=head.version.0).rev().map(Version) {
            let Some(record) = log.record(version).await? else { return Err(unknown(version)) };
            if holds(&record, txn).map_err(|damage| damage.at(&log.files.commit(version)))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_age(&self, txn: &Transaction) -> Result<()> {
        let now_ms = self.inner.env.clock.now_ms().max(0) as u64;
        let oldest_ms = txn.add.iter().map(|segment| segment.begun_ms).min();
        if oldest_ms.is_some_and(|staged_ms| now_ms.saturating_sub(staged_ms) > STAGED_MS_MAX) {
            let detail = "its rows were written more than a day ago and may be gone".into();
            return Err(Error::Conflict { table: txn.base.table, detail });
        }
        Ok(())
    }

    /// Leaves the checkpoint and the fold to tasks of their own: the commit is acknowledged without them.
    fn after_commit(&self, landed: &Arc<Head<TableState>>, table: TableId) {
        if landed.version.0.is_multiple_of(CHECKPOINT_EVERY) {
            let (handle, landed) = (self.table(table), landed.clone());
            self.in_background(async move { handle.log.checkpoint_if_due(&landed).await });
        }
        if fold::is_due(&landed.state.snapshot) {
            let database = self.clone();
            self.in_background(async move {
                if let Err(error) = database.fold_inline(table).await {
                    tracing::debug!(%error, %table, "inline rows could not be folded this time");
                }
            });
        }
    }

    /// The planted mistake of [`PlantedBug::CleanUpAfterUnknown`].
    async fn delete_staged(&self, txn: &Transaction) {
        use object_store::ObjectStoreExt;
        for segment in &txn.add {
            if let crate::segment::SegmentData::File(file) = &segment.data {
                let path = super::file_path(txn.base.table, file);
                let _ = self.inner.env.store.delete(&path).await;
            }
        }
    }
}

/// Deleted offsets of each segment that a transaction deletes from, united with what was deleted before.
pub(super) type DeletedBySegment = std::collections::HashMap<SegmentId, Arc<roaring::RoaringBitmap>>;
