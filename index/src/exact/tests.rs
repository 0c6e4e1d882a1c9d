//! Exact search against sorting all distances, and against itself by other ways.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;

use super::*;
use crate::{InstructionSet, distance};

/// A plain request: the k nearest of all rows.
fn request<'a>(queries: Matrix<'a>, metric: Metric, k: usize) -> ExactRequest<'a> {
    ExactRequest { queries, metric, k, filter: None, floor: None, ties: false, cancel: None }
}

/// What one query must find: every allowed distance sorted, then cut.
fn model(request: &ExactRequest<'_>, query: usize, rows: Matrix<'_>) -> (Vec<Hit>, u64) {
    let allowed = (0..rows.rows()).filter(|&row| request.filter.is_none_or(|filter| filter.contains(row)));
    let (mut hits, mut undefined) = (Vec::new(), 0);
    for row in allowed {
        match distance(request.metric, request.queries.row(query), rows.row(row)) {
            Some(distance) => hits.push(Hit { distance, row: row as u32 }),
            None => undefined += 1,
        }
    }
    let floor = request.floor.and_then(|floor| floor.get(query)).copied().unwrap_or(f32::NAN);
    hits.retain(|hit| floor.is_nan() || hit.distance <= floor);
    hits.sort();
    let kth = request.k.checked_sub(1).and_then(|last| hits.get(last)).map(|hit| hit.distance);
    let wanted = match kth {
        Some(kth) if request.ties => hits.iter().filter(|hit| hit.distance <= kth).count(),
        _ => request.k.min(hits.len()),
    };
    hits.truncate(wanted);
    (hits, if request.k == 0 { 0 } else { undefined })
}

/// Rows of small integers: many duplicates, ties and zero vectors.
fn data(dim: usize, rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f32>> {
    rows.prop_flat_map(move |rows| prop::collection::vec((-1i8..2).prop_map(f32::from), dim * rows))
}

/// Filters of every density: words of no, all or some bits.
fn filter() -> impl Strategy<Value = RowSet> {
    let word = prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), (0u32..64).prop_map(|bit| 1 << bit)];
    (0usize..400, prop::collection::vec(word, 7)).prop_map(|(len, words)| {
        let mut set = RowSet::new_empty(len);
        set.insert_bits(0, words);
        set
    })
}

fn shapes() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>)> {
    prop_oneof![Just(1usize), 2usize..20, Just(50), Just(600)].prop_flat_map(|dim| {
        let rows = if dim == 600 { 0..60 } else { 0..350 };
        (Just(dim), data(dim, 0..6), data(dim, rows))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn finds_what_sorting_finds(
        (dim, queries, rows) in shapes(),
        k in prop_oneof![0usize..12, Just(400), Just(usize::MAX)],
        filter in prop::option::of(filter()),
        floor in prop::option::of(prop::collection::vec(prop_oneof![-3f32..9.0, Just(f32::NAN), Just(2.0)], 0..6)),
        ties: bool,
    ) {
        let (queries, rows) = (Matrix::new(&queries, dim).unwrap(), Matrix::new(&rows, dim).unwrap());
        for metric in Metric::ALL {
            let request = ExactRequest {
                filter: filter.as_ref(), floor: floor.as_deref(), ties, ..request(queries, metric, k)
            };
            let found = exact_search(&request, rows);
            prop_assert_eq!(found.hits.len(), queries.rows());
            prop_assert!(!found.cancelled);
            let allowed = filter.as_ref().map_or(rows.rows(), |filter| filter.iter().filter(|&row| row < rows.rows()).count());
            let compared = if k == 0 { 0 } else { queries.rows() * allowed };
            prop_assert_eq!(found.distances, compared as u64);
            for query in 0..queries.rows() {
                let (hits, undefined) = model(&request, query, rows);
                prop_assert_eq!(&found.hits[query], &hits, "{} query {}", metric, query);
                prop_assert_eq!(found.undefined[query], undefined);
                // The same query alone.
                let one = Matrix::new(queries.row(query), dim).unwrap();
                let its_floor = floor.as_deref().and_then(|floor| floor.get(query..=query));
                let alone = exact_search(&ExactRequest { queries: one, floor: its_floor, ..request }, rows);
                prop_assert_eq!(&alone.hits[0], &hits);
            }
            for instructions in InstructionSet::ALL {
                if let Some(kernel) = F32Kernel::with_instructions(metric, instructions) {
                    prop_assert_eq!(&exact_search_with(&kernel, &request, rows), &found);
                }
            }
        }
    }
}

#[test]
fn more_queries_than_are_taken_at_a_time_are_all_answered() {
    let (dim, count) = (512, 300);
    let values: Vec<f32> = (0..dim * count).map(|i| ((i * 7919) % 1009) as f32).collect();
    let rows = Matrix::new(&values, dim).unwrap();
    let found = exact_search(&request(rows, Metric::L2, 1), rows);
    assert_eq!(found.distances, (count * count) as u64);
    assert!(found.hits.iter().enumerate().all(|(row, hits)| hits == &[Hit { distance: 0.0, row: row as u32 }]));
}

#[test]
fn infinite_distances_come_last_and_are_hits() {
    let rows = [f32::MAX, -f32::MAX, 0.0, f32::MAX];
    let found =
        exact_search(&request(Matrix::new(&[f32::MAX], 1).unwrap(), Metric::L1, 4), Matrix::new(&rows, 1).unwrap());
    let order: Vec<u32> = found.hits[0].iter().map(|hit| hit.row).collect();
    assert_eq!(order, [0, 3, 2, 1]);
    assert_eq!(found.hits[0][3].distance, f32::INFINITY);
    assert_eq!(found.undefined, [0]);
}

#[test]
fn nothing_is_found_in_nothing() {
    let (nothing, one) = (Matrix::new(&[], 3).unwrap(), Matrix::new(&[1.0, 2.0, 3.0], 3).unwrap());
    assert_eq!(exact_search(&request(one, Metric::L2, 5), nothing).hits, [[]]);
    assert!(exact_search(&request(nothing, Metric::L2, 5), one).hits.is_empty());
}

#[test]
fn a_cancelled_search_stops_soon() {
    let values = vec![1.0; 4096 * 4000];
    let rows = Matrix::new(&values, 4096).unwrap();
    for queries in [1, 3] {
        let queries = Matrix::new(&values[..4096 * queries], 4096).unwrap();
        let polls = AtomicUsize::new(0);
        let third_time = || polls.fetch_add(1, Relaxed) == 2;
        let request = ExactRequest { cancel: Some(&third_time), ..request(queries, Metric::L2, 10) };
        let found = exact_search(&request, rows);
        assert!(found.cancelled);
        assert_eq!(polls.load(Relaxed), 3);
        let bytes = found.distances * 4096 * 4;
        assert!((15 << 20..20 << 20).contains(&bytes), "{bytes}");
        let at_once = exact_search(&ExactRequest { cancel: Some(&|| true), ..request }, rows);
        assert!(at_once.cancelled && at_once.distances == 0);
    }
}
