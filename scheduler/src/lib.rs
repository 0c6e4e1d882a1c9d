//! Where queries run.
//!
//! | module | what it holds |
//! |---|---|
//! | [`engine`] | [`Engine`]: opens a data directory and executes statements; what every door and shell talks to |
//! | [`request`] | what goes in and what comes out: [`QueryRequest`], [`QueryResult`] |
//! | [`session`] | [`Session`]: settings and prepared statements of one client |
//! | [`error`] | [`Error`]: one sentence, one kind |
//! | [`users`] | [`Identity`]: who a session belongs to; passwords |
//! | [`progress`] | how far a statement is that takes long |
//! | [`memory`] | the memory ledger |
//! | [`runtimes`] | the CPU and the I/O runtime |
//! | [`cluster`] | several processes over one store that answer as one |
//!
//! One file per family of statements stands in `statements/`; `plan_cache` keeps what is asked again and again planned;
//! `queries` knows the statements that are being executed; `allowed_paths` is where on the machine they may read and write files;
//! `indexing` builds indexes, for statements and in the background; `drive` runs a physical plan with cancellation, which
//! `interrupt` makes leaves and joins notice.

pub mod cluster;
pub mod engine;
pub mod error;
pub mod memory;
pub mod progress;
pub mod request;
pub mod runtimes;
pub mod session;
pub mod users;

mod allowed_paths;
mod drive;
mod indexing;
mod interrupt;
mod plan_cache;
mod queries;
mod statements;

pub use engine::{DataLocation, Engine, EngineConfig};
pub use error::{Error, Result};
pub use progress::{Progress, Progressed};
pub use request::{CancellationToken, Described, Parameters, QueryId, QueryRequest, QueryResult, ResultKind};
pub use session::Session;
pub use statements::{Ingest, IngestMode, OpenQuery, Opened};
pub use users::Identity;
pub use volley_planner::sql::{redacted, split_statements};
pub use volley_storage::remote::{RemoteUrl, StoreOptions};
