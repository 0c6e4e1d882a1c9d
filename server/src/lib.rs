//! The front doors: Flight SQL and HTTP. They know nothing of the engine but `Engine`; a cluster stands behind the same doors.
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | [`Server`]: the doors opened, and closed again |
//! | [`config`] | the configuration: flags, environment and file laid over each other |
//! | [`options`] | the options, one name each for flag, environment and file |
//! | [`http`] | health and metrics |
//! | [`metrics`] | what is counted |
//! | [`tls`] | certificates, and the connections of the Flight SQL port |
//! | [`logging`] | log lines |
//!
//! Inside, `flight` is the Flight SQL door, `sessions` keeps settings and prepared statements of clients, `results` what waits to
//! be fetched, `admission` says how many statements run, `sealed` makes tokens and tickets that nobody can forge, and `work` is
//! one statement as the server counts and logs it; `workers` are the threads of the Flight SQL port,
//! `watch` looks after clients that stall.

pub mod config;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod options;
pub mod server;
pub mod tls;

mod admission;
mod flight;
mod results;
mod sealed;
mod sessions;
mod watch;
mod work;
mod workers;

pub use server::{Server, ServerError};
