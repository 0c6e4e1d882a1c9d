//! Which rows of a segment satisfy a predicate.

use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::compute::prep_null_mask_filter;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::cast::{as_boolean_array, as_uint64_array};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter_pushdown::PushedDown;
use futures::TryStreamExt;
use volley_index::RowSet;
use volley_storage::ids::FieldId;

use super::scan_config;
use crate::error::Error;
use crate::hot_columns::HotColumns;
use crate::interrupt::Interrupt;
use crate::segment_set::{SegmentSet, split_row_address};

/// Rows for which a filter is evaluated at a time: what they hold stays in the processor's caches.
const ROWS_AT_ONCE: usize = 8192;

/// The offsets of a segment's live rows for which `filter` is true. The expression's column *i* is `columns[i]`.
///
/// Evaluates the filter over columns that are kept in memory; where they are not, reads only the filter's columns, and of
/// those only the row groups and pages that their statistics do not rule out.
pub async fn matching_rows(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    ordinal: u32,
    filter: &Arc<dyn PhysicalExpr>,
    columns: &[FieldId],
) -> Result<RowSet> {
    let indexes = columns.iter().map(|&column| set.column_index(column)).collect::<crate::error::Result<Vec<_>>>()?;
    if let Some(matching) = matching_in_memory(task, set, ordinal, filter, &indexes).await? {
        return Ok(matching);
    }
    let mut projection = indexes.clone();
    projection.push(set.row_address_index());
    let options = task.session_config().options();
    let mut config = scan_config(set, &[vec![ordinal.into()]], Some(&projection), None, options)?;

    // The source wants predicates over the whole scan schema.
    let over_scan = Arc::clone(filter).transform(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let index = *indexes.get(column.index()).ok_or_else(|| Error::Internal {
            detail: format!("a filter over {} columns names column {}", indexes.len(), column.index()),
        })?;
        let name = set.scan_schema().field(index).name();
        Ok(Transformed::yes(Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>))
    });
    let pushed = config.file_source.try_pushdown_filters(vec![over_scan.data()?], options)?;
    let is_applied = matches!(pushed.filters.as_slice(), [PushedDown::Yes]);
    if let Some(source) = pushed.updated_node {
        config.file_source = source;
    }

    let rows = usize::try_from(set.get(ordinal)?.segment.rows).unwrap_or(usize::MAX);
    let mut matching = RowSet::new_empty(rows);
    let mut batches = DataSourceExec::from_data_source(config).execute(0, Arc::clone(task))?;
    let interrupt = Interrupt::of(task);
    while let Some(batch) = batches.try_next().await? {
        interrupt.check()?;
        let addresses = as_uint64_array(batch.column(columns.len()))?;
        let keep = if is_applied { None } else { Some(evaluate(filter, &batch)?) };
        for (row, &address) in addresses.values().iter().enumerate() {
            if keep.as_ref().is_none_or(|keep| keep.value(row)) {
                matching.insert(split_row_address(address).1 as usize);
            }
        }
    }
    Ok(matching)
}

/// The same over columns that are kept; `None` where one is not. Deleted rows are evaluated too: where that fails, the
/// scan, which leaves them out, has the word.
async fn matching_in_memory(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    ordinal: u32,
    filter: &Arc<dyn PhysicalExpr>,
    indexes: &[usize],
) -> Result<Option<RowSet>> {
    let segment = set.get(ordinal)?;
    let Some(hot) = HotColumns::of(task).filter(|_| !indexes.is_empty()) else { return Ok(None) };
    let mut columns = Vec::with_capacity(indexes.len());
    for &index in indexes {
        match hot.whole(task, set, segment, index).await? {
            Some(column) => columns.push(column),
            None => return Ok(None),
        }
    }
    let fields = indexes.iter().map(|&index| Arc::clone(&set.scan_schema().fields()[index]));
    let whole = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?;
    let interrupt = Interrupt::of(task);
    let mut matching = RowSet::new_empty(whole.num_rows());
    for start in (0..whole.num_rows()).step_by(ROWS_AT_ONCE) {
        interrupt.check()?;
        let rows = whole.slice(start, ROWS_AT_ONCE.min(whole.num_rows() - start));
        let Ok(keep) = evaluate(filter, &rows) else { return Ok(None) };
        keep.values().set_indices().for_each(|row| matching.insert(start + row));
    }
    segment.deletes.iter().flat_map(|deletes| deletes.iter()).for_each(|offset| matching.remove(offset as usize));
    Ok(Some(matching))
}

/// The rows of a batch for which a predicate is true, NULL counting as false.
fn evaluate(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let keep = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    let keep = as_boolean_array(&keep)?;
    Ok(if keep.null_count() > 0 { prep_null_mask_filter(keep) } else { keep.clone() })
}
