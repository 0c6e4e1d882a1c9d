//! What the benchmarks of Volley share.
//!
//! | target | what it measures |
//! |---|---|
//! | `cargo run --release -p volley-benches --example exact_scan [FILE.parquet …]` | exact scans as a share of memory bandwidth |
//! | `cargo run --release -p volley-benches --example bare_index DIRECTORY wordnet` | the index without SQL |
//! | `cargo run --release -p volley-benches --example ann DIRECTORY wordnet` | approximate search through SQL: recall, filters |
//! | `… --example ann DIRECTORY all filters` | the way chosen for each filter beside those that can be forced |
//! | `… --example ann DIRECTORY wordnet-bucket literals` | the first search under a literal, and the ones after it |
//! | `cargo run --release -p volley-benches --example door VOLLEY DIRECTORY …` | the Flight SQL door: latency and processor time |
//! | `cargo bench -p volley-benches --bench sql_scan [-- FILE.parquet …]` | the same through SQL: COPY, then `ORDER BY distance LIMIT 10` |
//! | `cargo bench -p volley-benches --bench kernels` | the distance kernels, from the cache |
//! | `cargo bench -p volley-benches --bench search` | building, walking, the same through SQL, planned and by template, under filters |
//! | `cargo bench -p volley-benches --bench ingest` | COPY against the disk, inserts of many sessions against one |
//! | `cargo bench -p volley-benches --bench analytics [-- SCALE]` | TPC-H on Volley tables against plain DataFusion over Parquet |
//! | `cargo bench -p volley-benches --bench hits [-- ROWS]` | the same over a wide table of page views, in the style of ClickBench |

pub mod aligned;
pub mod bandwidth;
pub mod vectors;
