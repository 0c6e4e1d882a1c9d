//! Calibrations of small indexes, and what they let expect against what is found.

use super::{MeasureRequest, measure};
use crate::cost::{Choice, Preference, Search, choose};
use crate::hnsw::{BuildRequest, HnswParams, HnswView, Scratch, Walk, build, rescore, search, validate};
use crate::{ExactRequest, Matrix, Metric, RowSet, exact_search};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const DIM: usize = 24;

/// Rows around a few centres, as embeddings lie.
fn clustered(rows: usize, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(7);
    let centres: Vec<f32> = (0..40 * DIM).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut random = StdRng::seed_from_u64(seed);
    let mut values = Vec::with_capacity(rows * DIM);
    for _ in 0..rows {
        let centre = random.random_range(0..40) * DIM;
        values.extend((0..DIM).map(|i| centres[centre + i] + random.random_range(-0.4f32..0.4)));
    }
    values
}

#[test]
fn what_is_expected_is_found() {
    let (values, questions) = (clustered(20_000, 1), clustered(400, 2));
    let (rows, queries) = (Matrix::new(&values, DIM).unwrap(), Matrix::new(&questions, DIM).unwrap());
    let present = RowSet::new_full(rows.rows());
    for metric in [Metric::L2, Metric::Cosine] {
        let params = HnswParams::new(metric);
        let never = || false;
        // By one thread, which gives the same graph every time; of those that several make, some few reach 0.99 too late.
        let bytes =
            build(&BuildRequest { rows, present: &present, params, threads: 1, progress: &|_| {}, cancel: &never })
                .unwrap();
        let facts = validate(&bytes).unwrap();
        let view = HnswView::new(&bytes, &facts, rows).unwrap();
        let request =
            MeasureRequest { view, present: &present, queries: None, threads: 2, build_ms: 0, cancel: &never };
        let calibration = measure(&request).unwrap();
        assert_eq!(calibration.samples, 512);
        for target in [0.9, 0.95, 0.99] {
            let nodes = rows.rows() as u64;
            let wanted = Search {
                nodes,
                allowed: nodes,
                k: 10,
                asked: 10,
                share: 1.0,
                parts: 1,
                target,
                ef: None,
                preference: Preference::InFilter,
                hardness: 1.0,
            };
            let Choice::Walk(walk) = choose(&calibration, &wanted) else { panic!("{metric} {target}: exact") };
            let exact = ExactRequest { queries, metric, k: 10, filter: None, floor: None, ties: false, cancel: None };
            let truth = exact_search(&exact, rows).hits;
            let how = Walk { k: walk.ef, ef: walk.ef, ..Walk::default() };
            let walked = search(&view, queries, &how, &mut Scratch::new());
            let right: usize = walked
                .iter()
                .enumerate()
                .map(|(query, walked)| {
                    let hits = rescore(rows, metric, queries.row(query), &walked.hits, 10, false, f32::INFINITY);
                    let last = truth[query][9].distance;
                    hits.iter().filter(|hit| hit.distance <= last).count()
                })
                .sum();
            let recall = right as f32 / (10 * queries.rows()) as f32;
            assert!(recall >= target - 0.01, "{metric} {target}: {recall}");
            // A row that is left out is missed a little by the links of its neighbours, which are there for queries.
            assert!((recall - walk.recall).abs() <= 0.03, "{metric} {target}: {recall}, not {}", walk.recall);
        }
        assert!(measure(&MeasureRequest { cancel: &|| true, ..request }).is_none());
    }
}

#[test]
fn deleted_rows_are_neither_found_nor_missed() {
    let (values, questions) = (clustered(8_000, 1), clustered(300, 2));
    let (rows, queries) = (Matrix::new(&values, DIM).unwrap(), Matrix::new(&questions, DIM).unwrap());
    let (params, never) = (HnswParams::new(Metric::L2), || false);
    let all = RowSet::new_full(rows.rows());
    let bytes = build(&BuildRequest { rows, present: &all, params, threads: 1, progress: &|_| {}, cancel: &never });
    let bytes = bytes.unwrap();
    let facts = validate(&bytes).unwrap();
    let view = HnswView::new(&bytes, &facts, rows).unwrap();
    let mut present = all.clone();
    (0..rows.rows()).filter(|row| row % 100 < 45).for_each(|row| present.remove(row));
    let queries_given = Some(queries);
    let request =
        MeasureRequest { view, present: &present, queries: queries_given, threads: 2, build_ms: 0, cancel: &never };
    let calibration = measure(&request).unwrap();
    let whole = calibration.curves.iter().find(|curve| curve.k == 10).unwrap();
    assert!((whole.selectivity - 0.55).abs() < 1e-6, "{}", whole.selectivity);
    let exact = ExactRequest {
        queries,
        metric: Metric::L2,
        k: 10,
        filter: Some(&present),
        floor: None,
        ties: false,
        cancel: None,
    };
    let truth = exact_search(&exact, rows).hits;
    for point in &whole.points {
        let ef = point.ef as usize;
        let walk = Walk { k: ef, ef, allowed: Some(&present), ..Walk::default() };
        let walked = search(&view, queries, &walk, &mut Scratch::new());
        let right = walked.iter().enumerate().map(|(query, walked)| {
            let hits = rescore(rows, Metric::L2, queries.row(query), &walked.hits, 10, false, f32::INFINITY);
            hits.iter().filter(|hit| hit.distance <= truth[query][9].distance).count()
        });
        let recall = right.sum::<usize>() as f32 / (10 * queries.rows()) as f32;
        assert!((recall - point.recall).abs() < 1e-4, "ef {ef}: {recall}, not {}", point.recall);
    }
}

#[test]
fn small_and_empty_indexes_are_measured_too() {
    for count in [0, 1, 5, 60] {
        let values = clustered(count, 3);
        let rows = Matrix::new(&values, DIM).unwrap();
        let present = RowSet::new_full(count);
        let never = || false;
        let params = HnswParams::new(Metric::L2);
        let bytes =
            build(&BuildRequest { rows, present: &present, params, threads: 2, progress: &|_| {}, cancel: &never })
                .unwrap();
        let facts = validate(&bytes).unwrap();
        let view = HnswView::new(&bytes, &facts, rows).unwrap();
        let request =
            MeasureRequest { view, present: &present, queries: None, threads: 3, build_ms: 0, cancel: &never };
        let calibration = measure(&request).unwrap();
        assert_eq!(calibration.samples as usize, count);
        let wanted = Search {
            nodes: count as u64,
            allowed: count as u64,
            k: 10,
            asked: 10,
            share: 1.0,
            parts: 1,
            target: 0.95,
            ef: None,
            preference: Preference::Cheapest,
            hardness: 1.0,
        };
        assert!(matches!(choose(&calibration, &wanted), Choice::Exact(_)));
    }
}
