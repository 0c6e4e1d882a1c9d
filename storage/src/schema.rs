//! A table's schema: Arrow types with field ids, primary key and defaults.

use crate::ids::{FieldId, SchemaId};
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::collections::BTreeMap;

/// Metadata key under which Arrow and Parquet readers keep a field id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The largest number of dimensions a vector may have.
pub const VECTOR_DIMENSIONS_MAX: usize = 32_768;

/// The schema of a table at one [`SchemaId`].
///
/// Every top-level field carries its id under [`FIELD_ID_KEY`]. NOT NULL columns are non-nullable fields.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// The schema's number.
    pub id: SchemaId,
    /// Columns in declaration order.
    pub arrow: SchemaRef,
    /// Primary key columns in key order; empty without a primary key.
    pub primary_key: Vec<FieldId>,
    /// SQL text of each column's DEFAULT.
    pub defaults: BTreeMap<FieldId, String>,
}

/// The id of a field of a [`TableSchema`], if it carries one.
pub fn field_id(field: &Field) -> Option<FieldId> {
    field.metadata().get(FIELD_ID_KEY)?.parse().ok().map(FieldId)
}

/// The dimension of a `vector(n)` column: `FixedSizeList<Float32>[n]`; `None` for any other type.
pub fn vector_dimension(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeList(item, n) if item.data_type() == &DataType::Float32 && *n > 0 => Some(*n as usize),
        _ => None,
    }
}

impl TableSchema {
    /// The position of the column with this id.
    pub fn index_of(&self, id: FieldId) -> Option<usize> {
        self.arrow.fields().iter().position(|f| field_id(f) == Some(id))
    }
}
