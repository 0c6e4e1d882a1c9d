//! [`LocalSearcher`] on its own: batches, floors, deadlines, cancellation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{EMB, Fixture, ID, Insert, Row, searcher_on};
use crate::error::Error;
use crate::search::{Metric, SearchRequest, ShardSearcher};

/// Rows on a line: row `i` is at `i`, every fifth has no vector.
fn line(rows: i64) -> Vec<Row> {
    (0..rows).map(|i| Row { id: i, tenant: None, emb: (i % 5 != 4).then(|| vec![i as f32, 0.0]) }).collect()
}

fn request(fixture: &Fixture, queries: &[f32], k: usize) -> SearchRequest {
    SearchRequest {
        segments: Arc::clone(&fixture.set),
        ordinals: fixture.ordinals(),
        column: EMB,
        metric: Metric::L2,
        queries: queries.into(),
        dim: 2,
        k,
        ties: false,
        tie_order: Vec::new(),
        filter: None,
        filter_columns: Vec::new(),
        approximate: None,
        floor: None,
        projection: vec![ID],
        deadline: None,
    }
}

async fn fixture() -> Fixture {
    let (first, second) = (line(40)[..25].to_vec(), line(40)[25..].to_vec());
    Fixture::new(2, &[Insert { rows: first, inline: false }, Insert { rows: second, inline: true }], &[3], false).await
}

#[tokio::test]
async fn a_batch_answers_each_query() {
    let fixture = fixture().await;
    let request = request(&fixture, &[0.0, 0.0, 30.0, 0.0], 3);
    let response = searcher_on(2).search(request, &fixture.task).await.unwrap();
    let ids: Vec<Vec<u64>> =
        response.queries.iter().map(|query| query.hits.iter().map(|hit| hit.row_id).collect()).collect();
    assert_eq!(ids, [vec![0, 1, 2], vec![30, 31, 28]]);
    assert_eq!(response.queries[1].columns.num_rows(), 3);
    assert_eq!(response.metrics.segments, 2);
    assert_eq!(response.metrics.rows_filtered, 1);
    // 39 live rows, 8 of them without a vector, two queries.
    assert_eq!(response.metrics.distances, 62);
}

#[tokio::test]
async fn rows_without_a_vector_come_last_and_only_if_needed() {
    let fixture = fixture().await;
    let searcher = searcher_on(2);
    let response = searcher.search(request(&fixture, &[0.0, 0.0], 33), &fixture.task).await.unwrap();
    let hits = &response.queries[0].hits;
    assert_eq!(hits.len(), 33);
    assert_eq!(hits.iter().filter(|hit| hit.distance.is_some()).count(), 31);
    assert_eq!(hits[31..].iter().map(|hit| hit.row_id).collect::<Vec<_>>(), [4, 9]);
    // With ties all rows without a distance are as far away as the 33rd.
    let tied = SearchRequest { ties: true, ..request(&fixture, &[0.0, 0.0], 33) };
    assert_eq!(searcher.search(tied, &fixture.task).await.unwrap().queries[0].hits.len(), 39);
}

#[tokio::test]
async fn nothing_beyond_the_floor_is_found() {
    let fixture = fixture().await;
    let floor: Arc<[f32]> = [6.0].into();
    let request = SearchRequest { floor: Some(floor), ..request(&fixture, &[0.0, 0.0], 33) };
    let response = searcher_on(2).search(request, &fixture.task).await.unwrap();
    let ids: Vec<u64> = response.queries[0].hits.iter().map(|hit| hit.row_id).collect();
    assert_eq!(ids, [0, 1, 2, 5, 6]);
}

#[tokio::test]
async fn a_deadline_in_the_past_is_an_error_of_its_kind() {
    let fixture = fixture().await;
    let late = SearchRequest { deadline: Some(Instant::now()), ..request(&fixture, &[0.0, 0.0], 3) };
    let error = searcher_on(2).search(late, &fixture.task).await.unwrap_err();
    assert!(matches!(Error::find(&error), Some(Error::DeadlineExceeded)), "{error}");
}

#[tokio::test]
async fn a_shape_that_is_none_is_refused() {
    let fixture = fixture().await;
    let bad = SearchRequest { queries: [1.0, 2.0, 3.0].into(), ..request(&fixture, &[], 3) };
    assert!(searcher_on(2).search(bad, &fixture.task).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_search_frees_its_threads() {
    let rows = (0..200_000).map(|i| Row { id: i, tenant: None, emb: Some(vec![i as f32, 1.0]) }).collect();
    let fixture = Fixture::new(2, &[Insert { rows, inline: false }], &[], false).await;
    let searcher = searcher_on(1);
    // 2,000 × 200,000 distances take seconds; the future is dropped after a moment.
    let queries: Vec<f32> = (0..2_000).flat_map(|i| [i as f32, 0.0]).collect();
    let search = searcher.search(request(&fixture, &queries, 10), &fixture.task);
    assert!(tokio::time::timeout(Duration::from_millis(30), search).await.is_err(), "the search was too fast");
    let dropped = Instant::now();
    // The only thread has to be free again for this one.
    searcher.search(request(&fixture, &[0.0, 0.0], 3), &fixture.task).await.unwrap();
    assert!(dropped.elapsed() < Duration::from_millis(100), "{:?}", dropped.elapsed());
}
