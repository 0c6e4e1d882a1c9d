//! What it costs to write: COPY against the disk, and single-row inserts of concurrent sessions against those of one.
//!
//! ```text
//! cargo bench -p volley-benches --bench ingest [-- FILE.parquet]
//! ```
//! Without a file 117,659 random vectors of 384 dimensions are loaded, as many as WordNet has. The limit of COPY is a file of
//! as many bytes written in one go and made durable. Inserts are acknowledged when they are durable; what one session waits
//! for is the disk, so the limit of several is the processor.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::Int64Array;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig, QueryRequest};
use volley_benches::vectors::Vectors;

/// What the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inserts of each round.
const INSERTS: usize = 1000;
const SESSIONS: [usize; 4] = [1, 2, 8, 32];
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    // cargo itself adds --bench.
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runtime = Runtime::new()?;
    runtime.block_on(copy(file.map(PathBuf::from)))?;
    runtime.block_on(inserts())
}

async fn copy(file: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let vectors = match &file {
        Some(file) => Vectors::from_parquet(file)?,
        None => Vectors::random(117_659, 384),
    };
    let path = directory.path().join("vectors.parquet");
    vectors.write_parquet(&path)?;
    let bytes = size_of_val(&vectors.data[..]) as f64;
    let rate = |seconds: f64| bytes / seconds / 1e6;
    println!("{:30} | COPY MB/s | disk MB/s | share", "vectors");
    let (mut copied, mut written) = (0.0f64, 0.0f64);
    for round in 0..ROUNDS {
        let raw: Vec<u8> = vectors.data.iter().flat_map(|value| value.to_le_bytes()).collect();
        let begun = Instant::now();
        let mut raw_file = File::create(directory.path().join("raw"))?;
        raw_file.write_all(&raw)?;
        raw_file.sync_all()?;
        written = written.max(rate(begun.elapsed().as_secs_f64()));
        let engine = open(&directory.path().join(format!("data{round}"))).await?;
        let session = engine.session();
        let create = format!("CREATE TABLE t (id BIGINT NOT NULL, v vector({}) NOT NULL)", vectors.dim);
        engine.execute(QueryRequest::new(create, &session)).await?;
        let begun = Instant::now();
        engine.execute(QueryRequest::new(format!("COPY t FROM '{}'", path.display()), &session)).await?;
        copied = copied.max(rate(begun.elapsed().as_secs_f64()));
        engine.close().await;
    }
    let name = format!("{} {} × {}", vectors.name, vectors.rows(), vectors.dim);
    println!("{name:30} | {copied:9.0} | {written:9.0} | {:3.0} %", 100.0 * copied / written);
    Ok(())
}

async fn inserts() -> Result<(), Box<dyn Error>> {
    println!("sessions | inserts/s | times one session | commits");
    let mut one = 0.0;
    // Removed only at the end: for seconds after files are removed some file systems create new ones slowly.
    let mut directories = Vec::new();
    for sessions in SESSIONS {
        let (mut best, mut commits) = (0.0f64, 0);
        for _ in 0..ROUNDS {
            let directory = tempfile::tempdir()?;
            let engine = open(directory.path()).await?;
            let session = engine.session();
            engine.execute(QueryRequest::new("CREATE TABLE t (id BIGINT, body TEXT)", &session)).await?;
            let begun = Instant::now();
            let mut tasks = Vec::new();
            for number in 0..sessions {
                let engine = Arc::clone(&engine);
                tasks.push(tokio::spawn(async move {
                    let session = engine.session();
                    for id in (number..INSERTS).step_by(sessions) {
                        let sql = format!("INSERT INTO t VALUES ({id}, 'row {id}')");
                        engine.execute(QueryRequest::new(sql, &session)).await?.collect().await?;
                    }
                    Ok::<(), volley::Error>(())
                }));
            }
            for task in tasks {
                task.await??;
            }
            let rate = INSERTS as f64 / begun.elapsed().as_secs_f64();
            let count = "SELECT count(*) FROM volley.snapshots WHERE operation = 'INSERT'";
            let batches = engine.execute(QueryRequest::new(count, &session)).await?.collect().await?;
            let count = batches.first().and_then(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>());
            if rate > best {
                (best, commits) = (rate, count.ok_or("no count")?.value(0));
            }
            engine.close().await;
            directories.push(directory);
        }
        if sessions == 1 {
            one = best;
        }
        println!("{sessions:8} | {best:9.0} | {:17.1} | {commits}", best / one);
    }
    Ok(())
}

async fn open(directory: &Path) -> Result<Arc<Engine>, Box<dyn Error>> {
    Ok(Engine::open(EngineConfig::new(DataLocation::Local(directory.to_owned()))).await?)
}
