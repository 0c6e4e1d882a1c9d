//! `_rowaddr` and `_rowid` as expressions over a segment's own row numbers.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::functions::core::file_row_index;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use volley_storage::segment::RowIds;

use crate::segment_set::{SegmentHandle, SegmentSet, row_address};

/// Rewrites an expression over the scan schema for one Parquet segment: system columns that no file holds become sums of
/// the row number within the file, which the stock source provides for `file_row_index()`.
pub(super) fn resolve(
    set: &SegmentSet,
    segment: &SegmentHandle,
    expr: Arc<dyn PhysicalExpr>,
) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let first = match segment.segment.row_ids {
            _ if column.index() == set.row_address_index() => row_address(segment.ordinal, 0),
            RowIds::Contiguous { first } if column.index() == set.row_id_index() => first.0,
            _ => return Ok(Transformed::no(expr)),
        };
        Ok(Transformed::yes(numbered_from(first)))
    })
    .data()
}

/// `first + row number within the file`.
fn numbered_from(first: u64) -> Arc<dyn PhysicalExpr> {
    let row_number = ScalarFunctionExpr::new(
        "file_row_index",
        file_row_index(),
        vec![],
        Arc::new(Field::new("file_row_index", DataType::Int64, true)),
        Arc::new(ConfigOptions::default()),
    );
    let row_number = Arc::new(CastExpr::new(Arc::new(row_number), DataType::UInt64, None));
    Arc::new(BinaryExpr::new(row_number, Operator::Plus, lit(first)))
}
