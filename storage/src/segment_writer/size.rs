//! How many bytes of data rows are, counting what they show and not what they share.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of the values of a batch.
pub fn data_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> usize {
    // Views are 16 bytes each and share their buffers with other slices, so their texts are counted one by one.
    let fixed = array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size());
    match array.data_type() {
        DataType::Utf8View => fixed + array.as_string_view().lengths().map(|n| n as usize).sum::<usize>(),
        DataType::BinaryView => fixed + array.as_binary_view().lengths().map(|n| n as usize).sum::<usize>(),
        _ => fixed,
    }
}
