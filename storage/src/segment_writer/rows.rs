//! What rows must satisfy before they are written: the table's types, NOT NULL, finite vectors, distinct keys.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float32Type};

use super::layout::{Layout, VectorColumn};
use crate::error::{Error, ErrorKind, Result};
use crate::primary_key::{hash_rows, key_text};
use crate::schema::vector_dimension;

/// Key hashes are uniformly random already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// Checks rows batch by batch, across all segments of one call.
#[derive(Debug, Default)]
pub(super) struct Checker {
    rows: u64,
    keys: HashSet<u128, BuildHasherDefault<AsIs>>,
}

impl Checker {
    /// The batch under the data file's schema, and its key hashes.
    pub(super) fn check(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u128>)> {
        let fields = layout.data_schema.fields();
        if batch.num_columns() != fields.len() {
            let detail = format!("rows have {} columns, the table {}", batch.num_columns(), fields.len());
            return Err(Error::InvalidRows { kind: ErrorKind::DatatypeMismatch, detail });
        }
        let columns: Result<Vec<ArrayRef>> =
            fields.iter().zip(batch.columns()).map(|(field, array)| conform(field, array)).collect();
        let columns = columns?;
        for vector in &layout.vectors {
            check_finite(layout, *vector, columns[vector.position].as_fixed_size_list(), self.rows)?;
        }
        let conformed = RecordBatch::try_new(Arc::clone(&layout.data_schema), columns)
            .map_err(|e| Error::InvalidRows { kind: ErrorKind::DatatypeMismatch, detail: e.to_string() })?;
        let hashes = if layout.schema.primary_key.is_empty() {
            Vec::new()
        } else {
            let hashes = hash_rows(&layout.schema, &conformed)?;
            if let Some(row) = hashes.iter().position(|hash| !self.keys.insert(*hash)) {
                return Err(Error::UniqueViolation { key: key_text(&layout.schema, &conformed, row) });
            }
            hashes
        };
        self.rows += batch.num_rows() as u64;
        Ok((conformed, hashes))
    }
}

/// The array under the field's own type; differences in nullability and names of nested fields are forgiven.
fn conform(field: &Field, array: &ArrayRef) -> Result<ArrayRef> {
    if !field.is_nullable() && array.logical_null_count() > 0 {
        return Err(Error::NotNull { column: field.name().clone() });
    }
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    let mismatch = || Error::InvalidRows {
        kind: ErrorKind::DatatypeMismatch,
        detail: format!("column \"{}\" is of type {}, not {}", field.name(), field.data_type(), array.data_type()),
    };
    if let DataType::FixedSizeList(item, size) = field.data_type()
        && vector_dimension(field.data_type()).is_some()
        && vector_dimension(field.data_type()) == vector_dimension(array.data_type())
    {
        let vectors = array.as_fixed_size_list();
        if vectors.values().null_count() > 0 && has_null_elements(vectors) {
            let detail = format!("vector in column \"{}\" contains NULL", field.name());
            return Err(Error::InvalidRows { kind: ErrorKind::InvalidValue, detail });
        }
        // Elements of NULL rows may be marked NULL; the type has no such marks, and the values there mean nothing.
        let elements = vectors.values().as_primitive::<Float32Type>().values().clone();
        let elements = arrow::array::Float32Array::new(elements, None);
        let array = FixedSizeListArray::try_new(Arc::clone(item), *size, Arc::new(elements), vectors.nulls().cloned());
        return array.map(|a| Arc::new(a) as ArrayRef).map_err(|_| mismatch());
    }
    if array.data_type().equals_datatype(field.data_type()) {
        let data = array.to_data().into_builder().data_type(field.data_type().clone()).build();
        return data.map(arrow::array::make_array).map_err(|_| mismatch());
    }
    Err(mismatch())
}

/// Whether a vector that is itself not NULL has a NULL element.
fn has_null_elements(vectors: &FixedSizeListArray) -> bool {
    (0..vectors.len()).any(|row| vectors.is_valid(row) && vectors.value(row).null_count() > 0)
}

/// Adds zero times every element: the sum is NaN exactly when one of them is NaN or infinite. Unlike a test per
/// element this is one multiply-add, eight lanes at a time.
fn all_finite(values: &[f32]) -> bool {
    let mut lanes = [0.0f32; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder().iter().fold(0.0, |sum, v| sum + v * 0.0);
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * 0.0;
        }
    }
    !(lanes.iter().sum::<f32>() + rest).is_nan()
}

fn check_finite(layout: &Layout, column: VectorColumn, vectors: &FixedSizeListArray, before: u64) -> Result<()> {
    let elements = vectors.values().as_primitive::<Float32Type>().values();
    let first = vectors.value_offset(0) as usize;
    let elements = &elements[first..first + vectors.len() * column.dim];
    // Nearly always true at once; only then is the row looked for, and NULL rows, which may hold anything, left out.
    if all_finite(elements) {
        return Ok(());
    }
    let mut rows = elements.chunks_exact(column.dim).enumerate();
    match rows.find(|(row, vector)| vectors.is_valid(*row) && !all_finite(vector)) {
        None => Ok(()),
        Some((row, _)) => Err(Error::InvalidRows {
            kind: ErrorKind::InvalidValue,
            detail: format!(
                "vector in column \"{}\" contains NaN or infinity at row {}",
                layout.data_schema.field(column.position).name(),
                before + row as u64 + 1
            ),
        }),
    }
}
