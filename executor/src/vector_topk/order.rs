//! The order of search results, as DataFusion states it and as rows are put into it.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use volley_storage::ids::FieldId;
use volley_storage::segment::ROW_ID_COLUMN;

use super::{DISTANCE_COLUMN, TieBreaker};
use crate::error::Error;
use crate::search::SearchHit;
use crate::segment_set::{ROW_ADDRESS_COLUMN, SegmentSet};

/// Distances ascend, and rows without one come last.
const DISTANCE_ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };
const ROW_ID_ORDER: SortOptions = SortOptions { descending: false, nulls_first: false };

/// What a search puts out: the tie-breakers, the columns that it carries, [`ROW_ADDRESS_COLUMN`], [`ROW_ID_COLUMN`],
/// [`DISTANCE_COLUMN`].
pub(super) fn output_schema(set: &SegmentSet, ties: &[TieBreaker], carried: &[FieldId]) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(ties.len() + carried.len() + 3);
    for column in ties.iter().map(|tie| tie.column).chain(carried.iter().copied()) {
        fields.push(Arc::clone(&set.schema().arrow.fields()[set.column_index(column)?]));
    }
    fields.push(Arc::new(Field::new(ROW_ADDRESS_COLUMN, DataType::UInt64, false)));
    fields.push(Arc::new(Field::new(ROW_ID_COLUMN, DataType::UInt64, false)));
    fields.push(Arc::new(Field::new(DISTANCE_COLUMN, DataType::Float64, true)));
    Ok(Arc::new(Schema::new(fields)))
}

/// Distance, then the tie-breakers, then the row id: a total order of a table's rows.
pub(super) fn output_order(schema: &SchemaRef, ties: &[TieBreaker]) -> Result<LexOrdering> {
    let key = |index: usize, options: SortOptions| {
        PhysicalSortExpr::new(Arc::new(Column::new(schema.field(index).name(), index)), options)
    };
    // The last columns are the row id and the distance.
    let columns = schema.fields().len();
    let mut keys = vec![key(columns - 1, DISTANCE_ORDER)];
    keys.extend(ties.iter().enumerate().map(|(index, tie)| key(index, tie.options)));
    keys.push(key(columns - 2, ROW_ID_ORDER));
    LexOrdering::new(keys).ok_or_else(|| Error::Internal { detail: "a search has no order".into() }.into())
}

/// Hits, with their tie-breakers and what is carried in `columns`, as the k first rows of the output.
pub(super) fn output_batch(
    schema: &SchemaRef,
    ties: &[TieBreaker],
    k: usize,
    hits: &[SearchHit],
    columns: &RecordBatch,
) -> Result<RecordBatch> {
    let distances: Float64Array = hits.iter().map(|hit| hit.distance.map(f64::from)).collect();
    let mut arrays: Vec<ArrayRef> = columns.columns().to_vec();
    arrays.push(Arc::new(hits.iter().map(|hit| hit.address).collect::<UInt64Array>()));
    arrays.push(Arc::new(hits.iter().map(|hit| hit.row_id).collect::<UInt64Array>()));
    arrays.push(Arc::new(distances));
    let batch = RecordBatch::try_new(Arc::clone(schema), arrays)?;
    if ties.is_empty() {
        // The searcher's own order, by distance and row id, is the one wanted.
        return Ok(batch.slice(0, k.min(batch.num_rows())));
    }
    let column = |index: usize, options: SortOptions| SortColumn {
        values: Arc::clone(batch.column(index)),
        options: Some(options),
    };
    let mut keys = vec![column(batch.num_columns() - 1, DISTANCE_ORDER)];
    keys.extend(ties.iter().enumerate().map(|(index, tie)| column(index, tie.options)));
    keys.push(column(batch.num_columns() - 2, ROW_ID_ORDER));
    let first = lexsort_to_indices(&keys, Some(k))?;
    Ok(take_record_batch(&batch, &first)?)
}
