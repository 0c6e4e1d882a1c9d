use std::sync::Arc;

use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};

use super::{ExactReason, Precision, Query, TieBreaker, TopK, VectorTopKExec};
use crate::fetch_rows::FetchRowsExec;
use crate::search::Metric;
use crate::search::tests::fixture::{EMB, Fixture, ID, Insert, Row, TENANT, ids_and_distances};
use crate::segment_source::{SegmentPart, scan_config};

fn topk(k: usize) -> TopK {
    TopK {
        column: EMB,
        metric: Metric::L2,
        query: Query::Constant([0.0, 0.0].into()),
        k,
        ties: vec![TieBreaker { column: ID, options: Default::default() }],
        carried: Vec::new(),
        filter: None,
        bound: None,
        precision: Precision::Exact(ExactReason::NoIndex),
    }
}

fn search(fixture: &Fixture, groups: &[Vec<SegmentPart>], k: usize) -> VectorTopKExec {
    let config = scan_config(&fixture.set, groups, None, None, fixture.task.session_config().options()).unwrap();
    VectorTopKExec::try_new(topk(k), DataSourceExec::from_data_source(config)).unwrap()
}

fn fetch(fixture: &Fixture, search: VectorTopKExec, k: usize) -> FetchRowsExec {
    let order = search.order().clone();
    let merge = SortPreservingMergeExec::new(order.clone(), Arc::new(search)).with_fetch(Some(k));
    FetchRowsExec::try_new(Arc::new(merge), order, Arc::clone(&fixture.set), vec![ID, TENANT], k).unwrap()
}

async fn fixture(rows: i64) -> Fixture {
    let rows = (0..rows).map(|i| Row { id: i, tenant: Some(1), emb: Some(vec![i as f32, 0.0]) }).collect();
    Fixture::new(2, &[Insert { rows, inline: false }], &[], false).await
}

#[tokio::test]
async fn an_empty_table_has_one_empty_partition() {
    let fixture = fixture(0).await;
    let search = search(&fixture, &[], 3);
    assert_eq!(search.properties().partitioning.partition_count(), 1);
    let rows = collect(Arc::new(fetch(&fixture, search, 3)), Arc::clone(&fixture.task)).await.unwrap();
    assert_eq!(ids_and_distances(&rows), []);
}

#[tokio::test]
async fn a_segment_that_is_cut_is_searched_once() {
    let fixture = fixture(10).await;
    let part = |rows| SegmentPart { ordinal: 0, rows };
    let search = search(&fixture, &[vec![part(Some(5..10))], vec![part(Some(0..5))]], 20);
    assert_eq!(search.properties().partitioning.partition_count(), 2);
    let plan: Arc<dyn ExecutionPlan> = Arc::new(fetch(&fixture, search, 20));
    let rows = collect(Arc::clone(&plan), Arc::clone(&fixture.task)).await.unwrap();
    let expected: Vec<_> = (0..10).map(|i| (i, Some(i as f64))).collect();
    assert_eq!(ids_and_distances(&rows), expected);

    let metrics = plan.children()[0].children()[0].metrics().unwrap();
    let sum = |name: &str| metrics.sum_by_name(name).map(|value| value.as_usize());
    assert_eq!((sum("segments"), sum("distances"), sum("bytes")), (Some(1), Some(10), Some(80)));
}

#[tokio::test]
async fn the_plan_says_what_is_done_and_why() {
    let fixture = fixture(3).await;
    let search = search(&fixture, &[vec![0.into()]], 3);
    let shown = displayable(&search).one_line().to_string();
    let expected = "VectorTopKExec: k=3, metric=l2, column=emb, dimension=2, ties=[id ASC NULLS FIRST], \
                    strategy=exact (no index)";
    assert_eq!(shown.trim(), expected);
    let fetch = fetch(&fixture, search, 3);
    assert_eq!(displayable(&fetch).one_line().to_string().trim(), "FetchRowsExec: k=3, columns=[id, tenant]");
    let order = fetch.properties().output_ordering().unwrap().to_string();
    assert_eq!(order, "__distance@2 ASC NULLS LAST, id@0 ASC");
}

#[tokio::test]
async fn a_smaller_limit_is_taken_and_a_larger_one_is_not() {
    let fixture = fixture(10).await;
    let plan = fetch(&fixture, search(&fixture, &[vec![0.into()]], 5), 5);
    assert!(plan.with_fetch(Some(6)).is_none());
    let fewer = plan.with_fetch(Some(2)).unwrap();
    let rows = collect(fewer, Arc::clone(&fixture.task)).await.unwrap();
    assert_eq!(ids_and_distances(&rows), [(0, Some(0.0)), (1, Some(1.0))]);
}
