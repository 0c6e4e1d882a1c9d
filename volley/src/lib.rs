//! Volley is a SQL engine in which vector search is a feature of the planner: `ORDER BY embedding <=> $1 LIMIT 10` is
//! planned, filtered and joined like everything else. This crate is the library; the `volley` program is a shell around it.
//!
//! An [`Engine`] opens a data directory (or memory), a [`Session`] holds one client's settings, and
//! [`Engine::execute`] runs one statement, whose answer streams as Arrow record batches. Any number of engines, in one
//! process or several, may have the same directory open.
//!
//! ```
//! use volley::{DataLocation, Engine, EngineConfig, QueryRequest};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let engine = Engine::open(EngineConfig::new(DataLocation::Memory)).await?;
//! let session = engine.session();
//! for sql in [
//!     "CREATE TABLE docs (id BIGINT PRIMARY KEY, body TEXT, embedding vector(3))",
//!     "INSERT INTO docs VALUES (1, 'north', '[0, 1, 0]'), (2, 'east', '[1, 0, 0]'), (3, 'north-east', '[1, 1, 0]')",
//! ] {
//!     engine.execute(QueryRequest::new(sql, &session)).await?;
//! }
//! let nearest = "SELECT body FROM docs ORDER BY embedding <=> '[0.1, 1, 0]' LIMIT 2";
//! let batches = engine.execute(QueryRequest::new(nearest, &session)).await?.collect().await?;
//! let shown = arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
//! assert!(shown.find("north ").unwrap() < shown.find("north-east").unwrap());
//! engine.close().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # What an error says
//! Every [`Error`] is one sentence and belongs to one [`ErrorKind`], which has an SQLSTATE and says whether running the
//! same statement again can help.
//!
//! # Cancelling
//! [`QueryRequest::cancel`](volley_scheduler::QueryRequest) is a [`CancellationToken`]; work stops within 100 ms of its
//! `cancel()`, or when the result's stream is dropped. A request may also carry a deadline.

pub use volley_scheduler::{
    CancellationToken, DataLocation, Engine, EngineConfig, Error, Identity, Parameters, Progress, Progressed, QueryId,
    QueryRequest, QueryResult, RemoteUrl, Result, ResultKind, Session, StoreOptions, redacted, split_statements,
};
pub use volley_storage::error::{ErrorKind, GrpcCode};
pub use volley_storage::verify::{Finding, VerifyReport};
