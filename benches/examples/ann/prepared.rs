//! What a prepared query costs beside the call of the index that it makes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use volley::{Engine, QueryRequest, Session};
use volley_benches::aligned::Aligned;
use volley_benches::vectors::Vectors;
use volley_index::hnsw::{HnswView, Scratch, Walk, rescore, search, validate};
use volley_index::{Matrix, Metric};

use crate::Fallible;
use crate::queries::{Query, explained_text};
use crate::workloads::Workload;

/// Times the same queries through the bare index, with the effort that the planner chose, and through SQL, `SELECT id`: by one
/// thread, by two sessions at a time, and many at a time; the exact search as well. The table has to be one segment.
pub(crate) async fn compare(
    engine: &Arc<Engine>,
    session: &Arc<Session>,
    (workload, data, rows): (&Workload, &Path, &Path),
    (queries, k): (&[Query], usize),
) -> Fallible<()> {
    let sql = format!("SELECT {} FROM items ORDER BY embedding {} $1 LIMIT {k}", workload.key, workload.operator);
    let first = queries.first().ok_or("no queries")?;
    let ef = ef_of(&explained_text(engine, session, &sql, first).await?)?;
    let rows = Vectors::from_parquet(rows)?;
    let matrix = Matrix::new(&rows.data, rows.dim)?;
    let file = Aligned::new(&std::fs::read(index_file(data)?.ok_or("there is no index file")?)?);
    let facts = validate(file.bytes())?;
    let view = HnswView::new(file.bytes(), &facts, matrix)?;
    let mut scratch = Scratch::new();
    let metric = match workload.operator {
        "<->" => Metric::L2,
        "<=>" => Metric::Cosine,
        _ => Metric::InnerProduct,
    };
    let mut bare = Vec::new();
    for round in 0..ROUNDS {
        for query in queries {
            let vector = query.components()?;
            let begun = Instant::now();
            let walk = Walk { k: ef, ef, ..Walk::default() };
            let walked = search(&view, Matrix::new(&vector, rows.dim)?, &walk, &mut scratch).swap_remove(0);
            let hits = rescore(matrix, metric, &vector, &walked.hits, k, false, f32::INFINITY);
            let took = begun.elapsed();
            if hits.len() < k {
                return Err("the index found too few".into());
            }
            if round > 0 {
                bare.push(took);
            }
        }
    }
    let mut through_sql = Vec::new();
    for round in 0..ROUNDS {
        let taken = ask_all(engine, session, &sql, queries).await?;
        if round > 0 {
            through_sql.extend(taken);
        }
    }
    let one = rate(&through_sql);
    let begun = Instant::now();
    let asked: Vec<_> = (0..2)
        .map(|_| {
            let (engine, session, sql) = (Arc::clone(engine), engine.session(), sql.clone());
            let queries: Vec<Query> = queries.to_vec();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    ask_all(&engine, &session, &sql, &queries).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for asked in asked {
        asked.await??;
    }
    let two = (2 * ROUNDS * queries.len()) as f64 / begun.elapsed().as_secs_f64();
    let batched = ask_in_batches(engine, session, &sql, queries).await?;
    let exact =
        format!("SELECT {0} FROM items ORDER BY exact(embedding {1} $1) LIMIT {k}", workload.key, workload.operator);
    let few = &queries[..queries.len().min(2 * BATCH)];
    ask_all(engine, session, &exact, few).await?;
    let exact_one = rate(&ask_all(engine, session, &exact, few).await?);
    let exact_batched = ask_in_batches(engine, session, &exact, few).await?;
    let (bare_us, sql_us) = (median_us(&mut bare), median_us(&mut through_sql));
    println!(
        "{{\"system\":\"volley-prepared\",\"data\":\"{}\",\"k\":{k},\"ef\":{ef},\"index_us\":{bare_us:.1},\"sql_us\":{sql_us:.1},\
         \"overhead_us\":{:.1},\"index_qps\":{:.0},\"qps\":{one:.0},\"qps_two_sessions\":{two:.0},\"qps_batched\":{batched:.0},\
         \"exact_qps\":{exact_one:.1},\"exact_qps_batched\":{exact_batched:.1}}}",
        workload.name,
        sql_us - bare_us,
        rate(&bare),
    );
    Ok(())
}

/// How often everything is asked; the first round is for warming up.
const ROUNDS: usize = 4;

/// Queries asked at a time.
const BATCH: usize = 64;

/// How long each query took.
async fn ask_all(engine: &Engine, session: &Arc<Session>, sql: &str, queries: &[Query]) -> Fallible<Vec<Duration>> {
    let mut taken = Vec::with_capacity(queries.len());
    for query in queries {
        let begun = Instant::now();
        let request = QueryRequest::new(sql, session).with_parameters(vec![query.vector.clone()]);
        let batches = engine.execute(request).await?.collect().await?;
        taken.push(begun.elapsed());
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Err("an answer is empty".into());
        }
    }
    Ok(taken)
}

/// Queries per second, where so many are asked at a time; the second round counts.
async fn ask_in_batches(engine: &Engine, session: &Arc<Session>, sql: &str, queries: &[Query]) -> Fallible<f64> {
    let mut taken = Duration::ZERO;
    for _ in 0..2 {
        taken = Duration::ZERO;
        for part in queries.chunks(BATCH) {
            let rows = part.iter().map(|query| vec![query.vector.clone()]).collect();
            let begun = Instant::now();
            let request = QueryRequest::new(sql, session).with_parameter_rows(rows);
            let answers = engine.execute(request).await?.collect().await?;
            taken += begun.elapsed();
            if answers.len() != part.len() || answers.iter().any(|answer| answer.num_rows() == 0) {
                return Err("a query of a batch has no answer".into());
            }
        }
    }
    Ok(queries.len() as f64 / taken.as_secs_f64())
}

pub(crate) fn rate(taken: &[Duration]) -> f64 {
    taken.len() as f64 / taken.iter().sum::<Duration>().as_secs_f64()
}

pub(crate) fn median_us(taken: &mut [Duration]) -> f64 {
    taken.sort_unstable();
    taken.get(taken.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e6
}

fn ef_of(explained: &str) -> Fallible<usize> {
    let (_, behind) = explained.split_once(" ef=").ok_or("the index was not used")?;
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    Ok(behind[..digits].parse()?)
}

/// The only index file below a directory.
fn index_file(directory: &Path) -> Fallible<Option<PathBuf>> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            index_file(&path)?
        } else {
            path.extension().is_some_and(|extension| extension == "hnsw").then_some(path)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
