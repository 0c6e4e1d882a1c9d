//! Whether every limit of a walk, and of a build, holds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;

fn index() -> Index {
    Index::new(Rows::random(3000, 16, 20), params(Metric::L2, Quantizer::F32))
}

#[test]
fn a_budget_ends_the_walk_soon() {
    let (index, query) = (index(), [0.1; 16]);
    let free = index.walk(&query, &Walk { ef: 200, ..Walk::default() });
    assert!(!free.exhausted);
    for budget in [0, 1, 50, 200, free.distances / 2, free.distances, u64::MAX] {
        let walked = index.walk(&query, &Walk { ef: 200, budget: Some(budget), ..Walk::default() });
        assert!(walked.distances < budget.saturating_add(200), "{budget}: {}", walked.distances);
        assert_eq!(walked.exhausted, budget < free.distances, "{budget}");
        if !walked.exhausted {
            assert_eq!(walked, free);
        }
    }
    // A filter that nothing passes would lead the walk through the whole graph.
    let none = RowSet::new_empty(3000);
    let walked = index.walk(&query, &Walk { allowed: Some(&none), budget: Some(500), ..Walk::default() });
    assert!(walked.exhausted && walked.hits.is_empty());
    let walked = index.walk(&query, &Walk { allowed: Some(&none), ..Walk::default() });
    assert!(!walked.exhausted && walked.hops == 3000 && walked.filter_tests == 3000);
}

#[test]
fn a_floor_keeps_out_what_is_farther() {
    let index = index();
    let queries = Rows::random(2, 16, 21);
    let walk = Walk { k: 100, ef: 100, ..Walk::default() };
    let free = search(&index.view(), queries.matrix(), &walk, &mut Scratch::new());
    let floors = [free[0].hits[30].distance, f32::NAN];
    let walk = Walk { floor: Some(&floors), ..walk };
    let walked = search(&index.view(), queries.matrix(), &walk, &mut Scratch::new());
    assert_eq!(walked[0].hits, free[0].hits[..31]);
    assert_eq!(walked[1], free[1]);
    // One for the first query only.
    let walk = Walk { floor: Some(&floors[..1]), ..walk };
    assert_eq!(search(&index.view(), queries.matrix(), &walk, &mut Scratch::new()), walked);
    let walk = Walk { floor: Some(&[-1.0]), ..walk };
    assert_eq!(search(&index.view(), queries.matrix(), &walk, &mut Scratch::new())[0].hits, []);
}

#[test]
fn a_skipped_row_is_as_if_it_were_not_there() {
    let index = index();
    let rows = index.rows.matrix();
    let numbers: Vec<u32> = (0..3000).collect();
    let all = RowSet::new_full(3000);
    for allowed in [None, Some(&all)] {
        let walk = Walk { k: 10, ef: 60, allowed, skip: Some(&numbers), ..Walk::default() };
        let walked = search(&index.view(), rows, &walk, &mut Scratch::new());
        let mut found = 0;
        for (row, walked) in walked.iter().enumerate() {
            assert_eq!(walked.hits.len(), 10);
            assert!(walked.hits.iter().all(|hit| hit.row as usize != row));
            let right = row_numbers(&index.exact(rows.row(row), 11, None));
            found += walked.hits.iter().filter(|hit| right.contains(&hit.row)).count();
        }
        // Without the way through the row itself, nearly as much as with it.
        assert!(found > 28_500, "{found} of 30000");
    }
}

#[test]
fn a_skipped_row_does_not_take_its_copies_along() {
    let mut rows = Rows::random(100, 4, 24);
    rows.values.copy_within(0..4, 200);
    let index = Index::new(rows, params(Metric::L2, Quantizer::I8));
    for skip in [0, 50] {
        let walk = Walk { k: 100, ef: 100, skip: Some(&[skip]), ..Walk::default() };
        let hits = index.walk(index.rows.matrix().row(0), &walk).hits;
        assert_eq!((hits.len(), hits[0].row), (99, 50 - skip));
    }
}

#[test]
fn a_cancelled_walk_stops_and_the_rest_of_the_batch_is_not_begun() {
    let index = index();
    let queries = Rows::random(50, 16, 22);
    let polls = AtomicU64::new(0);
    let cancel = || polls.fetch_add(1, Relaxed) == 3;
    let walk = Walk { k: 3000, cancel: Some(&cancel), ..Walk::default() };
    let walked = search(&index.view(), queries.matrix(), &walk, &mut Scratch::new());
    assert_eq!(polls.load(Relaxed), 4);
    assert_eq!(walked.len(), 50);
    let begun = walked.iter().filter(|walked| walked.distances > 0).count();
    assert!((2..6).contains(&begun), "{begun}");
    assert!(walked[begun - 1..].iter().all(|walked| walked.cancelled));
    assert!(walked[..begun - 1].iter().all(|walked| !walked.cancelled && walked.hits.len() == 3000));
}

#[test]
fn after_the_walk_a_filter_is_asked_about_what_was_found() {
    let index = index();
    let mut even = RowSet::new_empty(3000);
    (0..3000).step_by(2).for_each(|row| even.insert(row));
    let free = index.walk(&[0.2; 16], &Walk { k: 80, ef: 80, ..Walk::default() });
    let walk = Walk { k: 10, ef: 80, allowed: Some(&even), mode: FilterMode::Post, ..Walk::default() };
    let walked = index.walk(&[0.2; 16], &walk);
    let expected: Vec<Hit> = free.hits.iter().copied().filter(|hit| hit.row % 2 == 0).take(10).collect();
    assert_eq!(walked.hits, expected);
    assert_eq!((walked.distances, walked.filter_tests), (free.distances, 80));
}

#[test]
fn a_build_reports_and_can_be_cancelled() {
    let rows = Rows::random(500, 8, 23);
    let present = RowSet::new_full(500);
    let (added, polls) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |rows| {
        added.fetch_add(rows, Relaxed);
    };
    let cancel = || polls.fetch_add(1, Relaxed) >= 100;
    let request = BuildRequest {
        rows: rows.matrix(),
        present: &present,
        params: params(Metric::L2, Quantizer::I8),
        threads: 2,
        progress: &progress,
        cancel: &cancel,
    };
    assert_eq!(build(&request), Err(BuildError::Cancelled));
    assert!(added.load(Relaxed) <= 100);
    added.store(0, Relaxed);
    let built = build(&BuildRequest { cancel: &|| false, ..request }).unwrap();
    assert_eq!(added.load(Relaxed), 500);
    assert!(validate(&built).is_ok());
    for (m, ef_construction, name) in
        [(1, 64, "m"), (101, 64, "m"), (2, 3, "ef_construction"), (2, 1001, "ef_construction")]
    {
        let params = HnswParams { m, ef_construction, ..request.params };
        let error = build(&BuildRequest { params, ..request }).unwrap_err();
        assert!(matches!(error, BuildError::OutOfRange { name: wrong, .. } if wrong == name));
    }
}
