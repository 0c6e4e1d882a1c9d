//! Bytes at rest: the commit log, snapshots, segments, sidecars, deletion vectors and primary keys of Volley's tables.
//!
//! Everything lives on an object store, which with conditional create is the only source of truth. This crate knows
//! Arrow, Parquet and object_store; it knows neither SQL nor DataFusion. Time, randomness and the store are injected
//! through [`Env`], so that every protocol here can be driven by a simulation.
//!
//! | module | what it holds |
//! |---|---|
//! | [`error`] | error kinds with their SQLSTATE and gRPC code; this crate's error enum |
//! | [`ids`] | newtypes of every identifier |
//! | [`schema`] | a table's schema: field ids, primary key, defaults |
//! | [`segment`] | what a commit says about a segment: its data, statistics, sidecars, deletes |
//! | [`index_definition`] | what an index is, and which sidecars belong to it |
//! | [`snapshot`] | the table after commit *n* |
//! | [`store`] | [`store::TableStore`]: open a snapshot, stage a segment, commit |
//! | [`database`] | [`Database`]: the tables of one data directory |
//! | [`catalog`] | the names of tables, views and schemas |
//! | `log` | one log of commits: record format, hash chain, head discovery, the commit protocol, checkpoints |
//! | `table` | what a table's log says: its actions, their encoding, the state they build |
//! | `fold`, `compact`, `rewrite` | inline rows into Parquet, small segments into larger ones |
//! | [`gc`] | old versions, orphaned files and dropped tables are deleted |
//! | [`segment_writer`] | rows become Parquet segments with sidecars |
//! | [`vectors`] | the `.f32` sidecar: raw vectors at a fixed stride |
//! | [`drafts`] | what one process wrote for another to commit, as bytes |
//! | [`primary_key`] | key hashes, the `.vpk` sidecar and the probe for duplicates |
//! | [`deletion`] | the `.vdv` file: which rows of a segment are deleted |
//! | [`files`] | verified bytes of immutable files, mapped or in memory |
//! | [`verify`] | checks of everything at rest, file by file |
//! | [`env`] | the injected clock, randomness and object store |
//! | [`clocks`] | the system's clock and randomness |
//! | [`environments`] | the environment of a local directory and of one in memory |
//! | [`remote`] | the environment of a directory in an object store behind a network |
//! | [`cache`] | copies of such a store's files on this machine's disk |
//! | `local_store` | a durable object store over a local directory |
//! | `disk` | the file system operations below it, real and simulated |
//! | `planted`, `sim` | bugs on purpose, and the simulation that has to find them (tests only) |

pub mod cache;
pub mod catalog;
pub mod clocks;
mod compact;
pub mod database;
pub mod deletion;
pub mod disk;
pub mod drafts;
pub mod env;
pub mod environments;
pub mod error;
pub mod files;
#[cfg(test)]
mod fixtures;
mod fold;
pub mod gc;
pub mod ids;
pub mod index_definition;
pub mod local_store;
mod log;
mod planted;
#[cfg(test)]
mod power_cuts;
pub mod primary_key;
pub mod remote;
mod rewrite;
pub mod schema;
pub mod segment;
pub mod segment_writer;
#[cfg(test)]
mod sim;
pub mod snapshot;
pub mod store;
mod table;
pub mod vectors;
pub mod verify;

pub use database::Database;
pub use env::Env;
pub use environments::{local_env, memory_env};
pub use error::{Error, ErrorKind, Result};
pub use remote::remote_env;
