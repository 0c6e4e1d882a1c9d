//! What the foundation promises, measured: real data, TPC-H, kills, two writers, memory limits, cancellation.
//!
//! Each runs in a short form. Longer forms are chosen with environment variables:
//!
//! | variable | meaning | short form |
//! |---|---|---|
//! | `VOLLEY_TEST_DATA` | where WordNet, Fashion-MNIST and GloVe lie | `../shared/data` beside the project |
//! | `VOLLEY_VECTOR_QUERIES` | queries per ground truth, up to 1000 | 40 |
//! | `VOLLEY_RECALL` | recall of every data set and demand, by 1,000 queries | WordNet, 60 queries |
//! | `VOLLEY_TPCH_SF` | TPC-H's scale factor; 1 also compares with the published answers and limits the time | 0.1 |
//! | `VOLLEY_TPCH_DIR` | keep the generated files and answers there | a temporary directory |
//! | `VOLLEY_KILLS` | how often the program is killed | 20 |
//! | `VOLLEY_MINIO` | MinIO's program, for the tests over S3; without it they are skipped | `minio` on the PATH |
//! | `VOLLEY_STORE_COMMITS` | keys that two engines fight for over S3, with faults on the way | 40 |
//! | `VOLLEY_STORE_KILLS` | how often the program is killed over S3 | 8 |
//! | `VOLLEY_BIN` | the program to kill | `volley` beside the test's own directory |

mod cancel;
mod engine;
mod indexes;
mod kept_inserts;
mod kept_plans;
mod kills;
mod memory;
mod program;
mod recall;
mod repeated;
mod stores;
mod tpch;
mod vectors;
mod writers;

/// The value of an environment variable, or the short form's.
fn setting<T: std::str::FromStr>(name: &str, short: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a value")),
        Err(_) => short,
    }
}
