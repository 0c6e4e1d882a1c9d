//! Single values: a literal, a bound parameter, one argument of a function.

use std::sync::Arc;

use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::common::ScalarValue;

use crate::error::{Error, Result};
use crate::types::{Vectors, check_dimension, vector_array};

/// The vector a value stands for: a vector, a list of numbers or text; `None` for NULL.
///
/// # Errors
/// Those of [`Vectors::try_checked`].
pub fn scalar_to_vector(value: &ScalarValue) -> Result<Option<Vec<f32>>> {
    if value.is_null() {
        return Ok(None);
    }
    let array =
        value.to_array().map_err(|error| Error::Internal { detail: format!("cannot read a value: {error}") })?;
    let vectors = Vectors::try_checked(&array)?;
    Ok(vectors.get(0).map(<[f32]>::to_vec))
}

/// A value of type `vector(n)`, n being the length.
///
/// # Errors
/// [`Error::NoDimensions`] and [`Error::TooManyDimensions`].
pub fn vector_to_scalar(vector: Vec<f32>) -> Result<ScalarValue> {
    let dimension = vector.len();
    check_dimension(dimension)?;
    Ok(ScalarValue::FixedSizeList(Arc::new(vector_array(ScalarBuffer::from(vector), dimension, None, 1)?)))
}
