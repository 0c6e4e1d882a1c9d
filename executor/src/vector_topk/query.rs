//! The query vector when the search begins.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_plan::{ColumnarValue, PhysicalExpr};

use super::Query;
use crate::error::Error;
use crate::search::Metric;
use crate::types::scalar_to_vector;

/// The metric and the vector to search with.
///
/// No distance from NULL is defined, and neither is the cosine with a zero vector: one search finds what the other does.
pub(super) fn resolve(query: &Query, metric: Metric, dimension: usize) -> Result<(Metric, Arc<[f32]>)> {
    let expression = match query {
        Query::Constant(vector) => return fitting(metric, Arc::clone(vector), dimension),
        Query::Several(vectors) => return Ok((metric, Arc::clone(vectors))),
        Query::Expression(expression) => expression,
    };
    match value_of(expression)? {
        Some(vector) => fitting(metric, vector.into(), dimension),
        None => Ok((Metric::Cosine, vec![0.0; dimension].into())),
    }
}

/// The vector that an expression over no columns gives; `None` if it is NULL or not finite.
pub(super) fn constant(expression: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<[f32]>>> {
    let vector = value_of(expression)?.filter(|vector| vector.iter().all(|x| x.is_finite()));
    Ok(vector.map(Arc::from))
}

fn value_of(expression: &Arc<dyn PhysicalExpr>) -> Result<Option<Vec<f32>>> {
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row)?;
    let value = match expression.evaluate(&row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    };
    Ok(scalar_to_vector(&value)?)
}

fn fitting(metric: Metric, vector: Arc<[f32]>, dimension: usize) -> Result<(Metric, Arc<[f32]>)> {
    match vector.len() == dimension {
        true => Ok((metric, vector)),
        false => Err(Error::DimensionMismatch { left: dimension, right: vector.len() }.into()),
    }
}
