//! Rows that live inside a commit.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array, new_null_array};
use datafusion::arrow::compute::{cast, filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use volley_storage::segment::RowIds;

use super::access::RowAccess;
use crate::segment_set::{SegmentHandle, SegmentSet, row_address};

/// What a scan wants of inline rows.
#[derive(Debug, Clone)]
pub(super) struct InlineScan {
    /// Over the scan schema; rows that do not satisfy it are dropped, whoever else checks it again.
    pub(super) predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Over the scan schema.
    pub(super) projection: ProjectionExprs,
    /// What the projection produces.
    pub(super) output: SchemaRef,
    /// Rows per batch at most.
    pub(super) batch_size: usize,
}

impl InlineScan {
    /// The rows of an inline segment, filtered and projected.
    pub(super) fn read(
        &self,
        set: &SegmentSet,
        segment: &SegmentHandle,
        rows: &RecordBatch,
        access: &RowAccess,
    ) -> Result<Vec<RecordBatch>> {
        let mut batch = with_system_columns(set, segment, rows)?;
        if !access.is_whole() {
            batch = take_record_batch(&batch, &UInt32Array::from_iter_values(access.offsets()))?;
        }
        if let Some(predicate) = &self.predicate {
            let keep = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
            batch = filter_record_batch(&batch, as_boolean_array(&keep)?)?;
        }
        let projected = self.projection.make_projector(&batch.schema())?.project_batch(&batch)?;
        let projected = with_schema(projected, &self.output)?;
        let size = self.batch_size.max(1);
        let starts = (0..projected.num_rows()).step_by(size);
        Ok(starts.map(|start| projected.slice(start, size.min(projected.num_rows() - start))).collect())
    }
}

/// The same columns under another schema of the same types (nullability and metadata may differ).
pub(super) fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
}

/// All rows of an inline segment in the scan schema. A column that was added to the table later is NULL.
fn with_system_columns(set: &SegmentSet, segment: &SegmentHandle, rows: &RecordBatch) -> Result<RecordBatch> {
    let count = rows.num_rows();
    let mut columns = Vec::with_capacity(set.scan_schema().fields().len());
    for (index, field) in set.scan_schema().fields().iter().enumerate() {
        let column: ArrayRef = match segment.segment.row_ids {
            _ if index == set.row_address_index() => numbers(row_address(segment.ordinal, 0), count),
            RowIds::Contiguous { first } if index == set.row_id_index() => numbers(first.0, count),
            _ => match rows.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
                Some(column) => cast(column, field.data_type())?,
                None => new_null_array(field.data_type(), count),
            },
        };
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::clone(set.scan_schema()), columns)?)
}

fn numbers(first: u64, count: usize) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values((0..count as u64).map(|offset| first + offset)))
}
