//! The row ids of a segment's rows.

use std::sync::Arc;

use datafusion::arrow::array::UInt64Array;
use datafusion::common::Result;
use datafusion::common::cast::as_uint64_array;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use volley_storage::segment::RowIds;

use crate::error::Error;
use crate::hot_columns::HotColumns;
use crate::segment_set::{SegmentHandle, SegmentSet, split_row_address};
use crate::segment_source::scan_config;

/// Maps offsets within a segment to row ids.
#[derive(Debug)]
pub(super) enum RowIdsOf {
    /// Offset `i` has the id `first + i`.
    From(u64),
    /// By offset; deleted rows hold 0.
    Column(Vec<u64>),
    /// The same, kept for other searches.
    Kept(UInt64Array),
}

impl RowIdsOf {
    /// The row ids of a segment, read from its data where they are a column.
    pub(super) async fn open(set: &Arc<SegmentSet>, segment: &SegmentHandle, task: &Arc<TaskContext>) -> Result<Self> {
        if let RowIds::Contiguous { first } = segment.segment.row_ids {
            return Ok(Self::From(first.0));
        }
        if let Some(hot) = HotColumns::of(task)
            && let Some(column) = hot.whole(task, set, segment, set.row_id_index()).await?
        {
            return Ok(Self::Kept(as_uint64_array(&column)?.clone()));
        }
        let mut ids = vec![0; segment.segment.rows as usize];
        let projection = [set.row_address_index(), set.row_id_index()];
        let options = task.session_config().options();
        let config = scan_config(set, &[vec![segment.ordinal.into()]], Some(&projection), None, options)?;
        let mut batches = DataSourceExec::from_data_source(config).execute(0, Arc::clone(task))?;
        while let Some(batch) = batches.try_next().await? {
            let addresses = as_uint64_array(batch.column(0))?.values();
            let row_ids = as_uint64_array(batch.column(1))?.values();
            for (address, id) in addresses.iter().zip(row_ids) {
                if let Some(slot) = ids.get_mut(split_row_address(*address).1 as usize) {
                    *slot = *id;
                }
            }
        }
        Ok(Self::Column(ids))
    }

    /// The id of the row at an offset.
    pub(super) fn of(&self, offset: u32) -> Result<u64> {
        let ids = match self {
            Self::From(first) => return Ok(first + u64::from(offset)),
            Self::Column(ids) => ids.as_slice(),
            Self::Kept(ids) => ids.values(),
        };
        ids.get(offset as usize)
            .copied()
            .ok_or_else(|| Error::Internal { detail: format!("row {offset} is beyond the end of its segment") }.into())
    }
}
