//! The `vector(n)` type: its Arrow form, its text form, and how other values become vectors.
//!
//! `vector(n)` is `FixedSizeList<Float32>[n]` whose item field is named `item` and is not nullable; a NULL vector is a
//! NULL list. Elements are finite. Two places check that: [`text::parse`] for text, [`Vectors::try_checked`] for
//! everything else that enters a vector.

mod from_scalar;
mod rows;
#[cfg(test)]
mod tests;
pub mod text;

pub use from_scalar::{scalar_to_vector, vector_to_scalar};
pub use rows::Vectors;
pub(crate) use rows::vector_array;
pub use volley_storage::schema::{VECTOR_DIMENSIONS_MAX, vector_dimension};

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};

use crate::error::{Error, Result};

/// The item field of every vector: `item`, Float32, NOT NULL.
pub fn vector_item_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// The Arrow type of `vector(dimension)`.
///
/// # Errors
/// [`Error::NoDimensions`] for 0 and [`Error::TooManyDimensions`] above [`VECTOR_DIMENSIONS_MAX`].
pub fn vector_type(dimension: usize) -> Result<DataType> {
    check_dimension(dimension)?;
    Ok(sized(dimension))
}

/// A column of type `vector(dimension)`.
///
/// # Errors
/// Those of [`vector_type`].
pub fn vector_field(name: impl Into<String>, dimension: usize, nullable: bool) -> Result<Field> {
    Ok(Field::new(name, vector_type(dimension)?, nullable))
}

/// `vector` without a dimension: the type of an expression like `$1::vector`, whose dimension only its value knows.
///
/// Arrow has no such type, so it is written as a list of 0 elements, which no real vector has. It exists while a
/// statement is planned; it is never the type of a column, and no value but NULL has it.
pub fn unsized_vector_type() -> DataType {
    sized(0)
}

/// Whether this is [`unsized_vector_type`].
pub fn is_unsized_vector(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(item, 0) if item.data_type() == &DataType::Float32)
}

/// Whether the type is a vector of any dimension, known or not.
pub fn is_vector(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(item, _) if item.data_type() == &DataType::Float32)
}

/// Whether a value of this type can become a vector: a vector, text, a list of numbers, or an untyped NULL.
pub fn is_vector_like(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => item.data_type().is_numeric() || item.data_type().is_null(),
        DataType::Dictionary(_, value) => is_vector_like(value),
        _ => false,
    }
}

/// The name users know a type by, for messages: `vector(3)` rather than Arrow's spelling.
pub fn type_name(data_type: &DataType) -> String {
    match (vector_dimension(data_type), data_type) {
        (Some(dimension), _) => format!("vector({dimension})"),
        _ if is_unsized_vector(data_type) => "vector".to_owned(),
        (None, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => "text".to_owned(),
        (None, DataType::Dictionary(_, value)) => type_name(value),
        (None, other) => other.to_string(),
    }
}

/// Refuses dimensions that no vector can have.
pub fn check_dimension(dimension: usize) -> Result<()> {
    match dimension {
        0 => Err(Error::NoDimensions),
        n if n > VECTOR_DIMENSIONS_MAX => Err(Error::TooManyDimensions { actual: n, max: VECTOR_DIMENSIONS_MAX }),
        _ => Ok(()),
    }
}

/// The list type without the check; `dimension` is at most [`VECTOR_DIMENSIONS_MAX`], which fits an `i32`.
fn sized(dimension: usize) -> DataType {
    DataType::FixedSizeList(vector_item_field(), dimension as i32)
}
