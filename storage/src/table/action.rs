//! One commit to a table, as types.

use crate::ids::{SegmentId, TxnId, Version};
use crate::schema::TableSchema;
use crate::segment::{Deletes, Segment, Sidecar};
use crate::snapshot::TableProperties;
use std::sync::Arc;

/// A commit: who made it and what it changes, in order.
#[derive(Debug, Clone)]
pub(crate) struct TableCommit {
    pub(crate) operation: String,
    /// The version that the change was computed on.
    pub(crate) base: Version,
    pub(crate) idempotency: Option<(String, u64)>,
    /// The transactions that landed together in this commit; none where its own is the only one.
    pub(crate) members: Vec<TxnId>,
    pub(crate) actions: Vec<TableAction>,
}

/// One change to a table.
#[derive(Debug, Clone)]
pub(crate) enum TableAction {
    /// The table begins; the first action of version 0 and of no other.
    Create { schema: Arc<TableSchema>, properties: TableProperties },
    /// A segment joins the table.
    Add(Arc<Segment>),
    /// A segment leaves the table.
    Remove(SegmentId),
    /// A segment's deletion vector is replaced by one with `newly` more rows.
    SetDeletes { segment: SegmentId, deletes: Deletes, newly: u64 },
    /// A sidecar joins a segment.
    Attach { segment: SegmentId, sidecar: Sidecar },
    /// The sidecar at this path leaves a segment.
    Detach { segment: SegmentId, path: String },
}
