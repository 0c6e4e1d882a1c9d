//! The index as a whole: built, validated, walked, rescored. `search.rs` asks whether the right rows are found,
//! `limits.rs` whether every limit of a walk holds, `files.rs` whether damaged files are harmless, `usearch_oracle.rs` whether
//! the graph is as good as another library's.

mod files;
mod limits;
mod search;
mod usearch_oracle;

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::{ExactRequest, Hit, Matrix, Metric, Quantizer, RowSet, exact_search};

/// Rows of one dimension, owned.
#[derive(Debug, Clone)]
struct Rows {
    dim: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Independent, evenly distributed components: as hard as data gets for a graph.
    fn random(rows: usize, dim: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        Self { dim, values: (0..rows * dim).map(|_| random.random_range(-1.0..1.0)).collect() }
    }

    /// Narrow clusters far apart from each other, of very different lengths, one after another.
    fn clustered(rows: usize, dim: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let centres = Self::random(rows.div_ceil(50), dim, seed + 1);
        let mut values = Vec::new();
        for row in 0..rows {
            let centre = centres.matrix().row(row / 50);
            let length = 1.0 + (row / 50 % 7) as f32;
            values.extend(centre.iter().map(|x| length * (x + random.random_range(-0.1..0.1))));
        }
        Self { dim, values }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(&self.values, self.dim).unwrap()
    }

    /// The rows that belong into an index.
    fn present(&self, metric: Metric) -> RowSet {
        let mut present = RowSet::new_empty(self.matrix().rows());
        let is_present = |&row: &usize| metric != Metric::Cosine || self.matrix().row(row).iter().any(|&x| x != 0.0);
        (0..present.len()).filter(is_present).for_each(|row| present.insert(row));
        present
    }
}

/// An index and all that it borrows.
struct Index {
    rows: Rows,
    present: RowSet,
    params: HnswParams,
    bytes: Vec<u8>,
    facts: Validated,
}

impl Index {
    fn new(rows: Rows, params: HnswParams) -> Self {
        let present = rows.present(params.metric);
        Self::of_present(rows, present, params, 1)
    }

    fn of_present(rows: Rows, present: RowSet, params: HnswParams, threads: usize) -> Self {
        let request = BuildRequest {
            rows: rows.matrix(),
            present: &present,
            params,
            threads,
            progress: &|_| {},
            cancel: &|| false,
        };
        let bytes = build(&request).unwrap();
        let facts = validate(&bytes).unwrap();
        assert_eq!((facts.rows(), facts.dim(), facts.params()), (rows.matrix().rows(), rows.dim, params));
        assert_eq!(facts.indexed(), present.count());
        Self { rows, present, params, bytes, facts }
    }

    fn view(&self) -> HnswView<'_> {
        HnswView::new(&self.bytes, &self.facts, self.rows.matrix()).unwrap()
    }

    /// One query.
    fn walk(&self, query: &[f32], walk: &Walk<'_>) -> Walked {
        let queries = Matrix::new(query, query.len()).unwrap();
        search(&self.view(), queries, walk, &mut Scratch::new()).remove(0)
    }

    /// The exact hits of one query, with ties.
    fn exact(&self, query: &[f32], k: usize, allowed: Option<&RowSet>) -> Vec<Hit> {
        let mut filter = self.present.clone();
        allowed.into_iter().for_each(|allowed| filter.and(allowed));
        let queries = Matrix::new(query, query.len()).unwrap();
        let request = ExactRequest {
            queries,
            metric: self.params.metric,
            k,
            filter: Some(&filter),
            floor: None,
            ties: true,
            cancel: None,
        };
        exact_search(&request, self.rows.matrix()).hits.remove(0)
    }
}

fn params(metric: Metric, quantizer: Quantizer) -> HnswParams {
    HnswParams { quantizer, ..HnswParams::new(metric) }
}

fn row_numbers(hits: &[Hit]) -> BTreeSet<u32> {
    hits.iter().map(|hit| hit.row).collect()
}

fn metric() -> impl Strategy<Value = Metric> {
    prop::sample::select(Metric::ALL.as_slice())
}

fn quantizer() -> impl Strategy<Value = Quantizer> {
    prop::sample::select(Quantizer::ALL.as_slice())
}
