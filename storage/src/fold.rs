//! Folding: the inline rows of many small commits become one Parquet segment.
//!
//! Small inserts travel inside their commits, which makes them fast and the state of the table large. The process whose
//! commit goes over the limits folds them, in a commit of its own, after it has acknowledged the commit. Rows keep
//! their ids in a physical column. When another commit touches the same segments meanwhile, the fold gives up; the next
//! commit over the limits tries again.

use crate::database::Database;
use crate::error::{Error, Result};
use crate::ids::{TableId, TxnId};
use crate::rewrite;
use crate::segment::{Segment, SegmentData};
use crate::segment_writer::{self, StageOptions};
use crate::snapshot::Snapshot;
use crate::store::{Committed, TableStore, Transaction};
use arrow::array::Array;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A table with more inline segments than this is folded.
const INLINE_SEGMENTS_MAX: usize = 64;
/// A table with more bytes of inline rows than this is folded.
const INLINE_BYTES_MAX: usize = 1 << 20;

/// Whether a table has so many inline rows that they should be folded.
pub(crate) fn is_due(snapshot: &Snapshot) -> bool {
    let (mut segments, mut bytes) = (0, 0);
    for segment in &snapshot.segments {
        if let SegmentData::Inline(rows) = &segment.data {
            segments += 1;
            // What the rows show, not the commit that their buffers share.
            let shown = rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0));
            bytes += shown.sum::<usize>();
        }
    }
    segments > INLINE_SEGMENTS_MAX || bytes > INLINE_BYTES_MAX && segments > 1
}

impl Database {
    /// Folds a table's inline segments into one Parquet segment, in a commit of its own. `None` when there was nothing
    /// to fold, another commit came between, or this process is folding the table already.
    pub async fn fold_inline(&self, table: TableId) -> Result<Option<Committed>> {
        let handle = self.table(table);
        if handle.folding.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        // Also when this future is dropped half-way, or the table would never be folded again.
        let _done = Folding(&handle.folding);
        let folded = self.fold(table).await;
        match folded {
            Err(Error::Conflict { .. }) => Ok(None),
            other => other,
        }
    }

    async fn fold(&self, table: TableId) -> Result<Option<Committed>> {
        let base = self.snapshot(table, crate::store::Consistency::Strong).await?;
        let inline = base.segments.iter().filter(|segment| matches!(segment.data, SegmentData::Inline(_)));
        let inline: Vec<Arc<Segment>> = inline.cloned().collect();
        if inline.len() < 2 {
            return Ok(None);
        }
        self.rewrite(base, inline, "FOLD").await.map(Some)
    }

    /// Replaces segments by one that holds their live rows in the order of their ids.
    pub(crate) async fn rewrite(
        &self,
        base: Arc<Snapshot>,
        segments: Vec<Arc<Segment>>,
        operation: &str,
    ) -> Result<Committed> {
        let rows = rewrite::live_rows(self, &base, &segments).await?;
        // Never inline: the point is to have fewer segments that travel with the state.
        let options = StageOptions { row_ids: true, inline_bytes_max: 0 };
        let add = segment_writer::stage(self.env(), base.table, &base, rows, options).await?;
        self.commit(Transaction {
            id: TxnId(self.env().new_ulid()),
            base,
            add,
            delete: BTreeMap::new(),
            remove: segments.iter().map(|segment| segment.id).collect(),
            attach: Vec::new(),
            detach: Vec::new(),
            idempotency: None,
            operation: operation.into(),
        })
        .await
    }
}

/// Takes a table's mark of being folded away at the end.
struct Folding<'a>(&'a AtomicBool);

impl Drop for Folding<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
