//! What things cost on this machine.

use std::time::Instant;

use super::samples::{Samples, random_filter};
use super::{Costs, MeasureRequest};
use crate::hnsw::{self, Scratch, Walk};
use crate::{Matrix, RowSet};

/// Rows that costs are measured over at most: more than caches hold.
const COST_ROWS_MAX: usize = 65_536;
/// The share of rows that are looked up one by one.
const SCATTERED: f32 = 0.05;
/// Neighbours asked for.
const K: usize = 10;

/// What things cost here: medians of a few runs on one thread.
pub(super) fn costs(request: &MeasureRequest<'_>, samples: &Samples<'_>) -> Option<Costs> {
    let few = samples.part(0..samples.count().min(32));
    let Some(queries) = few.matrix() else { return Some(Costs { walk_ns: 100.0, scan_ns: 100.0, gather_ns: 100.0 }) };
    let mut scratch = Scratch::new();
    let mut walks = Vec::new();
    // The first round warms the caches up as a stream of queries would.
    for round in 0..2 {
        for query in 0..queries.rows() {
            let one = Matrix::new(queries.row(query), few.dim).ok()?;
            let walk = Walk { k: 48, ef: 48, cancel: Some(request.cancel), ..Walk::default() };
            let begun = Instant::now();
            let walked = hnsw::search(&request.view, one, &walk, &mut scratch);
            let ns = begun.elapsed().as_nanos() as f32;
            let distances: u64 = walked.iter().map(|walked| walked.distances).sum();
            if round > 0 && distances > 0 {
                walks.push(ns / distances as f32);
            }
        }
    }
    let some = RowSet::new_full(request.view.rows().rows().min(COST_ROWS_MAX));
    let scattered = random_filter(&some, SCATTERED, u64::MAX);
    let scan = |allowed: &RowSet| {
        let runs = (0..queries.rows().min(8)).filter_map(|query| {
            let one = Matrix::new(queries.row(query), few.dim).ok()?;
            let begun = Instant::now();
            let found = request.exact(one, K, allowed);
            (found.distances > 0).then(|| begun.elapsed().as_nanos() as f32 / found.distances as f32)
        });
        median(runs.collect())
    };
    let costs = Costs { walk_ns: median(walks), scan_ns: scan(&some), gather_ns: scan(&scattered) };
    (!(request.cancel)()).then_some(costs)
}

/// The middle one; a tenth of a nanosecond at least, because costs are divided by.
fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(100.0).max(0.1)
}
