//! Reading segments to write their rows anew: live rows only, in the order of their ids, each with its id.

use crate::database::{Database, file_path};
use crate::error::{Error, Result};
use crate::schema::TableSchema;
use crate::segment::{ROW_ID_COLUMN, RowIds, Segment, SegmentData};
use crate::snapshot::Snapshot;
use crate::store::{FileBytes, TableStore};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Rows of the batches that are handed on.
const BATCH_ROWS: usize = 8192;

/// The live rows of some segments of a snapshot with their ids in the last column, ascending by id.
///
/// One segment is streamed. Several are held in memory, because their ids may interleave; whoever asks chooses segments
/// that fit.
pub(crate) async fn live_rows(
    database: &Database,
    snapshot: &Snapshot,
    segments: &[Arc<Segment>],
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let mut streams = Vec::with_capacity(segments.len());
    for segment in segments {
        streams.push(segment_rows(database, snapshot, segment).await?);
    }
    if streams.len() == 1
        && let Some(only) = streams.pop()
    {
        return Ok(only);
    }
    let mut batches = Vec::new();
    for mut rows in streams {
        while let Some(batch) = rows.next().await {
            batches.push(batch?);
        }
    }
    let sorted = sort_by_row_id(&with_row_ids(&snapshot.schema), &batches).map_err(refused)?;
    let pieces = (0..sorted.num_rows()).step_by(BATCH_ROWS);
    let pieces: Vec<_> = pieces.map(|at| Ok(sorted.slice(at, BATCH_ROWS.min(sorted.num_rows() - at)))).collect();
    Ok(stream::iter(pieces).boxed())
}

/// The live rows of one segment.
async fn segment_rows(
    database: &Database,
    snapshot: &Snapshot,
    segment: &Arc<Segment>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let deleted = database.deletes(snapshot.table, segment).await?;
    let physical: BoxStream<'static, Result<RecordBatch>> = match &segment.data {
        SegmentData::Inline(rows) => stream::iter([Ok(rows.as_ref().clone())]).boxed(),
        SegmentData::File(file) => {
            let name = file_path(snapshot.table, file).to_string();
            let failed = move |source: ParquetError| Error::Parquet { action: "read", path: name.clone(), source };
            // Verified bytes: a damaged file is never written anew as a sound one.
            let bytes = bytes_of(database.open(snapshot.table, file).await?);
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed.clone())?;
            let rows = builder.with_batch_size(BATCH_ROWS).build().map_err(failed.clone())?;
            stream::iter(rows.map(move |batch| batch.map_err(|error| failed(error.into())))).boxed()
        }
    };
    let (segment, schema) = (segment.clone(), with_row_ids(&snapshot.schema));
    let mut offset = 0;
    Ok(physical
        .map(move |batch| {
            let batch = batch?;
            let first = offset;
            offset += batch.num_rows();
            number(&batch, &schema, segment.row_ids, first)
                .and_then(|batch| drop_deleted(batch, deleted.as_deref(), first))
                .map_err(refused)
        })
        .boxed())
}

/// The batch at `offset` of a segment under the schema that ends with the row ids.
fn number(batch: &RecordBatch, schema: &SchemaRef, row_ids: RowIds, offset: usize) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    if let RowIds::Contiguous { first } = row_ids {
        let first = first.0 + offset as u64;
        let ids = UInt64Array::from_iter_values(first..first + batch.num_rows() as u64);
        columns.push(Arc::new(ids));
    }
    // Parquet gives back some types under another name (views as plain strings, nested fields without metadata).
    let fields = schema.fields().iter();
    let columns = columns.into_iter().zip(fields).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(column)
        } else {
            arrow::compute::cast(&column, field.data_type())
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

fn drop_deleted(batch: RecordBatch, deleted: Option<&RoaringBitmap>, offset: usize) -> Result<RecordBatch, ArrowError> {
    let Some(deleted) = deleted else { return Ok(batch) };
    let offsets = offset..offset + batch.num_rows();
    let live: BooleanArray = offsets.map(|row| Some(!deleted.contains(row as u32))).collect();
    filter_record_batch(&batch, &live)
}

/// A verified file as shared bytes, which is what Parquet reads from.
pub(crate) fn bytes_of(file: Arc<dyn FileBytes>) -> Bytes {
    struct Owner(Arc<dyn FileBytes>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    Bytes::from_owner(Owner(file))
}

fn sort_by_row_id(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let all = concat_batches(schema, batches)?;
    let ids = all.column(all.num_columns() - 1);
    let values = ids.as_primitive::<UInt64Type>().values();
    if values.is_sorted() {
        return Ok(all);
    }
    let order = sort_to_indices(ids, None, None)?;
    take_record_batch(&all, &order)
}

fn with_row_ids(schema: &TableSchema) -> SchemaRef {
    let row_id = Arc::new(Field::new(ROW_ID_COLUMN, DataType::UInt64, false));
    let fields: Vec<_> = schema.arrow.fields().iter().cloned().chain([row_id]).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.arrow.metadata().clone()))
}

fn refused(error: ArrowError) -> Error {
    Error::Internal { detail: format!("rows cannot be rewritten: {error}") }
}
