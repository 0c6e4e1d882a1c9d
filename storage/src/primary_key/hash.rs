//! From key values to 128-bit hashes.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::TableSchema;

/// Fixed for ever: every `pk.vpk` on any disk depends on it.
static HASH_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| blake3::derive_key("volley 2026 primary key hash v1", b""));

/// Writes the canonical form of one row's value.
type Encode<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + Send + 'a>;

// One tag per family of types. Values of one column always share a family, so tags only keep columns apart.
const TAG_BOOL: u8 = 1;
const TAG_INTEGER: u8 = 2;
const TAG_FLOAT: u8 = 3;
const TAG_DECIMAL: u8 = 4;
const TAG_TEXT: u8 = 5;
const TAG_BINARY: u8 = 6;
const TAG_TIME: u8 = 7;

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    // The length comes first, so that ('a', 'bc') and ('ab', 'c') differ.
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Equal floats have equal bytes: -0 is 0 and every NaN is one NaN, as in SQL's comparison for uniqueness.
fn put_float(out: &mut Vec<u8>, value: f64) {
    let canonical = if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    put(out, TAG_FLOAT, &canonical.to_bits().to_le_bytes());
}

macro_rules! integers {
    ($array:expr, $type:ty) => {{
        let values = $array.as_primitive::<$type>().values();
        Box::new(move |row, out| put(out, TAG_INTEGER, &i128::from(values[row]).to_le_bytes()))
    }};
}

macro_rules! raw {
    ($array:expr, $type:ty, $tag:expr) => {{
        let values = $array.as_primitive::<$type>().values();
        Box::new(move |row, out| put(out, $tag, &values[row].to_le_bytes()))
    }};
}

/// The encoder of one key column; `None` for types that a key cannot have.
fn encoder(array: &ArrayRef) -> Option<Encode<'_>> {
    use DataType::*;
    Some(match array.data_type() {
        Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| put(out, TAG_BOOL, &[u8::from(values.value(row))]))
        }
        Int8 => integers!(array, Int8Type),
        Int16 => integers!(array, Int16Type),
        Int32 => integers!(array, Int32Type),
        Int64 => integers!(array, Int64Type),
        UInt8 => integers!(array, UInt8Type),
        UInt16 => integers!(array, UInt16Type),
        UInt32 => integers!(array, UInt32Type),
        UInt64 => integers!(array, UInt64Type),
        Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Box::new(move |row, out| put_float(out, f64::from(values[row])))
        }
        Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Box::new(move |row, out| put_float(out, values[row]))
        }
        Decimal128(..) => raw!(array, Decimal128Type, TAG_DECIMAL),
        Decimal256(..) => raw!(array, Decimal256Type, TAG_DECIMAL),
        Date32 => raw!(array, Date32Type, TAG_TIME),
        Date64 => raw!(array, Date64Type, TAG_TIME),
        Time32(TimeUnit::Second) => raw!(array, Time32SecondType, TAG_TIME),
        Time32(TimeUnit::Millisecond) => raw!(array, Time32MillisecondType, TAG_TIME),
        Time64(TimeUnit::Microsecond) => raw!(array, Time64MicrosecondType, TAG_TIME),
        Time64(TimeUnit::Nanosecond) => raw!(array, Time64NanosecondType, TAG_TIME),
        Timestamp(TimeUnit::Second, _) => raw!(array, TimestampSecondType, TAG_TIME),
        Timestamp(TimeUnit::Millisecond, _) => raw!(array, TimestampMillisecondType, TAG_TIME),
        Timestamp(TimeUnit::Microsecond, _) => raw!(array, TimestampMicrosecondType, TAG_TIME),
        Timestamp(TimeUnit::Nanosecond, _) => raw!(array, TimestampNanosecondType, TAG_TIME),
        Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |row, out| put_text(out, TAG_TEXT, values.value(row).as_bytes()))
        }
        LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(move |row, out| put_text(out, TAG_TEXT, values.value(row).as_bytes()))
        }
        Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| put_text(out, TAG_TEXT, values.value(row).as_bytes()))
        }
        Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row, out| put_text(out, TAG_BINARY, values.value(row)))
        }
        LargeBinary => {
            let values = array.as_binary::<i64>();
            Box::new(move |row, out| put_text(out, TAG_BINARY, values.value(row)))
        }
        BinaryView => {
            let values = array.as_binary_view();
            Box::new(move |row, out| put_text(out, TAG_BINARY, values.value(row)))
        }
        FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(move |row, out| put_text(out, TAG_BINARY, values.value(row)))
        }
        _ => return None,
    })
}

/// Hashes of keys whose columns are given in key order, with their names for messages.
///
/// The encoding of a row is the concatenation over the columns of a tag and a value: integers as 128-bit two's
/// complement, floats as canonical f64, decimals, dates and times as their raw number (all little-endian), text and
/// binary as a 64-bit length and the bytes. It depends on nothing but this function.
pub fn hash_columns(columns: &[(&str, &ArrayRef)]) -> Result<Vec<u128>> {
    let mut encoders = Vec::with_capacity(columns.len());
    for (name, array) in columns {
        if array.logical_null_count() > 0 {
            return Err(Error::NotNull { column: (*name).to_string() });
        }
        encoders.push(encoder(array).ok_or_else(|| Error::InvalidRows {
            kind: ErrorKind::Unsupported,
            detail: format!("column \"{name}\" of type {} cannot be part of a primary key", array.data_type()),
        })?);
    }
    let rows = columns.first().map_or(0, |(_, array)| array.len());
    let mut bytes = Vec::new();
    let mut hashes = Vec::with_capacity(rows);
    for row in 0..rows {
        bytes.clear();
        for encode in &encoders {
            encode(row, &mut bytes);
        }
        let hash = blake3::keyed_hash(&HASH_KEY, &bytes);
        let mut half = [0; 16];
        half.copy_from_slice(&hash.as_bytes()[..16]);
        hashes.push(u128::from_le_bytes(half));
    }
    Ok(hashes)
}

/// The key columns of a batch whose first columns are the table's, in key order.
fn key_columns<'a>(schema: &'a TableSchema, batch: &'a RecordBatch) -> Result<Vec<(&'a str, &'a ArrayRef)>> {
    let find = |id: &crate::ids::FieldId| {
        let position = schema.index_of(*id).filter(|p| *p < batch.num_columns());
        position.map(|p| (schema.arrow.field(p).name().as_str(), batch.column(p)))
    };
    let columns: Option<Vec<_>> = schema.primary_key.iter().map(find).collect();
    columns.ok_or_else(|| Error::Internal { detail: "rows lack a column of the primary key".into() })
}

/// The 128-bit hashes of a batch's primary keys, in row order; empty when the table has none. The batch's columns are
/// the table's, in its order. NULL in a key column is [`Error::NotNull`].
pub fn hash_rows(schema: &TableSchema, batch: &RecordBatch) -> Result<Vec<u128>> {
    hash_columns(&key_columns(schema, batch)?)
}

/// A row's key for messages, as PostgreSQL writes it: `(id)=(5)`.
pub fn key_text(schema: &TableSchema, batch: &RecordBatch, row: usize) -> String {
    let columns = key_columns(schema, batch).unwrap_or_default();
    let options = FormatOptions::default();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|(_, array)| match ArrayFormatter::try_new(array.as_ref(), &options) {
            Ok(formatter) if row < array.len() => formatter.value(row).to_string(),
            _ => "?".to_string(),
        })
        .collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}
