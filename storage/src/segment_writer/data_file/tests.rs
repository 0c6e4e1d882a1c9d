//! Whatever vectors are written, any reader of Parquet gets them back: all of them, and single rows through the page index.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::file::metadata::PageIndexPolicy;

use super::super::StageOptions;
use super::super::tests::{field, read, snapshot, stage_all, vector_array, vector_type};
use crate::memory_env;
use crate::segment::SegmentData;

#[tokio::test]
async fn vectors_read_back_whole_and_row_by_row() {
    for (dim, rows) in [(1, 20_000), (3, 9_000), (700, 2_500)] {
        let fields = vec![
            field("a", 1, vector_type(dim), true),
            field("id", 2, DataType::Int64, false),
            field("b", 3, vector_type(dim), false),
        ];
        let (env, table) = (memory_env(), snapshot(fields, &[]));
        let batch = |from: usize, count: usize| {
            let values = |scale: f32| (from * dim..(from + count) * dim).map(|n| n as f32 * scale).collect();
            let nulls = NullBuffer::from((from..from + count).map(|row| row % 5 != 0).collect::<Vec<_>>());
            let columns: Vec<ArrayRef> = vec![
                vector_array(values(0.5), dim, Some(nulls)),
                Arc::new(Int64Array::from_iter_values((from..from + count).map(|row| row as i64))),
                vector_array(values(2.0), dim, None),
            ];
            RecordBatch::try_new(Arc::clone(&table.schema.arrow), columns).unwrap()
        };
        // Batches that end in the middle of pages, one of them a part of a longer one.
        let all = batch(0, rows);
        let batches = vec![batch(0, 1), batch(0, 1_000).slice(1, 700), batch(701, rows - 701)];
        let options = StageOptions { inline_bytes_max: 0, ..StageOptions::default() };
        let staged = stage_all(&env, &table, batches, options).await.unwrap();
        let [segment] = staged.as_slice() else { panic!("one segment") };
        let SegmentData::File(file) = &segment.data else { panic!("a file") };
        let bytes = read(&env, &table, file).await;
        let reader = || {
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
            ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options).unwrap()
        };
        let found: Vec<_> = reader().build().unwrap().map(|batch| batch.unwrap()).collect();
        assert_eq!(concat_batches(&table.schema.arrow, &found).unwrap().columns(), all.columns());

        let wanted: Vec<u32> = (0..rows as u32).filter(|row| row % 301 < 2).collect();
        let selectors = (0..rows as u32).map(|row| match row % 301 < 2 {
            true => RowSelector::select(1),
            false => RowSelector::skip(1),
        });
        let selection: RowSelection = selectors.collect::<Vec<_>>().into();
        let found = reader().with_row_selection(selection).build().unwrap().map(|batch| batch.unwrap());
        let found = concat_batches(&table.schema.arrow, &found.collect::<Vec<_>>()).unwrap();
        assert_eq!(found.columns(), take_record_batch(&all, &UInt32Array::from(wanted)).unwrap().columns());
        assert_eq!(found.column(2).null_count(), 0);
    }
}
