//! Which rows of a segment may be found: those that are not deleted and satisfy the filter.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use volley_index::RowSet;

use crate::search::SearchRequest;
use crate::segment_set::SegmentHandle;
use crate::segment_source::matching_rows;

/// The rows of a segment that a request may find; `None` if it is all of them.
pub(super) async fn allowed_rows(
    request: &SearchRequest,
    segment: &SegmentHandle,
    task: &Arc<TaskContext>,
) -> Result<Option<RowSet>> {
    if let Some(filter) = &request.filter {
        let matching = matching_rows(task, &request.segments, segment.ordinal, filter, &request.filter_columns).await?;
        return Ok(Some(matching));
    }
    let Some(deletes) = &segment.deletes else { return Ok(None) };
    let mut live = RowSet::new_full(segment.segment.rows as usize);
    deletes.iter().for_each(|offset| live.remove(offset as usize));
    Ok(Some(live))
}
