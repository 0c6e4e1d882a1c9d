//! A table of page views, loaded by COPY, against plain DataFusion over the original Parquet: queries in the style of
//! ClickBench.
//!
//! ```text
//! cargo bench -p volley-benches --bench hits [-- ROWS]        a million rows without
//! ```
//! Both sides run in this process with one partition per core and take turns, query by query, after one round that warms
//! caches and compares the answers, which have to be equal. The median of [`ROUNDS`] counts.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use volley_sql_tests::hits::data::generate;
use volley_sql_tests::hits::queries::QUERIES;
use volley_sql_tests::tpch::answer::Tolerance;
use volley_sql_tests::tpch::compare::{Comparison, Result};

const ROUNDS: usize = 7;
const ROWS: usize = 1_000_000;

/// What the program uses, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    // cargo itself adds --bench.
    let rows = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let rows: usize = rows.map_or(Ok(ROWS), |rows| rows.parse())?;
    let directory = tempfile::tempdir()?;
    Runtime::new()?.block_on(measure(directory.path(), rows))
}

async fn measure(directory: &Path, rows: usize) -> Result<()> {
    let file = generate(directory, rows)?;
    let bytes = std::fs::metadata(&file.path)?.len();
    let comparison = Comparison::of_files(directory, vec![file]).await?;
    for (file, time) in comparison.files.iter().zip(&comparison.loading) {
        let (mb, seconds) = (bytes as f64 / 1e6, time.as_secs_f64());
        println!("{} {} rows, {mb:.0} MB of Parquet, loaded in {seconds:.2} s", file.name, file.rows);
    }
    println!("query | Volley ms | plain DataFusion ms | ratio |");
    let mut total = [Duration::ZERO; 2];
    for (index, sql) in QUERIES.iter().enumerate() {
        let number = index + 1;
        let [volley, plain] = comparison.both(sql).await.map_err(|error| format!("query {number}: {error}"))?;
        if let Some(difference) = volley.0.difference(&plain.0, Tolerance::ENGINES) {
            return Err(format!("query {number}: {difference}").into());
        }
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let [volley, plain] = comparison.both(sql).await?;
            times[0].push(volley.1);
            times[1].push(plain.1);
        }
        let medians = times.map(median);
        let first: String = sql.chars().take(60).collect();
        report(&format!("{number:5}"), medians, &first);
        total = [total[0] + medians[0], total[1] + medians[1]];
    }
    report("total", total, "");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn report(what: &str, [volley, plain]: [Duration; 2], query: &str) {
    let [volley, plain] = [volley, plain].map(|time| time.as_secs_f64() * 1e3);
    println!("{what} | {volley:9.1} | {plain:19.1} | {:5.2} | {query}", volley / plain);
}
