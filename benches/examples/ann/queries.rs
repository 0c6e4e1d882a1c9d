//! Queries, what they are answered, and how good an answer is.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::scalar::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use volley::{Engine, QueryRequest, Session};

use crate::Fallible;

/// A query and the distances of its exact answer, ascending.
#[derive(Clone)]
pub(crate) struct Query {
    /// Which of the file's rows it is, from 1.
    pub(crate) number: usize,
    pub(crate) vector: ScalarValue,
    pub(crate) distances: Vec<f64>,
    /// Whether fewer than ten rows qualify, so that these are all.
    pub(crate) is_whole: bool,
}

impl Query {
    /// The query's vector.
    pub(crate) fn components(&self) -> Fallible<Vec<f32>> {
        match &self.vector {
            ScalarValue::FixedSizeList(vector) => Ok(vector.value(0).as_primitive::<Float32Type>().values().to_vec()),
            _ => Err("a query is no vector".into()),
        }
    }
}

/// Runs a statement for what it does.
pub(crate) async fn run(engine: &Engine, session: &Arc<Session>, sql: &str) -> Fallible<()> {
    engine.execute(QueryRequest::new(sql, session)).await?.collect().await?;
    Ok(())
}

/// Asks all queries; how many rows are as near as the true answer's last, and how many there should be.
pub(crate) async fn ask(
    engine: &Engine,
    session: &Arc<Session>,
    sql: &str,
    queries: &[Query],
) -> Fallible<(usize, usize)> {
    let (mut right, mut wanted) = (0, 0);
    for query in queries {
        let found = distances(engine, session, sql, vec![query.vector.clone()]).await?;
        right += near(&found, &query.distances)?;
        wanted += query.distances.len();
    }
    Ok((right, wanted))
}

/// The distances that a search answers: its second column.
pub(crate) async fn distances(
    engine: &Engine,
    session: &Arc<Session>,
    sql: &str,
    parameters: Vec<ScalarValue>,
) -> Fallible<Vec<f64>> {
    let request = QueryRequest::new(sql, session).with_parameters(parameters);
    let batches = engine.execute(request).await?.collect().await?;
    Ok(batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Float64Type>().values().to_vec()).collect())
}

/// How many of the distances are as near as the true answer's last.
pub(crate) fn near(found: &[f64], truth: &[f64]) -> Fallible<usize> {
    if found.len() < truth.len() {
        return Err("an answer has fewer rows than qualify".into());
    }
    let last = truth.last().copied().unwrap_or(f64::NEG_INFINITY);
    let near = last + 1e-5 * last.abs().max(0.1);
    Ok(found.iter().filter(|distance| **distance <= near).count())
}

/// The share of the rows that pass a condition.
pub(crate) async fn share_of(engine: &Engine, session: &Arc<Session>, condition: &str) -> Fallible<f64> {
    let sql = format!("SELECT count(*) FILTER (WHERE {condition}), count(*) FROM items");
    let batches = engine.execute(QueryRequest::new(&sql, session)).await?.collect().await?;
    let batch = batches.first().ok_or("count(*) has no row")?;
    let count = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0) as f64;
    Ok(count(0) / count(1))
}

/// The mean time of the searches alone, and of the recall that they let expect.
pub(crate) async fn explained(
    engine: &Engine,
    session: &Arc<Session>,
    sql: &str,
    queries: &[Query],
) -> Fallible<(f64, f64)> {
    let (mut time, mut recall) = (0.0, 0.0);
    for query in queries {
        let text = explained_text(engine, session, sql, query).await?;
        let (before, behind) = text.split_once("returned=").ok_or("no search")?;
        let (_, expected) = before.rsplit_once("expected_recall=").ok_or("nothing expected")?;
        recall += expected.split([' ', ',']).next().ok_or("nothing expected")?.parse::<f64>()?;
        let (_, behind) = behind.split_once("time=").ok_or("no time")?;
        time += behind.split_once("ms").ok_or("no time")?.0.parse::<f64>()?;
    }
    Ok((time / queries.len() as f64, recall / queries.len() as f64))
}

/// What EXPLAIN ANALYZE says.
pub(crate) async fn explained_text(
    engine: &Engine,
    session: &Arc<Session>,
    sql: &str,
    query: &Query,
) -> Fallible<String> {
    let explain = format!("EXPLAIN ANALYZE {sql}");
    let request = QueryRequest::new(explain, session).with_parameters(vec![query.vector.clone()]);
    let batches = engine.execute(request).await?.collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

/// The queries of a file whose exact answers, up to k distances, are in these columns.
pub(crate) fn read_queries(path: &Path, columns: &str, k: usize) -> Fallible<Vec<Query>> {
    let mut queries = Vec::new();
    let mut before = 0;
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let vectors = batch.column_by_name("embedding").ok_or("no vectors")?.as_fixed_size_list().clone();
        // Scores are inner products, which the SQL operator returns negated.
        let (distances, sign) = match batch.column_by_name(&format!("{columns}_dists")) {
            Some(distances) => (distances, 1.0),
            None => (batch.column_by_name(&format!("{columns}_scores")).ok_or("no answers")?, -1.0),
        };
        let distances = distances.as_list::<i32>();
        for row in (0..batch.num_rows()).filter(|row| distances.is_valid(*row)) {
            let answer = distances.value(row);
            let answer = answer.as_primitive::<Float32Type>().values();
            queries.push(Query {
                number: before + row + 1,
                vector: ScalarValue::FixedSizeList(Arc::new(vectors.slice(row, 1))),
                distances: answer.iter().take(k).map(|d| sign * f64::from(*d)).collect(),
                is_whole: answer.len() < 10,
            });
        }
        before += batch.num_rows();
    }
    Ok(queries)
}
