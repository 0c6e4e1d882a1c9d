//! The distance functions behind `<->`, `<=>`, `<#>` and `<+>`.
//!
//! DataFusion's own `cosine_distance` family casts every vector to a list of doubles; these functions run the f32
//! kernels of `volley-index` over the buffer of a `vector(n)` column as it lies. They replace the stock functions of
//! the same names.

use std::sync::Arc;

use datafusion::arrow::array::Float64Array;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use volley_index::{Matrix, Metric};

use crate::error::Error;
use crate::functions::docs;
use crate::functions::operand::{Operand, shaped};
use crate::types::{Vectors, is_unsized_vector, is_vector_like, scalar_to_vector, type_name, vector_to_scalar};

/// Every distance function: its name, its metric, and whether its result is the negated distance.
const FUNCTIONS: [(&str, Metric, bool); 5] = [
    ("l2_distance", Metric::L2, false),
    ("cosine_distance", Metric::Cosine, false),
    ("negative_inner_product", Metric::InnerProduct, false),
    ("l1_distance", Metric::L1, false),
    ("inner_product", Metric::InnerProduct, true),
];

/// The metric whose distance a function computes, so that ascending order of its result is nearest first.
///
/// `inner_product` has none: it grows with similarity.
pub fn metric_of(function: &str) -> Option<Metric> {
    FUNCTIONS.iter().find(|(name, _, negated)| *name == function && !negated).map(|(_, metric, _)| *metric)
}

/// The function that computes a metric's distance; the inverse of [`metric_of`].
pub fn function_of(metric: Metric) -> &'static str {
    match metric {
        Metric::L2 => "l2_distance",
        Metric::Cosine => "cosine_distance",
        Metric::InnerProduct => "negative_inner_product",
        Metric::L1 => "l1_distance",
    }
}

/// Whether a function compares two vectors.
pub(super) fn is_distance_function(function: &str) -> bool {
    FUNCTIONS.iter().any(|(name, _, _)| *name == function)
}

/// The distance functions.
pub(super) fn all() -> impl Iterator<Item = ScalarUDF> {
    FUNCTIONS.into_iter().map(|(name, metric, negated)| {
        ScalarUDF::from(DistanceFunction {
            name,
            metric,
            negated,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    })
}

/// Two vectors to a Float64; NULL if either is NULL or the distance is undefined (cosine of a zero vector).
#[derive(Debug, PartialEq, Eq, Hash)]
struct DistanceFunction {
    name: &'static str,
    metric: Metric,
    negated: bool,
    signature: Signature,
}

impl ScalarUDFImpl for DistanceFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // Text and lists are taken as they are: casting them to one fixed dimension here would turn a wrong dimension into
    // an Arrow error about lists. Types are judged in `return_field_from_args`, whose errors keep their kind.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        check_arguments(self.name, arg_types.iter())?;
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_arguments(self.name, args.arg_fields.iter().map(|field| field.data_type()))?;
        Ok(Arc::new(Field::new(self.name, DataType::Float64, true)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    /// Makes `distance(column, constant vector)` of every form in which users write it, which is the shape that the
    /// top-k rule looks for: text and lists become vectors, and a constant on the left moves to the right (every
    /// metric is symmetric, to the bit). With a NULL there is nothing left to compute.
    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let [left, right] = <[Expr; 2]>::try_from(args).map_err(|args| wrong_count(self.name, args.len()))?;
        let (left, left_changed) = constant_vector(left)?;
        let (right, right_changed) = constant_vector(right)?;
        if is_null_literal(&left) || is_null_literal(&right) {
            return Ok(ExprSimplifyResult::Simplified(Expr::Literal(ScalarValue::Float64(None), None)));
        }
        if left_changed || right_changed {
            let types = [info.get_data_type(&left)?, info.get_data_type(&right)?];
            check_arguments(self.name, types.iter())?;
        }
        let swap = matches!(left, Expr::Literal(..)) && !matches!(right, Expr::Literal(..));
        let args = if swap { vec![right, left] } else { vec![left, right] };
        if left_changed || right_changed || swap {
            let function = DistanceFunction { signature: self.signature.clone(), ..*self };
            return Ok(ExprSimplifyResult::Simplified(ScalarUDF::from(function).call(args)));
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(wrong_count(self.name, args.args.len()).into());
        };
        let (left, right) = (Operand::try_new(left)?, Operand::try_new(right)?);
        let constant = left.is_constant() && right.is_constant();
        let distances = match (&left, &right) {
            (Operand::Constant(None), _) | (_, Operand::Constant(None)) => {
                return Ok(ColumnarValue::Scalar(ScalarValue::Float64(None)));
            }
            (Operand::Rows(rows), Operand::Constant(Some(query)))
            | (Operand::Constant(Some(query)), Operand::Rows(rows)) => to_constant(self.metric, query, rows)?,
            _ => pairwise(self.metric, &left, &right, if constant { 1 } else { args.number_rows })?,
        };
        shaped(Arc::new(self.signed(distances)), constant)
    }

    fn documentation(&self) -> Option<&Documentation> {
        docs::of(self.name)
    }
}

impl DistanceFunction {
    fn signed(&self, distances: Float64Array) -> Float64Array {
        if self.negated { distances.unary(|distance| -distance) } else { distances }
    }
}

/// Refuses a wrong number of arguments, arguments that cannot be vectors, and dimensions known to differ.
fn check_arguments<'a>(name: &str, types: impl Iterator<Item = &'a DataType>) -> crate::error::Result<()> {
    let types: Vec<&DataType> = types.collect();
    let [left, right] = types.as_slice() else {
        return Err(wrong_count(name, types.len()));
    };
    if !is_vector_like(left) || !is_vector_like(right) {
        let detail = format!("{name}({}, {}) does not exist; it takes two vectors", type_name(left), type_name(right));
        return Err(Error::Signature { detail });
    }
    match (known_dimension(left), known_dimension(right)) {
        (Some(left), Some(right)) if left != right => Err(Error::DimensionMismatch { left, right }),
        _ => Ok(()),
    }
}

fn wrong_count(name: &str, count: usize) -> Error {
    let plural = if count == 1 { "" } else { "s" };
    Error::Signature { detail: format!("{name} takes 2 vectors, it was called with {count} argument{plural}") }
}

/// The dimension that a type fixes.
fn known_dimension(data_type: &DataType) -> Option<usize> {
    match data_type {
        _ if is_unsized_vector(data_type) => None,
        DataType::FixedSizeList(_, n) => usize::try_from(*n).ok(),
        _ => None,
    }
}

/// A literal that is not yet a vector becomes one; says whether it changed anything.
fn constant_vector(expr: Expr) -> crate::error::Result<(Expr, bool)> {
    let Expr::Literal(value, metadata) = expr else {
        return Ok((expr, false));
    };
    if !is_vector_like(&value.data_type()) {
        return Ok((Expr::Literal(value, metadata), false));
    }
    match scalar_to_vector(&value)? {
        None => Ok((Expr::Literal(value, metadata), false)),
        Some(vector) => {
            let vector = vector_to_scalar(vector)?;
            let changed = vector.data_type() != value.data_type();
            Ok((Expr::Literal(vector, metadata), changed))
        }
    }
}

fn is_null_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// Distances of every row to one vector. Over a `vector(n)` column this is one call of the kernel.
fn to_constant(metric: Metric, query: &[f32], rows: &Vectors) -> crate::error::Result<Float64Array> {
    let Some((data, dimension)) = rows.matrix() else {
        return (0..rows.len()).map(|row| row_distance(metric, rows.get(row), Some(query))).collect();
    };
    if dimension != query.len() {
        return Err(Error::DimensionMismatch { left: dimension, right: query.len() });
    }
    let matrix = Matrix::new(data, dimension)
        .map_err(|error| Error::Internal { detail: format!("vectors do not form a matrix: {error}") })?;
    let mut distances = vec![0f32; rows.len()];
    volley_index::distances(metric, query, matrix, &mut distances);
    // The kernel marks an undefined distance with NaN.
    let defined = distances
        .iter()
        .any(|distance| distance.is_nan())
        .then(|| distances.iter().map(|distance| !distance.is_nan()).collect::<NullBuffer>());
    let nulls = NullBuffer::union(rows.nulls(), defined.as_ref());
    Ok(Float64Array::new(distances.into_iter().map(f64::from).collect(), nulls))
}

/// Distances row by row.
fn pairwise(metric: Metric, left: &Operand, right: &Operand, rows: usize) -> crate::error::Result<Float64Array> {
    (0..rows).map(|row| row_distance(metric, left.get(row), right.get(row))).collect()
}

fn row_distance(metric: Metric, left: Option<&[f32]>, right: Option<&[f32]>) -> crate::error::Result<Option<f64>> {
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(None);
    };
    if left.len() != right.len() {
        return Err(Error::DimensionMismatch { left: left.len(), right: right.len() });
    }
    // Overflow of two large products can end in NaN, which the batch kernel also reports as undefined.
    Ok(volley_index::distance(metric, left, right).filter(|distance| !distance.is_nan()).map(f64::from))
}
