//! Tasks for other processes as bytes and back; bytes that are none.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{SortOptions, concat_batches};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use volley_storage::index_definition::IndexDefinition;

use super::{PartTask, SearchAnswer, SearchTask, part_scan};
use crate::search::tests::fixture::{EMB, Fixture, ID, Insert, Row, TENANT, searcher_on};
use crate::search::{Approximate, FilterStrategy, Metric, SearchRequest, SearchResponse, ShardSearcher};
use crate::segment_source::tests::fixture::Fixture as Scanned;

async fn fixture(dim: usize) -> Fixture {
    let rows = |from: i64, to: i64| {
        let row = |id: i64| Row { id, tenant: Some((id % 3) as i32), emb: (id % 7 > 0).then(|| vec![id as f32; dim]) };
        (from..to).map(row).collect()
    };
    let inserts = [Insert { rows: rows(0, 50), inline: false }, Insert { rows: rows(50, 60), inline: true }];
    Fixture::new(dim, &inserts, &[3, 4, 55], false).await
}

fn request(fixture: &Fixture, dim: usize) -> SearchRequest {
    let tenant = Arc::new(Column::new("tenant", 0));
    let one = Arc::new(Literal::new(ScalarValue::Int32(Some(1))));
    SearchRequest {
        segments: Arc::clone(&fixture.set),
        ordinals: fixture.ordinals(),
        column: EMB,
        metric: Metric::L2,
        queries: vec![20.5; dim * 2].into(),
        dim,
        k: 10,
        ties: true,
        tie_order: vec![SortOptions { descending: true, nulls_first: false }],
        filter: Some(Arc::new(BinaryExpr::new(tenant, Operator::Eq, one))),
        filter_columns: vec![TENANT],
        approximate: Some(Approximate {
            index: IndexDefinition {
                method: "hnsw".into(),
                columns: vec![EMB],
                parameters: vec![("metric".into(), "l2".into())],
            },
            recall_target: 0.9,
            ef: Some(40),
            strategy: FilterStrategy::In,
        }),
        floor: Some([30.0, f32::INFINITY].into()),
        projection: vec![ID, TENANT],
        deadline: None,
    }
}

async fn answer(request: &SearchRequest, task: &Arc<TaskContext>) -> SearchResponse {
    searcher_on(2).search(request.clone(), task).await.unwrap()
}

fn rows(response: &SearchResponse) -> Vec<(Vec<crate::search::SearchHit>, RecordBatch)> {
    response.queries.iter().map(|query| (query.hits.clone(), query.columns.clone())).collect()
}

#[tokio::test]
async fn a_search_asks_the_same_elsewhere() {
    let fixture = fixture(2).await;
    let request = request(&fixture, 2);
    let sent = SearchTask::of(&request, &fixture.task).unwrap().for_segments(&request.ordinals);
    let arrived = SearchTask::decode(sent).unwrap();
    assert_eq!(arrived.version().unwrap(), (fixture.set.table(), fixture.set.version()));
    let arrived = arrived.request(&fixture.set, &fixture.task).unwrap();
    // The segments are those of the process that it arrives at.
    assert_eq!(format!("{arrived:?}"), format!("{request:?}"));
    assert_eq!(rows(&answer(&arrived, &fixture.task).await), rows(&answer(&request, &fixture.task).await));
}

#[tokio::test]
async fn a_search_takes_little_more_than_its_vector() {
    let fixture = fixture(384).await;
    let mut request = request(&fixture, 384);
    request.queries = vec![0.25; 384].into();
    request.floor = None;
    let sent = SearchTask::of(&request, &fixture.task).unwrap().for_segments(&(0..32).collect::<Vec<_>>());
    assert!(sent.len() < 384 * 4 + 256, "{} bytes", sent.len());
}

/// Gives bytes that were changed somewhere, or cut off.
fn changed(bytes: &Bytes, check: impl FnMut(Bytes)) {
    let check = std::cell::RefCell::new(check);
    let edits = prop::collection::vec((0..bytes.len(), any::<u8>()), 1..4);
    let cases = (edits, 0..bytes.len(), any::<bool>());
    let outcome = TestRunner::default().run(&cases, |(edits, end, cut)| {
        let mut bytes = bytes.to_vec();
        edits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(if cut { end } else { bytes.len() });
        check.borrow_mut()(bytes.into());
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn other_bytes_are_no_search() {
    let fixture = fixture(2).await;
    let request = request(&fixture, 2);
    let sent = SearchTask::of(&request, &fixture.task).unwrap().for_segments(&request.ordinals);
    let mut refused = 0;
    changed(&sent, |bytes| {
        let read = SearchTask::decode(bytes).and_then(|task| {
            let _ = (task.version(), task.circumstances().deadline(), task.index_and_segments());
            task.request(&fixture.set, &fixture.task)
        });
        refused += u32::from(read.is_err());
    });
    assert!(refused > 0);
    for wrong in [
        SearchRequest { k: 1 << 40, ..request.clone() },
        SearchRequest { dim: 1, ..request.clone() },
        SearchRequest { dim: 4, ..request.clone() },
        SearchRequest { column: TENANT, ..request.clone() },
    ] {
        let sent = SearchTask::of(&wrong, &fixture.task).unwrap().for_segments(&[0]);
        assert!(SearchTask::decode(sent).unwrap().request(&fixture.set, &fixture.task).is_err(), "{wrong:?}");
    }
    let twice = SearchTask::of(&request, &fixture.task).unwrap().for_segments(&[1, 1]);
    assert!(SearchTask::decode(twice).unwrap().request(&fixture.set, &fixture.task).is_err());
}

#[tokio::test]
async fn an_answer_is_whole_or_none() {
    let fixture = fixture(2).await;
    let request = request(&fixture, 2);
    let response = answer(&request, &fixture.task).await;
    let sent = SearchAnswer::of(&response).to_bytes();
    let parts = response.queries.iter().map(|query| &query.columns);
    let columns = concat_batches(&response.queries[0].columns.schema(), parts).unwrap();
    let arrived = SearchAnswer::from_bytes(sent.clone()).unwrap();
    let arrived = arrived.response(&request, &request.ordinals, &columns).unwrap();
    assert_eq!(rows(&arrived), rows(&response));
    assert_eq!(arrived.metrics, response.metrics);

    let read = SearchAnswer::from_bytes(sent.clone()).unwrap();
    // A segment too many or too few; rows that are missing.
    for ordinals in [&[0][..], &[0, 1, 2][..]] {
        assert!(read.response(&request, ordinals, &columns).is_err(), "{ordinals:?}");
    }
    let fewer = columns.slice(1, columns.num_rows() - 1);
    assert!(read.response(&request, &request.ordinals, &fewer).is_err());
    let one = request.of_queries(0..1);
    assert!(read.response(&one, &request.ordinals, &columns).is_err());
    changed(&sent, |bytes| {
        // What can still be read answers for every segment, with as many rows as there are.
        if let Ok(read) = SearchAnswer::from_bytes(bytes)
            && let Ok(response) = read.response(&request, &request.ordinals, &columns)
        {
            assert_eq!(response.metrics.segments, request.ordinals.len() as u64);
            assert_eq!(response.queries.iter().map(|query| query.hits.len()).sum::<usize>(), columns.num_rows());
        }
    });
}

/// The parts of a plan, the largest first.
fn parts_of(plan: &Arc<dyn ExecutionPlan>, task: &TaskContext) -> Vec<(Arc<dyn ExecutionPlan>, PartTask)> {
    let mut parts = Vec::new();
    plan.apply(|node| {
        if let Some(scan) = part_scan(node)
            && let Ok(part) = PartTask::of(node, &scan, task)
        {
            parts.push((Arc::clone(node), part));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    parts
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_part_gives_the_same_rows_elsewhere() {
    for pushdown in [false, true] {
        let mut config = SessionConfig::new().with_target_partitions(3);
        config.options_mut().execution.parquet.pushdown_filters = pushdown;
        let fixture = Scanned::new().await;
        let fixture = Scanned::open(fixture.env, fixture.table, config, fixture.live).await;
        let task = fixture.context.task_ctx();
        for (sql, top) in [
            ("SELECT name, price * 2 AS twice FROM t WHERE price > 240 AND name LIKE '%9'", "ProjectionExec"),
            (
                "SELECT id % 7 AS g, count(*), sum(price), max(name) FROM t WHERE id > 5 GROUP BY id % 7",
                "AggregateExec",
            ),
            ("SELECT emb FROM t WHERE id % 1000 = 1", "FilterExec"),
            ("SELECT id FROM t WHERE id < 100 ORDER BY id DESC LIMIT 5", "FilterExec"),
        ] {
            let plan = fixture.context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
            let parts = parts_of(&plan, &task);
            let Some((part, sent)) = parts.first() else { panic!("no part of {sql}") };
            // A scan that filters by itself takes most of a part into itself.
            assert!(pushdown || part.name() == top, "{} of {sql}", part.name());
            let mut elsewhere = Vec::new();
            for ordinals in [&[0, 2][..], &[1, 3][..]] {
                let arrived = PartTask::decode(sent.for_segments(ordinals, &task)).unwrap();
                assert_eq!(arrived.version().unwrap(), (fixture.set.table(), fixture.set.version()));
                let plan = arrived.plan(&fixture.set, 2, &task).unwrap();
                elsewhere.extend(collect(plan, Arc::clone(&task)).await.unwrap());
            }
            // States of aggregates depend on who has which rows; so does nothing else.
            if part.name() == "AggregateExec" {
                continue;
            }
            let here = collect(Arc::clone(part), Arc::clone(&task)).await.unwrap();
            assert_eq!(sorted(&elsewhere), sorted(&here), "{sql}");
        }
    }
}

#[tokio::test]
async fn other_bytes_are_no_part() {
    let fixture = Scanned::new().await;
    let task = fixture.context.task_ctx();
    let sql = "SELECT name, price * 2 AS twice FROM t WHERE price > 240 AND name LIKE '%9'";
    let plan = fixture.context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let sent = parts_of(&plan, &task)[0].1.for_segments(&[0, 1], &task);
    changed(&sent, |bytes| {
        // Some changes are harmless; none may do more than fail.
        if let Ok(part) = PartTask::decode(bytes) {
            let _ = (part.version(), part.plan(&fixture.set, 2, &task));
        }
    });
    // Plans over anything but segments are not taken.
    let values = fixture.context.sql("VALUES (1), (2)").await.unwrap().create_physical_plan().await.unwrap();
    assert!(part_scan(&values).is_none());
    let whole =
        fixture.context.sql("SELECT id FROM t ORDER BY id").await.unwrap().create_physical_plan().await.unwrap();
    assert!(part_scan(&whole).is_none());
}
