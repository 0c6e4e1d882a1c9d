//! A few rows that travel inside the commit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;

use super::layout::Layout;
use super::rows::Checker;
use super::statistics::Accumulator;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::segment::SegmentData;
use crate::store::StagedSegment;

/// One inline segment of checked rows.
pub(super) fn segment(env: &Env, layout: &Layout, batches: &[RecordBatch]) -> Result<StagedSegment> {
    let mut checker = Checker::default();
    let (mut checked, mut keys) = (Vec::with_capacity(batches.len()), Vec::new());
    for batch in batches {
        let (batch, hashes) = checker.check(layout, batch)?;
        checked.push(batch);
        keys.extend(hashes);
    }
    let internal = |e: arrow::error::ArrowError| Error::Internal { detail: format!("cannot join rows: {e}") };
    let joined = concat_batches(&layout.data_schema, &checked).map_err(internal)?;
    let columns = joined.columns().iter().map(compact).collect();
    let rows = RecordBatch::try_new(Arc::clone(&layout.data_schema), columns).map_err(internal)?;
    let mut stats: Vec<Accumulator> = layout.columns.iter().map(|(_, field)| Accumulator::new(*field)).collect();
    for ((position, _), stats) in layout.columns.iter().zip(&mut stats) {
        stats.update(rows.column(*position));
    }
    let id = SegmentId(env.new_ulid());
    Ok(StagedSegment {
        id,
        begun_ms: id.0.timestamp_ms(),
        rows: rows.num_rows() as u64,
        has_row_id_column: layout.has_row_ids,
        data: SegmentData::Inline(Arc::new(rows)),
        stats: stats.into_iter().map(Accumulator::finish).collect(),
        sidecars: Vec::new(),
        key_hashes: keys.into(),
    })
}

/// Views may point into buffers of any size; the commit must carry only the bytes that are shown.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}
