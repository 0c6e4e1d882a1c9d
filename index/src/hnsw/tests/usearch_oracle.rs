//! usearch as the builder's oracle: with the same parameters and the same effort as much is found in our graph as in its own.

use usearch::{IndexOptions, MetricKind, ScalarKind};

use super::search::recall;
use super::*;

/// The mean share of the ten nearest rows that usearch finds, for each effort.
fn recall_of_usearch<const N: usize>(ours: &Index, queries: &Rows, kind: MetricKind, efs: [usize; N]) -> [f64; N] {
    let options = IndexOptions {
        dimensions: ours.rows.dim,
        metric: kind,
        quantization: ScalarKind::F32,
        connectivity: ours.params.m,
        expansion_add: ours.params.ef_construction,
        expansion_search: 1,
        multi: false,
    };
    let index = usearch::Index::new(&options).unwrap();
    let rows = ours.rows.matrix();
    index.reserve(rows.rows()).unwrap();
    (0..rows.rows()).for_each(|row| index.add(row as u64, rows.row(row)).unwrap());
    efs.map(|ef| {
        index.change_expansion_search(ef);
        let mut shares = 0.0;
        for number in 0..queries.matrix().rows() {
            let query = queries.matrix().row(number);
            let right = row_numbers(&ours.exact(query, 10, None));
            let found = index.search(query, 10).unwrap().keys;
            shares += found.iter().filter(|&&row| right.contains(&(row as u32))).count() as f64 / 10.0;
        }
        shares / queries.matrix().rows() as f64
    })
}

#[test]
fn graphs_are_as_good_as_those_of_usearch() {
    const EFS: [usize; 3] = [16, 48, 128];
    for (metric, kind) in [(Metric::L2, MetricKind::L2sq), (Metric::Cosine, MetricKind::Cos)] {
        for rows in [Rows::random(5000, 16, 31), Rows::clustered(5000, 24, 32)] {
            let queries = Rows::random(200, rows.dim, 33);
            let ours = Index::new(rows, params(metric, Quantizer::F32));
            let theirs = recall_of_usearch(&ours, &queries, kind, EFS);
            for (ef, theirs) in EFS.into_iter().zip(theirs) {
                let ours = recall(&ours, &queries, ef, None);
                assert!(ours > theirs - 0.02, "{metric}, ef = {ef}: {ours} where usearch finds {theirs}");
            }
        }
    }
}
