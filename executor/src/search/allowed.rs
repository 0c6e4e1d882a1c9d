//! Which rows of a segment may be found: those that are not deleted and satisfy the filter.
//!
//! Segments are immutable and filters deterministic, so the answer is kept: a filter that many queries share is evaluated
//! once a segment. Whoever deletes rows makes another answer, because the number of deleted rows only grows.

use std::sync::{Arc, Weak};

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_plan::PhysicalExpr;
use volley_index::RowSet;
use volley_storage::ids::{FieldId, SegmentId};

use crate::kept::{Kept, KeptStatistics, Reclaim};
use crate::search::SearchRequest;
use crate::search::hardness::Hardness;
use crate::segment_set::SegmentHandle;
use crate::segment_source::matching_rows;

/// Row sets by segment and filter: a bit a row. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct AllowedRows(Kept<Key, Allowed>);

/// The rows of a segment that may be found, and what is known of searching among them.
#[derive(Debug, Clone)]
pub(super) struct Allowed {
    pub(super) rows: Arc<RowSet>,
    pub(super) hardness: Arc<Hardness>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    segment: SegmentId,
    deleted: u64,
    /// `None` for the rows that are not deleted.
    filter: Option<(Arc<dyn PhysicalExpr>, Vec<FieldId>)>,
}

impl AllowedRows {
    /// None yet.
    pub(super) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self(Kept::new("filters", pool))
    }

    /// The cache as whoever is short of memory sees it.
    pub(super) fn reclaimable(&self) -> Weak<dyn Reclaim> {
        self.0.reclaimable()
    }

    /// What it holds, and how useful it was.
    pub(super) fn statistics(&self) -> KeptStatistics {
        self.0.statistics()
    }

    /// The rows of a segment that a request may find; `None` if it is all of them.
    pub(super) async fn of(
        &self,
        request: &SearchRequest,
        segment: &SegmentHandle,
        task: &Arc<TaskContext>,
    ) -> Result<Option<Allowed>> {
        let filter = request.filter.as_ref().map(|filter| (Arc::clone(filter), request.filter_columns.clone()));
        let deleted = segment.deletes.as_ref().map_or(0, |deletes| deletes.len());
        if filter.is_none() && deleted == 0 {
            return Ok(None);
        }
        let key = Key { segment: segment.segment.id, deleted, filter };
        if let Some(allowed) = self.0.get(&key) {
            return Ok(Some(allowed));
        }
        let rows = Arc::new(match &request.filter {
            Some(filter) => {
                matching_rows(task, &request.segments, segment.ordinal, filter, &request.filter_columns).await?
            }
            None => live_rows(segment),
        });
        // A filter's text is about as long as the filter is large.
        let text = key.filter.as_ref().map_or(0, |(filter, _)| filter.to_string().len());
        let bytes = 512 + 2 * text + rows.len() / 8;
        let allowed = Allowed { rows, hardness: Arc::default() };
        self.0.put(key, allowed.clone(), bytes);
        Ok(Some(allowed))
    }
}

fn live_rows(segment: &SegmentHandle) -> RowSet {
    let mut live = RowSet::new_full(segment.segment.rows as usize);
    segment.deletes.iter().flat_map(|deletes| deletes.iter()).for_each(|offset| live.remove(offset as usize));
    live
}
