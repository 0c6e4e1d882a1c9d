//! Arrow schemas, inline rows and bounds as bytes, and back from bytes that may be anything.

use crate::log::Damage;
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, make_array};
use arrow::array::{BinaryViewArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A schema as an Arrow IPC stream without batches.
pub(super) fn encode_schema(schema: &SchemaRef) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.finish()?;
    Ok(writer.into_inner()?.into())
}

/// Inline rows as an Arrow IPC stream with one batch.
pub(super) fn encode_rows(rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner()?.into())
}

pub(super) fn decode_schema(bytes: Bytes) -> Result<SchemaRef, Damage> {
    match decode_stream(bytes)? {
        (schema, rows) if rows.is_empty() => Ok(schema),
        _ => Err(Damage::corrupted("its schema is followed by rows")),
    }
}

/// The one batch of an inline segment, under exactly this schema.
pub(super) fn decode_rows(bytes: Bytes, schema: &SchemaRef) -> Result<RecordBatch, Damage> {
    let (_, mut batches) = decode_stream(bytes)?;
    let (Some(batch), true) = (batches.pop(), batches.is_empty()) else {
        return Err(Damage::corrupted("an inline segment is not one batch"));
    };
    // Under the table's own schema, so that every batch of a table shares it; this checks types and NOT NULL.
    RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
        .map_err(|error| Damage::Corrupted(format!("inline rows do not fit the table: {error}")))
}

/// Decodes a stream that is wholly in memory. The push decoder slices what it is given, so a false length cannot make
/// it allocate. Arrow asserts some offsets instead of checking them; a panic here is bad bytes and nothing else, and no
/// state outlives it.
fn decode_stream(bytes: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), Damage> {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = StreamDecoder::new();
        let mut buffer = Buffer::from(bytes);
        let mut batches = Vec::new();
        while !buffer.is_empty() {
            match decoder.decode(&mut buffer)? {
                Some(batch) => batches.push(batch),
                None => break,
            }
        }
        decoder.finish()?;
        Ok::<_, ArrowError>((decoder.schema(), batches))
    }));
    match decoded {
        Ok(Ok((Some(schema), batches))) => Ok((schema, batches)),
        Ok(Ok((None, _))) => Err(Damage::corrupted("it has no Arrow schema")),
        Ok(Err(error)) => Err(Damage::Corrupted(format!("its Arrow data cannot be read: {error}"))),
        Err(_) => Err(Damage::corrupted("its Arrow data cannot be read: offsets lie outside of it")),
    }
}

/// A one-element array's value as bytes; `None` for NULL and for types without a flat form, which have no bounds.
pub(super) fn encode_bound(bound: &ArrayRef) -> Option<Bytes> {
    if bound.len() != 1 || bound.is_null(0) {
        return None;
    }
    let bytes = match bound.data_type() {
        DataType::Boolean => vec![u8::from(bound.as_boolean().value(0))],
        DataType::Utf8 => bound.as_string::<i32>().value(0).into(),
        DataType::LargeUtf8 => bound.as_string::<i64>().value(0).into(),
        DataType::Utf8View => bound.as_string_view().value(0).into(),
        DataType::Binary => bound.as_binary::<i32>().value(0).into(),
        DataType::LargeBinary => bound.as_binary::<i64>().value(0).into(),
        DataType::BinaryView => bound.as_binary_view().value(0).into(),
        other => {
            let width = other.primitive_width()?;
            let data = bound.to_data();
            let values = data.buffers().first()?.as_slice();
            values.get(data.offset() * width..(data.offset() + 1) * width)?.to_vec()
        }
    };
    Some(bytes.into())
}

pub(super) fn decode_bound(data_type: &DataType, bytes: &[u8]) -> Result<ArrayRef, Damage> {
    let text = || std::str::from_utf8(bytes).map_err(|_| Damage::corrupted("a bound is not UTF-8"));
    Ok(match data_type {
        DataType::Boolean if bytes.len() == 1 => Arc::new(BooleanArray::from(vec![bytes[0] != 0])),
        DataType::Utf8 => Arc::new(StringArray::from(vec![text()?])),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(vec![text()?])),
        DataType::Utf8View => Arc::new(StringViewArray::from(vec![text()?])),
        DataType::Binary => Arc::new(BinaryArray::from(vec![bytes])),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from(vec![bytes])),
        DataType::BinaryView => Arc::new(BinaryViewArray::from(vec![bytes])),
        other if other.primitive_width() == Some(bytes.len()) => {
            // `from_slice_ref` aligns for every primitive type.
            let values = Buffer::from_slice_ref(bytes);
            let data = ArrayData::builder(other.clone()).len(1).add_buffer(values).build();
            make_array(data.map_err(|error| Damage::Corrupted(format!("a bound cannot be read: {error}")))?)
        }
        other => return Err(Damage::Corrupted(format!("a bound of type {other} has {} bytes", bytes.len()))),
    })
}
