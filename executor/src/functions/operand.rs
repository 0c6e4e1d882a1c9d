//! One argument of a function over vectors: a constant or the rows of a batch.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use crate::error::Result;
use crate::types::{Vectors, scalar_to_vector};

/// An argument in a form that can be computed with.
pub(super) enum Operand {
    /// The same vector, or NULL, for every row.
    Constant(Option<Vec<f32>>),
    /// A vector or NULL for each row.
    Rows(Vectors),
}

impl Operand {
    /// Reads an argument. Text and lists are converted here, once a batch.
    pub(super) fn try_new(argument: &ColumnarValue) -> Result<Operand> {
        match argument {
            // A literal of the right type was checked when it was made; only its elements are copied.
            ColumnarValue::Scalar(ScalarValue::FixedSizeList(list)) => {
                Ok(Operand::Constant(Vectors::try_new(list.as_ref())?.get(0).map(<[f32]>::to_vec)))
            }
            ColumnarValue::Scalar(value) => Ok(Operand::Constant(scalar_to_vector(value)?)),
            ColumnarValue::Array(array) => Ok(Operand::Rows(Vectors::try_new(array)?)),
        }
    }

    /// The vector of a row; a constant has the same for all.
    pub(super) fn get(&self, row: usize) -> Option<&[f32]> {
        match self {
            Operand::Constant(vector) => vector.as_deref(),
            Operand::Rows(rows) => rows.get(row),
        }
    }

    /// Whether the value is the same for every row.
    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Operand::Constant(_))
    }
}

/// A result in the shape DataFusion expects: one value if all arguments were constants, else one for each row.
pub(super) fn shaped(array: ArrayRef, constant: bool) -> datafusion::common::Result<ColumnarValue> {
    if constant && array.len() == 1 {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
    } else {
        Ok(ColumnarValue::Array(array))
    }
}
