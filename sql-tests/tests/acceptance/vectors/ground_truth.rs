//! Queries and their answers, read from Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Rows that a query wants.
const K: usize = 10;
/// Relative: a sum of 784 squares in f32 is off by a few units in its last place.
const TOLERANCE: f64 = 1e-5;

/// One query and its exact nearest rows.
pub(super) struct Query {
    /// Its row in the file.
    pub(super) number: usize,
    /// The vector, as a parameter.
    pub(super) vector: ScalarValue,
    ids: Vec<i64>,
    distances: Vec<f64>,
}

impl Query {
    /// Checks what a search returned: as many rows as there are, each as near as the answer's, none twice.
    #[track_caller]
    pub(super) fn check(&self, ids: &[i64], distances: &[f64], what: &str) {
        let wanted = self.distances.len().min(K);
        assert_eq!(ids.len(), wanted, "{what}");
        for (i, (found, expected)) in distances.iter().zip(&self.distances).enumerate() {
            let near = (found - expected).abs() <= TOLERANCE * expected.abs().max(0.1);
            assert!(near, "{what}, place {i}: {found} instead of {expected}");
        }
        assert!(distances.is_sorted(), "{what}: {distances:?}");
        let last = distances.last().copied().unwrap_or_default();
        for (i, id) in ids.iter().enumerate() {
            assert!(!ids[..i].contains(id), "{what}: {id} twice");
            // A row that the answer does not list may only stand there because it is as near as the last one.
            let tied = (distances[i] - last).abs() <= TOLERANCE * last.abs().max(0.1);
            assert!(self.ids.contains(id) || tied, "{what}, place {i}: {id} is not one of {:?}", &self.ids[..wanted]);
        }
    }
}

/// The first `most` queries that have answers in the columns `{prefix}_ids` and `{prefix}_dists` (or `_scores`: inner
/// products, which the SQL operator returns negated).
pub(super) fn read_queries(path: &Path, prefix: &str, most: usize) -> Vec<Query> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("readable");
    let mut queries = Vec::new();
    let mut number = 0;
    for batch in reader {
        let batch = batch.expect("readable");
        let column = |name: String| batch.column_by_name(&name);
        let ids = column(format!("{prefix}_ids")).expect("answers").as_list::<i32>();
        let (distances, sign) = match column(format!("{prefix}_dists")) {
            Some(distances) => (distances, 1.0),
            None => (column(format!("{prefix}_scores")).expect("answers"), -1.0),
        };
        let distances = distances.as_list::<i32>();
        for row in 0..batch.num_rows() {
            if queries.len() < most && ids.is_valid(row) {
                let ids = ids.value(row);
                let distances = distances.value(row);
                let distances = distances.as_primitive::<Float32Type>().values().iter();
                queries.push(Query {
                    number: number + row,
                    vector: vector(&batch, row),
                    ids: ids.as_primitive::<Int64Type>().values().to_vec(),
                    distances: distances.map(|distance| sign * f64::from(*distance)).collect(),
                });
            }
        }
        number += batch.num_rows();
    }
    queries
}

fn vector(batch: &RecordBatch, row: usize) -> ScalarValue {
    let vectors = batch.column_by_name("embedding").expect("vectors").as_fixed_size_list();
    ScalarValue::FixedSizeList(Arc::new(vectors.slice(row, 1)))
}
