//! Values as text.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float32Type};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Dates and times as PostgreSQL prints them.
const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// How a nested value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nested {
    /// For reading: `[a, b]`.
    Display,
    /// For programs: JSON.
    Json,
}

/// The values of one column.
pub(super) enum Cells<'a> {
    /// A vector, as pgvector prints it; elements past `shown` are counted and not printed.
    Vector { array: &'a ArrayRef, shown: usize },
    /// A nested value as JSON.
    Json(Box<NullableEncoder<'a>>, &'a ArrayRef),
    /// Anything else.
    Plain(ArrayFormatter<'a>, &'a ArrayRef),
}

impl<'a> Cells<'a> {
    /// The cells of a column. `shown`: how many elements of a longer vector are printed.
    pub(super) fn new(
        field: &'a FieldRef,
        array: &'a ArrayRef,
        nested: Nested,
        shown: usize,
        json: &'a EncoderOptions,
    ) -> Result<Self, ArrowError> {
        if is_vector(array.data_type()) {
            return Ok(Cells::Vector { array, shown });
        }
        if nested == Nested::Json && array.data_type().is_nested() && has_json_form(array.data_type()) {
            return Ok(Cells::Json(Box::new(make_encoder(field, array.as_ref(), json)?), array));
        }
        Ok(Cells::Plain(ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?, array))
    }

    /// Appends the value at `row` to `out`; false, and nothing appended, where it is NULL.
    pub(super) fn write(&mut self, row: usize, out: &mut String) -> Result<bool, ArrowError> {
        match self {
            Cells::Vector { array, shown } => Ok(write_vector(array, row, *shown, out)),
            Cells::Json(encoder, array) => {
                if array.is_null(row) {
                    return Ok(false);
                }
                let mut bytes = Vec::new();
                encoder.encode(row, &mut bytes);
                out.push_str(&String::from_utf8_lossy(&bytes));
                Ok(true)
            }
            Cells::Plain(formatter, array) => {
                if is_null(array, row) {
                    return Ok(false);
                }
                // A String never refuses; what fails here is the value.
                write!(out, "{}", formatter.value(row))
                    .map_err(|_| ArrowError::CastError(format!("a {} value", array.data_type())))?;
                Ok(true)
            }
        }
    }
}

/// The cells of every column of a batch.
pub(super) fn all<'a>(
    batch: &'a RecordBatch,
    nested: Nested,
    shown: usize,
    json: &'a EncoderOptions,
) -> Result<Vec<Cells<'a>>, ArrowError> {
    batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| Cells::new(field, array, nested, shown, json))
        .collect()
}

/// Options of JSON encoders: nested NULLs are written, as top-level ones are.
pub(super) fn json_options() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true)
}

/// Whether a type holds vectors.
pub(super) fn is_vector(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(item, _) if item.data_type() == &DataType::Float32)
}

/// Whether arrow can write the type as JSON; other values are written as text.
pub(super) fn has_json_form(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => false,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_json_form(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_json_form(field.data_type())),
        _ => true,
    }
}

/// Whether a value is NULL, also where the array keeps no bitmap of its own (dictionaries, unions, the NULL type).
pub(super) fn is_null(array: &ArrayRef, row: usize) -> bool {
    match array.data_type() {
        DataType::Null => true,
        DataType::Dictionary(..) | DataType::Union(..) | DataType::RunEndEncoded(..) => {
            array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
        }
        _ => array.is_null(row),
    }
}

fn write_vector(array: &ArrayRef, row: usize, shown: usize, out: &mut String) -> bool {
    let list = array.as_fixed_size_list();
    if list.is_null(row) {
        return false;
    }
    let value = list.value(row);
    let elements = value.as_primitive::<Float32Type>().values();
    if elements.len() <= shown {
        volley_executor::types::text::format_into(elements, out);
        return true;
    }
    out.push('[');
    for element in &elements[..shown] {
        let _ = write!(out, "{element:.4}, ");
    }
    let _ = write!(out, "… {} dims]", elements.len());
    true
}
