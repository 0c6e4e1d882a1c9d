//! Batches between nodes: Arrow's form without the schema, which both sides know.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, MutableArrayData, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::FlightData;

/// Bytes of one message, about: a single row may take more.
const MESSAGE_BYTES: usize = 1 << 20;
/// Buffers begin at multiples of this. More would be padding.
const ALIGNMENT: usize = 8;

/// Whether batches of a schema can travel without it: dictionaries would need messages of their own.
pub(super) fn is_plain(schema: &Schema) -> bool {
    schema.flattened_fields().iter().all(|field| !matches!(field.data_type(), DataType::Dictionary(..)))
}

/// A batch as messages of about [`MESSAGE_BYTES`]; at least one.
pub(super) fn encode(batch: &RecordBatch) -> Result<Vec<FlightData>, ArrowError> {
    let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
    let mut context = IpcWriteContext::default();
    let mut message = |part: &RecordBatch| {
        let mut dictionaries = DictionaryTracker::new(false);
        let (_, data) = IpcDataGenerator::default().encode(part, &mut dictionaries, &options, &mut context)?;
        Ok(FlightData::from(data))
    };
    let whole = compact(batch)?;
    let (all, bytes) = (batch.num_rows(), whole.get_array_memory_size());
    let rows = (all * MESSAGE_BYTES).div_ceil(bytes.max(1)).max(1);
    if rows >= all {
        return Ok(vec![message(&whole)?]);
    }
    let parts = (0..all).step_by(rows).map(|start| message(&compact(&batch.slice(start, rows.min(all - start)))?));
    parts.collect()
}

/// The batch of a message, which may be any bytes.
pub(super) fn decode(message: &FlightData, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let malformed = |detail: &str| ArrowError::IpcError(format!("a batch cannot be decoded: {detail}"));
    // Offsets in a message are taken on trust here and there; a panic is bad bytes, and no state outlives it.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let header = root_as_message(&message.data_header).map_err(|error| malformed(&error.to_string()))?;
        let batch = header.header_as_record_batch().ok_or_else(|| malformed("it is none"))?;
        let body = Buffer::from(message.data_body.clone());
        read_record_batch(&body, batch, Arc::clone(schema), &HashMap::new(), None, &header.version())
    }));
    decoded.unwrap_or_else(|_| Err(malformed("it holds impossible values")))
}

/// Views may point into buffers of any size; only the bytes that are shown travel.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(compact_array).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8View => return Ok(Arc::new(array.as_string_view().gc())),
        DataType::BinaryView => return Ok(Arc::new(array.as_binary_view().gc())),
        other if !other.is_nested() => return Ok(Arc::clone(array)),
        _ => {}
    }
    let data = array.to_data();
    if !holds_views(&data) {
        return Ok(Arc::clone(array));
    }
    // A slice has all of its children's values, which a copy of it has not.
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len())?;
    Ok(make_array(compact_children(copy.freeze())?))
}

/// The same with compact views.
fn compact_children(data: ArrayData) -> Result<ArrayData, ArrowError> {
    if data.child_data().is_empty() {
        return Ok(compact_array(&make_array(data))?.to_data());
    }
    let children = data.child_data().iter().cloned().map(compact_children).collect::<Result<_, _>>()?;
    data.into_builder().child_data(children).build()
}

fn holds_views(data: &ArrayData) -> bool {
    matches!(data.data_type(), DataType::Utf8View | DataType::BinaryView) || data.child_data().iter().any(holds_views)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListBuilder, StringViewArray, StringViewBuilder, StructArray};
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let texts = (0..rows).map(|i| (i % 3 > 0).then(|| "a text of some length, ".repeat(i as usize % 7)));
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("t", DataType::Utf8View, true)];
        let ids = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts = Arc::new(texts.collect::<StringViewArray>());
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![ids, texts]).unwrap()
    }

    fn read(messages: &[FlightData], schema: &SchemaRef) -> RecordBatch {
        let batches: Vec<_> = messages.iter().map(|message| decode(message, schema).unwrap()).collect();
        arrow::compute::concat_batches(schema, &batches).unwrap()
    }

    #[test]
    fn batches_arrive_as_they_went() {
        let all = batch(100_000);
        for part in [all.clone(), all.slice(7, 1), all.slice(3, 0), all.project(&[]).unwrap()] {
            let messages = encode(&part).unwrap();
            assert_eq!(read(&messages, &part.schema()), part);
            assert!(messages.iter().all(|message| message.data_body.len() < 3 * MESSAGE_BYTES));
        }
        assert!(encode(&all).unwrap().len() > 1);
        // One row of a long batch brings no other row's bytes along.
        let one = encode(&all.slice(5, 1)).unwrap();
        assert!(one[0].data_body.len() < 512, "{}", one[0].data_body.len());
    }

    #[test]
    fn views_inside_of_other_values_bring_nothing_along_either() {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in 0..1000 {
            let texts = (0..row % 4).map(|i| (i != 1).then(|| format!("{row} {i} {}", "and a long text ".repeat(60))));
            lists.append_value(texts.collect::<Vec<_>>());
            lists.append(row % 5 > 0);
        }
        let lists = Arc::new(lists.finish()) as ArrayRef;
        let field = Arc::new(Field::new("l", lists.data_type().clone(), true));
        let structs = Arc::new(StructArray::from(vec![(Arc::clone(&field), Arc::clone(&lists))])) as ArrayRef;
        let fields = vec![field, Arc::new(Field::new("s", structs.data_type().clone(), true))];
        let all = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![lists, structs]).unwrap();
        for part in [all.clone(), all.slice(501, 700), all.slice(7, 0)] {
            assert_eq!(read(&encode(&part).unwrap(), &part.schema()), part);
        }
        let few = encode(&all.slice(700, 2)).unwrap();
        assert!(few[0].data_body.len() < 8 << 10, "{}", few[0].data_body.len());
    }

    #[test]
    fn other_bytes_are_refused() {
        let message = encode(&batch(50)).unwrap().remove(0);
        let schema = batch(0).schema();
        let header = message.data_header.len();
        let edits = prop::collection::vec((0..header, any::<u8>()), 1..4);
        let mut runner = proptest::test_runner::TestRunner::default();
        let cases = (edits, 0..header, 0..message.data_body.len(), any::<bool>());
        let outcome = runner.run(&cases, |(edits, end, body, cut)| {
            let mut bytes = message.data_header.to_vec();
            edits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            bytes.truncate(if cut { end } else { header });
            let data_body = message.data_body.slice(..if cut { message.data_body.len() } else { body });
            // Some changes are harmless; none may do more than fail.
            let _ = decode(&FlightData { data_header: bytes.into(), data_body, ..FlightData::default() }, &schema);
            Ok(())
        });
        outcome.unwrap();
    }
}
