//! Exact vector search through SQL against the limit: what share of one thread's memory bandwidth a top-10 query reaches.
//!
//! ```text
//! cargo bench -p volley-benches --bench sql_scan [-- FILE.parquet …]
//! ```
//! Without files the shapes are those of the `exact_scan` example, with random components. Vectors are loaded by COPY into
//! a table of their own on disk; an engine with one thread answers `ORDER BY distance LIMIT 10`. A query reads every vector
//! once, so its limit is the bandwidth of one thread, measured between the queries over a buffer of the same size.
//! Planning and the fetch of the winners are part of the time. Reported is the best of [`ROUNDS`] of each.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::scalar::ScalarValue;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig, QueryRequest};
use volley_benches::{
    bandwidth,
    vectors::{Vectors, vector_array},
};

const ROUNDS: usize = 20;
const OPERATORS: [&str; 4] = ["<->", "<=>", "<#>", "<+>"];

fn main() -> Result<(), Box<dyn Error>> {
    // cargo itself adds --bench.
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = Runtime::new()?;
    println!("vectors                        load s | operator | ms per query | GB/s | memory GB/s | share");
    if files.is_empty() {
        for (rows, dim) in [(117_659, 384), (60_000, 784), (399_000, 50)] {
            runtime.block_on(report(Vectors::random(rows, dim)))?;
        }
    }
    for file in &files {
        runtime.block_on(report(Vectors::from_parquet(Path::new(file))?))?;
    }
    Ok(())
}

async fn report(vectors: Vectors) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("vectors.parquet");
    vectors.write_parquet(&file)?;
    let config =
        EngineConfig { threads: Some(1), ..EngineConfig::new(DataLocation::Local(directory.path().join("data"))) };
    let engine = Engine::open(config).await?;
    let session = engine.session();
    let create = format!("CREATE TABLE t (id BIGINT NOT NULL, v vector({}) NOT NULL)", vectors.dim);
    engine.execute(QueryRequest::new(create, &session)).await?;
    let start = Instant::now();
    engine.execute(QueryRequest::new(format!("COPY t FROM '{}'", file.display()), &session)).await?;
    let load = start.elapsed();
    engine.close().await;
    let query = vector_scalar(&vectors.data[..vectors.dim], vectors.dim)?;
    let bytes = size_of_val(&vectors.data[..]) as f64;
    let name = format!("{} {} × {}", vectors.name, vectors.rows(), vectors.dim);
    for operator in OPERATORS {
        let sql = format!("SELECT id FROM t ORDER BY v {operator} $1 LIMIT 10");
        let (mut best, mut memory) = (Duration::MAX, 0.0f64);
        for _ in 0..ROUNDS {
            memory = memory.max(bandwidth::read_gb_per_second(&vectors.data, true));
            memory = memory.max(bandwidth::read_gb_per_second(&vectors.data, false));
            let request = QueryRequest::new(&sql, &session).with_parameters(vec![query.clone()]);
            let start = Instant::now();
            engine.execute(request).await?.collect().await?;
            best = best.min(start.elapsed());
        }
        let rate = bytes / best.as_secs_f64() / 1e9;
        println!(
            "{name:30} {:6.2} | {operator:8} | {:12.2} | {rate:4.1} | {memory:11.1} | {:3.0} %",
            load.as_secs_f64(),
            best.as_secs_f64() * 1e3,
            100.0 * rate / memory
        );
    }
    Ok(())
}

fn vector_scalar(data: &[f32], dim: usize) -> Result<ScalarValue, Box<dyn Error>> {
    Ok(ScalarValue::FixedSizeList(Arc::new(vector_array(data, dim)?)))
}
