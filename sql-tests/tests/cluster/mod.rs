//! A coordinator and three executors as processes: what they write and build together, and what becomes of it when one of
//! them is killed, hangs, or comes back.
//!
//! | variable | meaning | short form |
//! |---|---|---|
//! | `VOLLEY_CHAOS_SECONDS` | how long executors are killed under load | 30 |
//! | `VOLLEY_CHAOS_EVERY` | seconds from one blow to the next | 6; 45 where it lasts for 5 minutes or longer |
//! | `VOLLEY_COORDINATOR_KILLS` | how often the coordinator is killed while it writes | 5 |
//! | `VOLLEY_BIN` | the program | `volley` beside the test's own directory |
//!
//! The long form: `VOLLEY_CHAOS_SECONDS=600 VOLLEY_COORDINATOR_KILLS=200 cargo test --release --workspace --test main cluster`.

mod chaos;
mod coordinator;
mod credentials;
mod membership;
mod writes;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use volley_sql_tests::cluster::{Cluster, ClusterOptions};
use volley_sql_tests::topology::{Answer, Connection, Refusal};

/// The value of an environment variable, or the short form's.
fn setting(name: &str, short: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => short,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A cluster below a directory that goes with it.
async fn cluster(directory: &tempfile::TempDir) -> Cluster {
    let mut options = ClusterOptions::below(directory.path());
    options.arguments = ["--threads", "2", "--log-level", "info"].map(str::to_owned).to_vec();
    Cluster::start(&options).await.unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Runs statements that have to succeed; the last one's answer.
async fn run(client: &mut Box<dyn Connection>, statements: &[&str]) -> Answer {
    let mut last = None;
    for sql in statements {
        last = Some(client.run(sql).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal}")));
    }
    last.expect("a statement")
}

/// The rows of an answer whose columns are whole numbers.
fn numbers(batches: &[RecordBatch]) -> Vec<Vec<i64>> {
    let Some(first) = batches.first() else { return Vec::new() };
    let all = concat_batches(&first.schema(), batches).expect("one schema");
    let columns: Vec<_> = all.columns().iter().map(|column| cast(column, &DataType::Int64).expect("numbers")).collect();
    let row = |at: usize| columns.iter().map(|column| column.as_primitive::<Int64Type>().value(at)).collect();
    (0..all.num_rows()).map(row).collect()
}

/// The rows of a query that has to succeed.
async fn rows(client: &mut Box<dyn Connection>, sql: &str) -> Vec<Vec<i64>> {
    numbers(&run(client, &[sql]).await.batches)
}

/// Whether an error says that the same statement may succeed later.
fn is_retryable(refusal: &Refusal) -> bool {
    // A store or node that failed, a conflict, no memory or disk, a deadline.
    ["58030", "40001", "40003", "53200", "53100", "53300", "57014"].contains(&refusal.sqlstate)
}
