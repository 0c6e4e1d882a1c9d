//! What is staged reads back as the rows that went in, under the limits and checks that the format promises.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringViewArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::{StageOptions, column_stats, stage};
use crate::disk::SimDisk;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::files::FileCache;
use crate::ids::{FieldId, RowId, SchemaId, TableId, Version};
use crate::local_store::DurableStore;
use crate::schema::{FIELD_ID_KEY, TableSchema};
use crate::segment::{FileRef, ROW_GROUP_ROWS, ROW_ID_COLUMN, SegmentData, SidecarKind};
use crate::snapshot::{Snapshot, TableProperties};
use crate::store::StagedSegment;
use crate::{memory_env, primary_key, vectors};

pub(crate) fn field(name: &str, id: i32, data_type: DataType, nullable: bool) -> Field {
    Field::new(name, data_type, nullable).with_metadata(HashMap::from([(FIELD_ID_KEY.to_string(), id.to_string())]))
}

pub(crate) fn vector_type(dim: usize) -> DataType {
    DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), dim as i32)
}

pub(crate) fn snapshot(fields: Vec<Field>, primary_key: &[i32]) -> Snapshot {
    let schema = TableSchema {
        id: SchemaId(0),
        arrow: Arc::new(Schema::new(fields)),
        primary_key: primary_key.iter().map(|id| FieldId(*id)).collect(),
        defaults: Default::default(),
    };
    Snapshot {
        table: TableId(ulid::Ulid::from_parts(1, 1)),
        version: Version(0),
        commit_ts_ms: 0,
        schema: Arc::new(schema),
        properties: TableProperties::default(),
        segments: Vec::new(),
        next_row_id: RowId(0),
    }
}

/// id int NOT NULL PRIMARY KEY, name text, v vector(dim)
pub(crate) fn wordy(dim: usize) -> Snapshot {
    let fields = vec![
        field("id", 1, DataType::Int64, false),
        field("name", 2, DataType::Utf8View, true),
        field("v", 3, vector_type(dim), true),
    ];
    snapshot(fields, &[1])
}

pub(crate) fn vector_array(values: Vec<f32>, dim: usize, nulls: Option<NullBuffer>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    Arc::new(FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values)), nulls))
}

pub(crate) fn wordy_batch(schema: &Snapshot, ids: std::ops::Range<i64>, dim: usize) -> RecordBatch {
    let count = (ids.end - ids.start) as usize;
    let names: StringViewArray = ids.clone().map(|n| (n % 7 != 0).then(|| format!("the name of number {n}"))).collect();
    let values = ids.clone().flat_map(|n| (0..dim).map(move |d| (n * 31 + d as i64) as f32 / 16.0)).collect();
    let nulls = NullBuffer::from(ids.clone().map(|n| n % 11 != 0).collect::<Vec<_>>());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(names), vector_array(values, dim, Some(nulls))];
    assert_eq!(columns[0].len(), count);
    RecordBatch::try_new(Arc::clone(&schema.schema.arrow), columns).unwrap()
}

pub(crate) async fn stage_all(
    env: &Env,
    snapshot: &Snapshot,
    batches: Vec<RecordBatch>,
    options: StageOptions,
) -> Result<Vec<StagedSegment>> {
    let rows = futures::stream::iter(batches.into_iter().map(Ok)).boxed();
    stage(env, snapshot.table, snapshot, rows, options).await
}

fn never_inline() -> StageOptions {
    StageOptions { inline_bytes_max: 0, ..Default::default() }
}

pub(crate) async fn read(env: &Env, snapshot: &Snapshot, file: &FileRef) -> Bytes {
    let path = object_store::path::Path::from(format!("tables/{}/{}", snapshot.table, file.path));
    let bytes = env.store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, file.length);
    assert_eq!(blake3::hash(&bytes).as_bytes(), &file.blake3);
    bytes
}

async fn rows_of(env: &Env, snapshot: &Snapshot, segment: &StagedSegment) -> RecordBatch {
    match &segment.data {
        SegmentData::Inline(rows) => rows.as_ref().clone(),
        SegmentData::File(file) => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(read(env, snapshot, file).await).unwrap();
            let schema = Arc::clone(builder.schema());
            let batches: Vec<RecordBatch> = builder.build().unwrap().map(|b| b.unwrap()).collect();
            concat_batches(&schema, &batches).unwrap()
        }
    }
}

#[tokio::test]
async fn a_few_rows_stay_inline_and_carry_only_their_own_bytes() {
    let (env, table) = (memory_env(), wordy(4));
    let large = wordy_batch(&table, 0..50_000, 4);
    let staged = stage_all(&env, &table, vec![large.slice(10, 3)], StageOptions::default()).await.unwrap();
    let [segment] = staged.as_slice() else { panic!("one segment") };
    let SegmentData::Inline(rows) = &segment.data else { panic!("inline") };
    assert_eq!(**rows, large.slice(10, 3));
    assert!(rows.column(1).get_array_memory_size() < 20_000);
    assert_eq!((segment.rows, segment.key_hashes.len(), segment.sidecars.len()), (3, 3, 0));
}

#[tokio::test]
async fn no_rows_are_no_segment() {
    let (env, table) = (memory_env(), wordy(4));
    assert!(stage_all(&env, &table, vec![], StageOptions::default()).await.unwrap().is_empty());
    let empty = wordy_batch(&table, 0..0, 4);
    assert!(stage_all(&env, &table, vec![empty], never_inline()).await.unwrap().is_empty());
}

/// Small files are encoded in place, large ones on a thread with uploads while they grow.
#[tokio::test]
async fn files_hold_the_rows_and_their_sidecars() {
    for rows in [5, 1_500, 200_000i64] {
        let (env, table) = (memory_env(), wordy(16));
        let batches: Vec<RecordBatch> =
            (0..rows).step_by(7000).map(|n| wordy_batch(&table, n..(n + 7000).min(rows), 16)).collect();
        let all = concat_batches(&table.schema.arrow, &batches).unwrap();
        let staged = stage_all(&env, &table, batches, never_inline()).await.unwrap();
        let [segment] = staged.as_slice() else { panic!("one segment") };
        let found = rows_of(&env, &table, segment).await;
        assert_eq!(found.columns(), all.columns());
        assert_eq!(found.schema().field(2).metadata()[FIELD_ID_KEY], "3");

        let sidecar = |kind| segment.sidecars.iter().find(|s| s.kind == kind).unwrap();
        let bytes = read(&env, &table, &sidecar(SidecarKind::Vectors).file).await;
        let bytes = arrow::buffer::Buffer::from(bytes.as_ref());
        let view = vectors::View::parse(&bytes).unwrap();
        assert_eq!(view.rows as i64, rows);
        let expected = all.column(2).as_fixed_size_list();
        for row in 0..view.rows {
            assert_eq!(view.is_null(row), expected.is_null(row));
            if !view.is_null(row) {
                let values = expected.value(row);
                let values = values.as_primitive::<arrow::datatypes::Float32Type>();
                assert_eq!(view.row(row).unwrap(), values.values().as_ref());
            }
        }
        let bytes = read(&env, &table, &sidecar(SidecarKind::PrimaryKey).file).await;
        let keys = primary_key::View::parse(&bytes).unwrap();
        keys.check().unwrap();
        assert_eq!(keys.rows(segment.key_hashes[3]).unwrap(), [3]);
        assert_eq!(segment.key_hashes.to_vec(), primary_key::hash_rows(&table.schema, &all).unwrap());
    }
}

#[tokio::test]
async fn row_groups_have_their_fixed_size_and_vectors_are_plain() {
    let (env, table) = (memory_env(), wordy(2));
    let rows = ROW_GROUP_ROWS as i64 * 2 + 5;
    let batches = (0..rows).step_by(10_000).map(|n| wordy_batch(&table, n..(n + 10_000).min(rows), 2)).collect();
    let staged = stage_all(&env, &table, batches, never_inline()).await.unwrap();
    let SegmentData::File(file) = &staged[0].data else { panic!("file") };
    let builder = ParquetRecordBatchReaderBuilder::try_new(read(&env, &table, file).await).unwrap();
    let groups = builder.metadata().row_groups();
    let counts: Vec<i64> = groups.iter().map(|g| g.num_rows()).collect();
    assert_eq!(counts, [ROW_GROUP_ROWS as i64, ROW_GROUP_ROWS as i64, 5]);
    let (id, v) = (groups[0].column(0), groups[0].column(2));
    assert!(id.statistics().is_some() && v.statistics().is_none());
    assert_eq!(v.compression(), parquet::basic::Compression::UNCOMPRESSED);
    assert!(v.dictionary_page_offset().is_none());
}

#[tokio::test]
async fn segments_are_cut_at_their_largest_size() {
    let env = memory_env();
    let table = snapshot(vec![field("a", 1, DataType::Int32, true)], &[]);
    let batch = |n: usize| {
        let values: ArrayRef = Arc::new(Int32Array::from_iter_values((0..n as i32).map(|v| v % 100)));
        RecordBatch::try_new(Arc::clone(&table.schema.arrow), vec![values]).unwrap()
    };
    let staged = stage_all(&env, &table, vec![batch(1_000_000), batch(1_500_000)], never_inline()).await.unwrap();
    let rows: Vec<u64> = staged.iter().map(|s| s.rows).collect();
    assert_eq!(rows, [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]);
    let total: usize = futures::future::join_all(staged.iter().map(|s| rows_of(&env, &table, s)))
        .await
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(total, 2_500_000);
}

fn with_vector(values: Vec<f32>, nulls: Option<NullBuffer>) -> (Snapshot, RecordBatch) {
    let table = snapshot(vec![field("v", 1, vector_type(2), true)], &[]);
    let rows = RecordBatch::try_new(Arc::clone(&table.schema.arrow), vec![vector_array(values, 2, nulls)]).unwrap();
    (table, rows)
}

#[tokio::test]
async fn vectors_must_be_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for options in [StageOptions::default(), never_inline()] {
            let (table, rows) = with_vector(vec![1.0, f32::MAX, f32::MIN_POSITIVE, bad], None);
            let error = stage_all(&memory_env(), &table, vec![rows.slice(0, 1), rows], options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue);
            assert_eq!(error.to_string(), "vector in column \"v\" contains NaN or infinity at row 3");
        }
    }
    let (table, rows) =
        with_vector(vec![f32::MAX, -f32::MAX, f32::NAN, 0.0], Some(NullBuffer::from(vec![true, false])));
    assert!(stage_all(&memory_env(), &table, vec![rows], never_inline()).await.is_ok(), "NULL rows may hold anything");
}

#[tokio::test]
async fn keys_must_be_distinct_and_present() {
    let (env, table) = (memory_env(), wordy(2));
    for options in [StageOptions::default(), never_inline()] {
        let twice = vec![wordy_batch(&table, 0..5, 2), wordy_batch(&table, 4..6, 2)];
        let error = stage_all(&env, &table, twice, options).await.unwrap_err();
        assert!(matches!(&error, Error::UniqueViolation { key } if key == "(id)=(4)"), "{error}");
    }
    let loose = Schema::new(vec![field("id", 1, DataType::Int64, true), field("name", 2, DataType::Utf8View, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringViewArray::from(vec!["a", "b"]))];
    let rows = RecordBatch::try_new(Arc::new(loose), columns).unwrap();
    let strict =
        snapshot(vec![field("id", 1, DataType::Int64, false), field("name", 2, DataType::Utf8View, true)], &[1]);
    let error = stage_all(&env, &strict, vec![rows], StageOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::NotNull { column } if column == "id"));
}

#[tokio::test]
async fn other_types_are_refused() {
    let (env, table) = (memory_env(), wordy(2));
    let rows = RecordBatch::try_from_iter([("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
    let error = stage_all(&env, &table, vec![rows], StageOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatatypeMismatch);
    let error = stage_all(&env, &table, vec![wordy_batch(&wordy(3), 0..2, 3)], StageOptions::default()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::DatatypeMismatch);
}

#[tokio::test]
async fn rewritten_rows_keep_their_ids() {
    let env = memory_env();
    let table = snapshot(vec![field("a", 1, DataType::Int32, true)], &[]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("a", Arc::new(Int32Array::from(vec![1, 2]))), (ROW_ID_COLUMN, Arc::new(UInt64Array::from(vec![7, 9])))];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let options = StageOptions { row_ids: true, inline_bytes_max: 0 };
    let staged = stage_all(&env, &table, vec![rows.clone()], options).await.unwrap();
    assert!(staged[0].has_row_id_column);
    assert_eq!(rows_of(&env, &table, &staged[0]).await.columns(), rows.columns());
}

#[tokio::test]
async fn a_failing_stream_fails_the_call_and_leaves_no_data_file() {
    let (env, table) = (memory_env(), wordy(256));
    let good = wordy_batch(&table, 0..20_000, 256);
    let rows = futures::stream::iter([Ok(good), Err(Error::Internal { detail: "the source broke".into() })]).boxed();
    let error = stage(&env, table.table, &table, rows, StageOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("the source broke"));
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(env.store.list(None).count().await, 0);
}

#[tokio::test]
async fn a_full_disk_is_told_even_in_the_middle_of_an_upload() {
    let disk = SimDisk::new();
    let store = DurableStore::open(disk.clone()).unwrap();
    let (env, table) = (Env { store: Arc::new(store), ..memory_env() }, wordy(256));
    disk.set_capacity(12 << 20);
    let batches = (0..40).map(|n| wordy_batch(&table, n * 1000..n * 1000 + 1000, 256)).collect();
    let error = stage_all(&env, &table, batches, StageOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
}

#[test]
fn text_bounds_are_cut_but_never_wrong() {
    let long = "é".repeat(100);
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![Some(long.as_str()), None, Some("\u{10FFFF}zzz")]));
    let stats = column_stats(FieldId(1), &values);
    let text = |a: &ArrayRef| a.as_string_view().value(0).to_string();
    assert_eq!(text(stats.min.as_ref().unwrap()), "é".repeat(32));
    assert_eq!(text(stats.max.as_ref().unwrap()), "\u{10FFFF}zzz");
    assert!(!stats.exact && stats.null_count == 1);
    let values: ArrayRef = Arc::new(StringViewArray::from(vec!["\u{10FFFF}".repeat(30)]));
    assert!(column_stats(FieldId(1), &values).max.is_none(), "nothing is greater");
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let stats = column_stats(FieldId(1), &values);
    assert!(stats.min.is_none() && stats.max.is_none());
}

proptest! {
    #[test]
    fn bounds_contain_every_value(texts in proptest::collection::vec(proptest::option::of("\\PC{0,80}"), 1..20), split in 0usize..20) {
        let values: ArrayRef = Arc::new(StringViewArray::from(texts.clone()));
        let split = split.min(texts.len());
        let mut pieces = super::statistics::Accumulator::new(FieldId(1));
        pieces.update(&values.slice(0, split));
        pieces.update(&values.slice(split, texts.len() - split));
        let stats = pieces.finish();
        let present: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        prop_assert_eq!(stats.null_count as usize, texts.len() - present.len());
        prop_assert_eq!(stats.min.is_some(), !present.is_empty());
        if let Some(min) = &stats.min {
            prop_assert!(present.iter().all(|v| *v >= min.as_string_view().value(0)));
            prop_assert!(min.as_string_view().value(0).len() <= 64);
        }
        if let Some(max) = &stats.max {
            prop_assert!(present.iter().all(|v| *v <= max.as_string_view().value(0)));
        }
        if stats.exact {
            let least = *present.iter().min().unwrap();
            let min = stats.min.unwrap();
            prop_assert_eq!(min.as_string_view().value(0), least);
        }
    }
}

#[tokio::test]
async fn probing_finds_live_keys_only() {
    let (env, table) = (memory_env(), wordy(2));
    let files = FileCache::new(env.clone());
    let inline = stage_all(&env, &table, vec![wordy_batch(&table, 0..10, 2)], StageOptions::default()).await.unwrap();
    let file = stage_all(&env, &table, vec![wordy_batch(&table, 100..3000, 2)], never_inline()).await.unwrap();
    let deleted = Arc::new(roaring::RoaringBitmap::from_iter([5u32]));
    let segments: Vec<_> =
        [&inline[0], &file[0]].map(|s| (Arc::new(segment_of(s)), Some(Arc::clone(&deleted)))).into_iter().collect();
    let path = |f: &FileRef| object_store::path::Path::from(format!("tables/{}/{}", table.table, f.path));
    for (id, live) in [(3, true), (5, false), (50, false), (100, true), (105, false), (2999, true), (3000, false)] {
        let hash = primary_key::hash_rows(&table.schema, &wordy_batch(&table, id..id + 1, 2)).unwrap();
        let found = primary_key::probe(&files, &table.schema, path, &segments, &hash).await.unwrap();
        assert_eq!(found, live.then_some(hash[0]), "key {id}");
    }
    let many = primary_key::hash_rows(&table.schema, &wordy_batch(&table, 2990..8000, 2)).unwrap();
    assert_eq!(primary_key::probe(&files, &table.schema, path, &segments, &many).await.unwrap(), Some(many[0]));
    let none = primary_key::hash_rows(&table.schema, &wordy_batch(&table, 3000..8000, 2)).unwrap();
    assert_eq!(primary_key::probe(&files, &table.schema, path, &segments, &none).await.unwrap(), None);
    let overlaps = |stats: &StagedSegment| primary_key::ranges_overlap(FieldId(1), &stats.stats, &segments[1].0);
    assert!(overlaps(&file[0]) && !overlaps(&inline[0]));
}

pub(crate) fn segment_of(staged: &StagedSegment) -> crate::segment::Segment {
    crate::segment::Segment {
        id: staged.id,
        shard: Default::default(),
        schema_id: SchemaId(0),
        rows: staged.rows,
        row_ids: if staged.has_row_id_column {
            crate::segment::RowIds::Column
        } else {
            crate::segment::RowIds::Contiguous { first: RowId(0) }
        },
        data: staged.data.clone(),
        stats: staged.stats.clone(),
        sidecars: staged.sidecars.clone(),
        deletes: Default::default(),
    }
}

/// Run by hand: `cargo test --release -p volley-storage -- --ignored --nocapture throughput`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore]
async fn throughput_of_vectors() {
    let directory = tempfile::tempdir_in("/work").unwrap();
    let env = crate::local_env(directory.path()).unwrap();
    let table = wordy(384);
    let batches: Vec<RecordBatch> =
        (0..117_659).step_by(8192).map(|n| wordy_batch(&table, n..(n + 8192).min(117_659), 384)).collect();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        stage_all(&env, &table, batches.clone(), StageOptions::default()).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let megabytes = 117_659.0 * 384.0 * 4.0 / 1e6;
        println!("{seconds:.3} s, {:.0} MB/s of vectors", megabytes / seconds);
    }
}
