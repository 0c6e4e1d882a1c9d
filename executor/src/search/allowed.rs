//! Which rows of a segment may be found: those that are not deleted and satisfy the filter.
//!
//! Segments are immutable and filters deterministic, so the answer is kept: a filter that many queries share is evaluated
//! once a segment. Whoever deletes rows makes another answer, because the number of deleted rows only grows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::cache::lru_queue::LruQueue;
use datafusion::physical_plan::PhysicalExpr;
use parking_lot::Mutex;
use volley_index::RowSet;
use volley_storage::ids::{FieldId, SegmentId};

use crate::search::SearchRequest;
use crate::segment_set::SegmentHandle;
use crate::segment_source::matching_rows;

/// Bytes of row sets and of the filters that they belong to that are kept: a bit a row, so some 500 filters over a million
/// rows.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// What an entry takes beside its rows and its filter's constants, roughly.
const ENTRY_BYTES: usize = 1024;

/// Row sets by segment and filter. Clones share them.
#[derive(Clone)]
pub(super) struct AllowedRows(Arc<Mutex<Kept>>);

struct Kept {
    rows: LruQueue<Key, Entry>,
    bytes: usize,
}

struct Entry {
    rows: Arc<RowSet>,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    segment: SegmentId,
    deleted: u64,
    /// `None` for the rows that are not deleted.
    filter: Option<(Arc<dyn PhysicalExpr>, Vec<FieldId>)>,
}

impl Default for AllowedRows {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { rows: LruQueue::new(), bytes: 0 })))
    }
}

impl AllowedRows {
    /// The rows of a segment that a request may find; `None` if it is all of them.
    pub(super) async fn of(
        &self,
        request: &SearchRequest,
        segment: &SegmentHandle,
        task: &Arc<TaskContext>,
    ) -> Result<Option<Arc<RowSet>>> {
        let filter = request.filter.as_ref().map(|filter| (Arc::clone(filter), request.filter_columns.clone()));
        let deleted = segment.deletes.as_ref().map_or(0, |deletes| deletes.len());
        if filter.is_none() && deleted == 0 {
            return Ok(None);
        }
        let key = Key { segment: segment.segment.id, deleted, filter };
        if let Some(entry) = self.0.lock().rows.get(&key) {
            return Ok(Some(Arc::clone(&entry.rows)));
        }
        let rows = Arc::new(match &request.filter {
            Some(filter) => {
                matching_rows(task, &request.segments, segment.ordinal, filter, &request.filter_columns).await?
            }
            None => live_rows(segment),
        });
        self.0.lock().keep(key, Arc::clone(&rows));
        Ok(Some(rows))
    }
}

impl Kept {
    fn keep(&mut self, key: Key, rows: Arc<RowSet>) {
        // A filter's text is about as long as the filter is large.
        let text = key.filter.as_ref().map_or(0, |(filter, _)| filter.to_string().len());
        let entry = Entry { bytes: ENTRY_BYTES + 2 * text + rows.len() / 8, rows };
        self.bytes += entry.bytes;
        if let Some(replaced) = self.rows.put(key, entry) {
            self.bytes -= replaced.bytes;
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.rows.pop()
        {
            self.bytes -= oldest.bytes;
        }
    }
}

fn live_rows(segment: &SegmentHandle) -> RowSet {
    let mut live = RowSet::new_full(segment.segment.rows as usize);
    segment.deletes.iter().flat_map(|deletes| deletes.iter()).for_each(|offset| live.remove(offset as usize));
    live
}

impl fmt::Debug for AllowedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.lock();
        f.debug_struct("AllowedRows").field("sets", &kept.rows.len()).field("bytes", &kept.bytes).finish()
    }
}
