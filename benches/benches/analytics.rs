//! TPC-H: Volley tables, loaded by COPY, against plain DataFusion over the original Parquet.
//!
//! ```text
//! cargo bench -p volley-benches --bench analytics [-- SCALE]        the scale factor, 1 without
//! ```
//! Both sides run in this process with one partition per core and take turns, query by query; the best of [`ROUNDS`]
//! counts, so that caches are warm and a noisy neighbour meets both. Answers have to be equal.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;
use volley_sql_tests::tpch::answer::Tolerance;
use volley_sql_tests::tpch::compare::{Comparison, Result};
use volley_sql_tests::tpch::queries::{NUMBERS, query};

const ROUNDS: usize = 5;

fn main() -> Result<()> {
    // cargo itself adds --bench.
    let scale = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let scale: f64 = scale.map_or(Ok(1.0), |scale| scale.parse())?;
    let directory = tempfile::tempdir()?;
    Runtime::new()?.block_on(measure(directory.path(), scale))
}

async fn measure(directory: &Path, scale: f64) -> Result<()> {
    let comparison = Comparison::load(directory, scale).await?;
    for (file, time) in comparison.files.iter().zip(&comparison.loading) {
        println!("{:10} {:>9} rows loaded in {:6.2} s", file.name, file.rows, time.as_secs_f64());
    }
    println!("query | Volley ms | plain DataFusion ms | ratio");
    let mut total = [Duration::ZERO; 2];
    for number in NUMBERS {
        let sql = query(number, scale);
        let mut best = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            let [volley, plain] = comparison.both(&sql).await?;
            if let Some(difference) = volley.0.difference(&plain.0, Tolerance::ENGINES) {
                return Err(format!("query {number}: {difference}").into());
            }
            best = [best[0].min(volley.1), best[1].min(plain.1)];
        }
        report(&format!("{number:5}"), best);
        total = [total[0] + best[0], total[1] + best[1]];
    }
    report("total", total);
    Ok(())
}

fn report(what: &str, [volley, plain]: [Duration; 2]) {
    let [volley, plain] = [volley, plain].map(|time| time.as_secs_f64() * 1e3);
    println!("{what} | {volley:9.1} | {plain:19.1} | {:5.2}", volley / plain);
}
