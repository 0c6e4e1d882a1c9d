//! What a transaction means on top of another version than the one it was computed on.

use super::commit::DeletedBySegment;
use super::{Database, file_path};
use crate::deletion;
use crate::error::{Error, Result};
use crate::ids::{RowId, SegmentId};
use crate::log::create_file;
use crate::planted::{PlantedBug, planted};
use crate::segment::{Deletes, FileRef, RowIds, Segment, Sidecar};
use crate::store::{StagedSegment, Transaction};
use crate::table::{TableAction, TableCommit, TableState, shard_of};
use bytes::Bytes;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Deletion vectors below this many bytes travel in the commit.
const DELETES_INLINE_BYTES_MAX: usize = 8 * 1024;

/// A transaction rebased: the commit, and the deletion vectors that hold after it.
pub(super) struct Change {
    pub(super) commit: TableCommit,
    pub(super) deleted: DeletedBySegment,
}

impl Database {
    /// The commit that applies a transaction to `state`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when what it deletes, removes or attaches to was changed since its base.
    pub(super) async fn rebase(&self, txn: &Transaction, state: &TableState) -> Result<Change> {
        if state.snapshot.schema.id != txn.base.schema.id {
            return Err(conflict(txn, "its schema was changed".into()));
        }
        let mut actions = Vec::new();
        let mut deleted = DeletedBySegment::new();
        for (segment, offsets) in &txn.delete {
            self.rebase_deletes(txn, state, *segment, offsets, &mut actions, &mut deleted).await?;
        }
        for id in &txn.remove {
            // The rewritten rows were read under the base's deletion vector, so it must still be the same.
            let live = live(txn, state, *id)?;
            if live.deletes.count() != base_segment(txn, *id)?.deletes.count() {
                return Err(conflict(txn, format!("rows of segment {id} were deleted while it was rewritten")));
            }
            actions.push(TableAction::Remove(*id));
        }
        let mut next = state.snapshot.next_row_id;
        for staged in txn.add.iter().filter(|staged| staged.rows > 0) {
            let segment = added(staged, state, next);
            if let RowIds::Contiguous { first } = segment.row_ids {
                next = RowId(first.0 + segment.rows);
            }
            actions.push(TableAction::Add(Arc::new(segment)));
        }
        for (segment, sidecar) in &txn.attach {
            check_attach(txn, live(txn, state, *segment)?, sidecar)?;
            actions.push(TableAction::Attach { segment: *segment, sidecar: sidecar.clone() });
        }
        for (segment, file) in &txn.detach {
            live(txn, state, *segment)?;
            actions.push(TableAction::Detach { segment: *segment, path: file.path.clone() });
        }
        let commit = TableCommit {
            operation: txn.operation.clone(),
            base: txn.base.version,
            idempotency: txn.idempotency.clone(),
            members: Vec::new(),
            actions,
        };
        Ok(Change { commit, deleted })
    }

    async fn rebase_deletes(
        &self,
        txn: &Transaction,
        state: &TableState,
        id: SegmentId,
        offsets: &RoaringBitmap,
        actions: &mut Vec<TableAction>,
        deleted: &mut DeletedBySegment,
    ) -> Result<()> {
        let live = live(txn, state, id)?;
        let table = txn.base.table;
        let now = self.inner.deletes.get(&self.inner.files, table, live).await?.unwrap_or_default();
        let base = base_segment(txn, id)?;
        let then = self.inner.deletes.get(&self.inner.files, table, base).await?.unwrap_or_default();
        if offsets.max().is_some_and(|last| u64::from(last) >= live.rows) {
            return Err(Error::Internal { detail: format!("a row beyond the end of segment {id} is to be deleted") });
        }
        // Rows that were gone at the base already are not this transaction's; rows gone since are another's.
        let mine = offsets - &*then;
        if planted(PlantedBug::DeletesReplaced) {
            let union = &*then | &mine;
            let newly = union.len().saturating_sub(now.len());
            if union.len() >= now.len() {
                actions.push(TableAction::SetDeletes { segment: id, deletes: Deletes::Inline(Arc::new(union)), newly });
            }
            return Ok(());
        }
        if !mine.is_disjoint(&now) {
            return Err(conflict(txn, format!("rows of segment {id} were deleted")));
        }
        if mine.is_empty() {
            return Ok(());
        }
        let mut union = &*now | &mine;
        union.optimize();
        let union = Arc::new(union);
        let deletes = self.store_deletes(txn, &union).await?;
        actions.push(TableAction::SetDeletes { segment: id, deletes, newly: mine.len() });
        if union.len() == live.rows {
            actions.push(TableAction::Remove(id));
        }
        deleted.insert(id, union);
        Ok(())
    }

    /// A deletion vector as a commit refers to it: itself when it is small, else a file that is durable now.
    async fn store_deletes(&self, txn: &Transaction, bitmap: &Arc<RoaringBitmap>) -> Result<Deletes> {
        let bytes: Bytes = deletion::encode(bitmap)?;
        if bytes.len() < DELETES_INLINE_BYTES_MAX {
            return Ok(Deletes::Inline(bitmap.clone()));
        }
        let file = FileRef {
            path: format!("dv/{}.vdv", self.inner.env.new_ulid()),
            length: bytes.len() as u64,
            blake3: *blake3::hash(&bytes).as_bytes(),
        };
        let path = file_path(txn.base.table, &file);
        create_file(&self.inner.env, &path, bytes).await?;
        Ok(Deletes::File { file, count: bitmap.len() })
    }
}

/// A staged segment as part of the table: its shard and row ids are given now.
fn added(staged: &StagedSegment, state: &TableState, next: RowId) -> Segment {
    Segment {
        id: staged.id,
        shard: shard_of(staged.id, state.snapshot.properties.shards),
        schema_id: state.snapshot.schema.id,
        rows: staged.rows,
        row_ids: if staged.has_row_id_column { RowIds::Column } else { RowIds::Contiguous { first: next } },
        data: staged.data.clone(),
        stats: staged.stats.clone(),
        sidecars: staged.sidecars.clone(),
        deletes: Deletes::None,
    }
}

fn live<'a>(txn: &Transaction, state: &'a TableState, id: SegmentId) -> Result<&'a Arc<Segment>> {
    state.segment(id).ok_or_else(|| conflict(txn, format!("segment {id} was rewritten")))
}

/// Two builders of one index do not see each other: the first one's sidecar stays, or the segment would have two for good.
fn check_attach(txn: &Transaction, live: &Segment, sidecar: &Sidecar) -> Result<()> {
    let of_base = txn.base.segments.iter().find(|segment| segment.id == live.id);
    let is_known = |file: &FileRef| {
        let is_detached = txn.detach.iter().any(|(id, gone)| *id == live.id && gone.path == file.path);
        is_detached || of_base.is_some_and(|base| base.sidecars.iter().any(|old| old.file.path == file.path))
    };
    let is_twin = |other: &Sidecar| {
        other.kind == sidecar.kind && other.columns == sidecar.columns && other.parameters == sidecar.parameters
    };
    match live.sidecars.iter().any(|other| is_twin(other) && !is_known(&other.file)) {
        true => Err(conflict(txn, format!("segment {} was indexed", live.id))),
        false => Ok(()),
    }
}

fn base_segment(txn: &Transaction, id: SegmentId) -> Result<&Arc<Segment>> {
    let found = txn.base.segments.iter().find(|segment| segment.id == id);
    found.ok_or_else(|| Error::Internal { detail: format!("a transaction changes segment {id}, not of its base") })
}

fn conflict(txn: &Transaction, detail: String) -> Error {
    Error::Conflict { table: txn.base.table, detail }
}
