//! Scans, predicates and row fetches over every kind of segment.

pub(crate) mod fixture;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, Schema, UInt64Type};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionConfig;
use object_store::{ObjectStoreExt, PutPayload};
use volley_storage::ErrorKind;
use volley_storage::ids::{FieldId, SchemaId};
use volley_storage::schema::TableSchema;

use self::fixture::{EMB, Fixture, ID, NAME, PRICE, Row, emb_of, field, name_of, price_of};
use super::{SegmentPart, even_parts, fetch_rows, matching_rows, scan_config};
use crate::error::Error;
use crate::segment_set::{SegmentSet, StorageHandle, row_address, split_row_address};

/// The rows that a scan of the system columns and `id` finds.
async fn scanned(fixture: &Fixture, groups: &[Vec<SegmentPart>]) -> Vec<Row> {
    let projection = [fixture.set.row_address_index(), fixture.set.row_id_index(), 0];
    let options = fixture.context.copied_config();
    let config = scan_config(&fixture.set, groups, Some(&projection), None, options.options()).unwrap();
    let mut rows = Vec::new();
    for batch in fixture.collect(DataSourceExec::from_data_source(config)).await {
        let (address, row_id) = (batch.column(0).as_primitive::<UInt64Type>(), batch.column(1));
        let (row_id, id) = (row_id.as_primitive::<UInt64Type>(), batch.column(2).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let (ordinal, offset) = split_row_address(address.value(row));
            assert_eq!(row_id.value(row), id.value(row) as u64);
            rows.push(Row { ordinal, offset, id: row_id.value(row) });
        }
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn every_live_row_is_scanned_once_however_it_is_divided() {
    let fixture = Fixture::new().await;
    for partitions in [1, 2, 3, 5, 8] {
        let groups = even_parts(&fixture.set, fixture.ordinals(), partitions).unwrap();
        assert!(groups.len() <= partitions && groups.iter().all(|group| !group.is_empty()), "{groups:?}");
        assert!(scanned(&fixture, &groups).await == fixture.live, "{partitions} partitions");
    }
    let whole: Vec<Vec<_>> = vec![fixture.ordinals().into_iter().map(SegmentPart::from).collect()];
    assert_eq!(even_parts(&fixture.set, fixture.ordinals(), 1).unwrap(), whole);
    assert_eq!(scanned(&fixture, &[]).await, []);
}

#[tokio::test]
async fn rewritten_segments_keep_their_row_ids() {
    let fixture = Fixture::new().await;
    let database = volley_storage::Database::open(fixture.env.clone()).await.unwrap();
    database.fold_inline(fixture.table).await.unwrap();
    let fixture = Fixture::open(fixture.env, fixture.table, SessionConfig::new(), fixture.live).await;
    let column_ids = |set: &SegmentSet| {
        set.iter().filter(|segment| segment.segment.row_ids == volley_storage::segment::RowIds::Column).count()
    };
    assert_eq!(column_ids(&fixture.set), 1, "{:?}", fixture.set);
    let groups = even_parts(&fixture.set, fixture.ordinals(), 3).unwrap();
    let found = scanned(&fixture, &groups).await.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let mut live = fixture.live.iter().map(|row| row.id).collect::<Vec<_>>();
    live.sort_unstable();
    assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
    let mut found = found;
    found.sort_unstable();
    assert!(found == live);
}

/// The first column of a query's result, as text.
async fn answers(fixture: &Fixture, sql: &str) -> Vec<String> {
    let batches = fixture.context.sql(sql).await.unwrap().collect().await.unwrap();
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| {
            let cells = batch
                .columns()
                .iter()
                .map(|column| datafusion::arrow::util::display::array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        })
    });
    rows.collect()
}

#[tokio::test]
async fn sql_sees_live_rows_only_with_and_without_filters_inside_the_scan() {
    for pushdown in [false, true] {
        let mut config = SessionConfig::new().with_target_partitions(3);
        config.options_mut().execution.parquet.pushdown_filters = pushdown;
        let fixture = Fixture::new().await;
        let fixture = Fixture::open(fixture.env, fixture.table, config, fixture.live).await;
        let live = &fixture.live;
        let count = |keep: &dyn Fn(u64) -> bool| live.iter().filter(|row| keep(row.id)).count().to_string();

        assert_eq!(answers(&fixture, "SELECT count(*) FROM t").await, [live.len().to_string()]);
        assert_eq!(answers(&fixture, "SELECT count(name) FROM t").await, [count(&|id| name_of(id).is_some())]);
        let expected = count(&|id| price_of(id).is_some_and(|price| price > 200.0));
        assert_eq!(answers(&fixture, "SELECT count(*) FROM t WHERE price > 200").await, [expected]);
        // Row groups and pages are ruled out here, and the deleted rows lie within what is left.
        let expected = count(&|id| (149_000..151_100).contains(&id));
        let between = "SELECT count(*) FROM t WHERE id >= 149000 AND id < 151100";
        assert_eq!(answers(&fixture, between).await, [expected]);
        // The inline rows: 3 segments end before them.
        let inline = live.iter().filter(|row| row.ordinal >= 2).map(|row| row.id).min().unwrap();
        let expected = count(&|id| id >= inline && name_of(id).is_some_and(|name| name.ends_with('7')));
        let tail = format!("SELECT count(*) FROM t WHERE id >= {inline} AND name LIKE '%7'");
        assert_eq!(answers(&fixture, &tail).await, [expected]);
        let max = live.iter().map(|row| row.id).max().unwrap();
        assert_eq!(answers(&fixture, "SELECT max(id), min(id) FROM t").await, [format!("{max}|0")]);
        assert_eq!(
            answers(&fixture, "SELECT id + 1 AS next FROM t ORDER BY id DESC LIMIT 2").await,
            [(max + 1).to_string(), max.to_string()]
        );
        assert_eq!(answers(&fixture, "SELECT id FROM t LIMIT 10").await.len(), 10);
        assert_eq!(answers(&fixture, "SELECT id FROM t WHERE id = 7").await, Vec::<String>::new(), "deleted");
        assert_eq!(answers(&fixture, "SELECT name, id FROM t WHERE id = 8").await, ["the name of row 8|8"]);
    }
}

#[tokio::test]
async fn counts_come_from_statistics_and_bounds_do_not_after_deletions() {
    let fixture = Fixture::new().await;
    let plan = |sql: &'static str| {
        let context = fixture.context.clone();
        async move { context.sql(sql).await.unwrap().create_physical_plan().await.unwrap() }
    };
    let count = displayable(plan("SELECT count(*) FROM t").await.as_ref()).indent(false).to_string();
    assert!(!count.contains("DataSourceExec"), "{count}");
    let max = displayable(plan("SELECT max(id) FROM t").await.as_ref()).indent(false).to_string();
    assert!(max.contains("DataSourceExec"), "{max}");
}

#[tokio::test]
async fn a_predicate_finds_the_live_rows_for_which_it_is_true() {
    let fixture = Fixture::new().await;
    let task = fixture.context.task_ctx();
    // price > 100 OR id < 20, over (price, id).
    let column = |name: &str, index| Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>;
    let price = BinaryExpr::new(column("p", 0), Operator::Gt, lit(100.0));
    let id = BinaryExpr::new(column("i", 1), Operator::Lt, lit(20_i64));
    let filter: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(Arc::new(price), Operator::Or, Arc::new(id)));
    for segment in fixture.set.iter() {
        let ordinal = segment.ordinal;
        let found = matching_rows(&task, &fixture.set, ordinal, &filter, &[PRICE, ID]).await.unwrap();
        let of_segment = fixture.live.iter().filter(|row| row.ordinal == ordinal);
        let expected = of_segment.filter(|row| price_of(row.id).is_some_and(|price| price > 100.0) || row.id < 20);
        assert!(found.iter().eq(expected.map(|row| row.offset as usize)), "segment {ordinal}");
        assert_eq!(found.len() as u64, segment.segment.rows);
    }
}

fn check_row(batch: &RecordBatch, row: usize, id: u64) {
    let name = batch.column(0).as_string_view();
    assert_eq!(name.is_valid(row).then(|| name.value(row).to_string()), name_of(id));
    let emb = batch.column(1).as_fixed_size_list();
    let vector = emb.is_valid(row).then(|| emb.value(row).as_primitive::<Float32Type>().values().to_vec());
    assert_eq!(vector, emb_of(id));
    let price = batch.column(2).as_primitive::<Float64Type>();
    assert_eq!(price.is_valid(row).then(|| price.value(row)), price_of(id));
}

#[tokio::test]
async fn rows_are_fetched_in_the_order_asked_for() {
    let fixture = Fixture::new().await;
    let task = fixture.context.task_ctx();
    let mut wanted = fixture.live.iter().rev().step_by(4_999).copied().collect::<Vec<_>>();
    wanted.extend(fixture.live.iter().rev().take(40).copied());
    wanted.push(wanted[3]);
    let addresses = wanted.iter().map(|row| row_address(row.ordinal, row.offset)).collect::<Vec<_>>();
    let rows = fetch_rows(&task, &fixture.set, &addresses, &[NAME, EMB, PRICE]).await.unwrap();
    assert_eq!(rows.num_rows(), wanted.len());
    for (row, wanted) in wanted.iter().enumerate() {
        check_row(&rows, row, wanted.id);
    }
    let none = fetch_rows(&task, &fixture.set, &[], &[NAME]).await.unwrap();
    assert_eq!((none.num_rows(), none.num_columns()), (0, 1));
    let deleted = fetch_rows(&task, &fixture.set, &[row_address(0, 7)], &[NAME]).await.unwrap_err();
    assert!(deleted.to_string().contains("row 7 of"), "{deleted}");
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_the_others_still_answer() {
    let fixture = Fixture::new().await;
    let path = fixture.set.get(1).unwrap().path.clone();
    let mut bytes = fixture.env.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fixture.env.store.put(&path, PutPayload::from(bytes)).await.unwrap();
    let fixture = Fixture::open(fixture.env, fixture.table, SessionConfig::new(), fixture.live).await;

    let error = fixture.context.sql("SELECT sum(id) FROM t").await.unwrap().collect().await.unwrap_err();
    let named = Error::find(&error).unwrap();
    assert_eq!(named.kind(), ErrorKind::Corrupted);
    assert!(named.to_string().contains(path.as_ref()), "{named}");
    // Statistics rule the damaged segment out, so nobody looks at it.
    assert_eq!(answers(&fixture, "SELECT id FROM t WHERE id = 8").await, ["8"]);
}

#[tokio::test]
async fn a_column_that_a_segment_lacks_is_null() {
    let fixture = Fixture::new().await;
    let mut fields = fixture.set.schema().arrow.fields().to_vec();
    fields.insert(1, Arc::new(field("later", DataType::Utf8View, true, FieldId(9))));
    let schema = TableSchema {
        id: SchemaId(1),
        arrow: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        defaults: BTreeMap::new(),
    };
    let segments = fixture.set.iter().map(|s| (s.ordinal, Arc::clone(&s.segment), s.deletes.clone())).collect();
    let version = (fixture.set.table(), fixture.set.version());
    let storage = StorageHandle(Arc::clone(fixture.set.storage()));
    let set = SegmentSet::new(storage, &fixture.context.runtime_env(), version, Arc::new(schema), segments).unwrap();
    fixture.context.deregister_table("t").unwrap();
    fixture.context.register_table("t", Arc::new(fixture::TestTable(set))).unwrap();
    let expected = [format!("0|{}", fixture.live.len())];
    assert_eq!(answers(&fixture, "SELECT count(later), count(id) FROM t WHERE later IS NULL").await, expected);
    let both = "SELECT later, name FROM t WHERE id IN (8, 1) ORDER BY id";
    assert_eq!(answers(&fixture, both).await, ["|the name of row 1", "|the name of row 8"]);
}
