//! Plan nodes over segments: the vector type and its functions, the segment scan, shard search, and their codec.
//!
//! Everything that a worker needs to decode and run a plan is here and not in the planner.
//!
//! | module | what it holds |
//! |---|---|
//! | [`types`] | `vector(n)`: its Arrow form, its text form, how other values become vectors |
//! | [`functions`] | SQL functions, aggregates, operators and cast rewrites |
//! | [`segment_set`] | the segments of one table version, as scans and searches see them |
//! | [`segment_source`] | scanning them: a `FileSource` inside DataFusion's stock scan |
//! | [`maintenance`] | jobs on segments: building and measuring indexes |
//! | [`search`] | searching shards for the nearest vectors |
//! | [`vector_topk`] | the operator that searches |
//! | [`fetch_rows`] | the operator that reads the winners' columns |
//! | [`hot_columns`] | columns of segments, decoded once and kept |
//! | [`kept`] | caches whose bytes the memory ledger knows |
//! | [`codec`] | plan nodes as bytes |
//! | [`interrupt`] | how work that does not yield learns that its query was stopped |
//! | [`error`] | this crate's error enum and its way through DataFusion |

pub mod codec;
pub mod error;
pub mod fetch_rows;
pub mod functions;
pub mod hot_columns;
pub mod interrupt;
pub mod kept;
pub mod maintenance;
pub mod search;
pub mod segment_set;
pub mod segment_source;
pub mod types;
pub mod vector_topk;

pub use error::{Error, Result};
