//! The bare index, without SQL: recall and throughput of one thread by the effort of the walk, for each sort of codes.
//!
//! ```text
//! cargo run --release -p volley-benches --example bare_index -- ../shared/data wordnet|fashion [i8] [f16] [f32]
//! ```
//! Builds the graph with two threads (M = 16, ef_construction = 128), then asks every query that comes with answers, one at a
//! time: the walk over codes, and the distances of what it found computed again in f32. Each rate is the best of three rounds.
//! One JSON object a line.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley_benches::aligned::Aligned;
use volley_benches::vectors::Vectors;
use volley_index::hnsw::{BuildRequest, HnswParams, HnswView, Scratch, Walk, build, rescore, search, validate};
use volley_index::{Matrix, Metric, Quantizer, RowSet};

/// Rows wanted.
const K: usize = 10;
const EFS: [usize; 7] = [16, 24, 32, 48, 64, 96, 128];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, data, quantizers @ ..] = arguments.as_slice() else {
        return Err("usage: bare_index DIRECTORY wordnet|fashion [i8] [f16] [f32]".into());
    };
    let (rows, queries, metric) = match data.as_str() {
        "wordnet" => ("wordnet_synsets.parquet", "wordnet_queries.parquet", Metric::Cosine),
        "fashion" => ("fashion_mnist_train.parquet", "fashion_mnist_test.parquet", Metric::L2),
        _ => return Err(format!("no data called {data}; take wordnet or fashion").into()),
    };
    let directory = Path::new(directory);
    let rows = Vectors::from_parquet(&directory.join(rows))?;
    let answers = answers(&directory.join(queries))?;
    let queries = Vectors::from_parquet(&directory.join(queries))?;
    let quantizers = match quantizers {
        [] => vec![Quantizer::I8],
        names => {
            let named = |name: &String| Quantizer::ALL.into_iter().find(|quantizer| quantizer.name() == name);
            names.iter().map(|name| named(name).ok_or(format!("no quantizer {name}"))).collect::<Result<Vec<_>, _>>()?
        }
    };
    let matrix = Matrix::new(&rows.data, rows.dim)?;
    let present = RowSet::new_full(matrix.rows());
    for quantizer in quantizers {
        let params = HnswParams { quantizer, ..HnswParams::new(metric) };
        let begun = Instant::now();
        let request =
            BuildRequest { rows: matrix, present: &present, params, threads: 2, progress: &|_| {}, cancel: &|| false };
        let file = Aligned::new(&build(&request)?);
        let build_s = begun.elapsed().as_secs_f64();
        let facts = validate(file.bytes())?;
        let view = HnswView::new(file.bytes(), &facts, matrix)?;
        for ef in EFS {
            let (mut best, mut right, mut distances) = (f64::INFINITY, 0, 0);
            for _ in 0..3 {
                let mut scratch = Scratch::new();
                (right, distances) = (0, 0);
                let begun = Instant::now();
                for (number, farthest) in answers.iter().enumerate() {
                    let query = &queries.data[number * queries.dim..][..queries.dim];
                    let walk = Walk { k: ef, ef, ..Walk::default() };
                    let walked = search(&view, Matrix::new(query, queries.dim)?, &walk, &mut scratch).swap_remove(0);
                    let hits = rescore(matrix, metric, query, &walked.hits, K, false, f32::INFINITY);
                    right += hits.iter().take(K).filter(|hit| hit.distance <= *farthest).count();
                    distances += walked.distances;
                }
                best = best.min(begun.elapsed().as_secs_f64());
            }
            let count = answers.len();
            println!(
                "{{\"system\":\"volley-index\",\"data\":\"{data}\",\"quantizer\":\"{}\",\"ef\":{ef},\"recall\":{:.4},\
                 \"qps\":{:.0},\"distances\":{},\"build_s\":{build_s:.1}}}",
                quantizer.name(),
                right as f64 / (K * count) as f64,
                count as f64 / best,
                distances / count as u64,
            );
        }
    }
    Ok(())
}

/// For each query with an answer (the first ones of the file), a distance that its k-th neighbour does not exceed.
fn answers(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut farthest = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let distances = batch.column_by_name("gt_dists").ok_or("no answers")?.as_list::<i32>();
        for answer in distances.iter().flatten() {
            let kth = answer.as_primitive::<Float32Type>().value(K - 1);
            farthest.push(kth + 1e-5 * kth.abs().max(0.1));
        }
    }
    Ok(farthest)
}
