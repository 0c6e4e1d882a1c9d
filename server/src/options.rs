//! The options of a server: one name for the flag (`--queue-timeout`), the environment (`VOLLEY_QUEUE_TIMEOUT`) and the file
//! (`queue_timeout`).
//!
//! [`Options`] holds what somebody said, and nothing where nobody did. [`crate::config`] lays the three sources over each
//! other, fills in the defaults and checks what comes out.

pub mod values;

use std::path::PathBuf;

use values::{Addresses, Directories, LogFormat, LogLevel, Memory, Period, Size, Threads, Value};

/// What the names of environment variables begin with.
pub(crate) const PREFIX: &str = "VOLLEY_";

/// What is said in a source: text, or a list that the file may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    Text(&'a str),
    List(Vec<&'a str>),
}

impl Given<'_> {
    fn read<T: Value>(&self) -> Result<T, String> {
        match self {
            Given::Text(text) => values::parse(text),
            Given::List(items) => T::from_list(items).ok_or_else(|| format!("a list of {items:?} is not {}", T::FORM)),
        }
    }
}

/// The table of options: `common` ones are flags of the program itself, which a caller fills in.
macro_rules! options {
    (
        common { $($(#[doc = $common_doc:literal])* $common:ident: $common_type:ty,)* }
        server { $($(#[doc = $doc:literal])* $(#[arg($($arg:tt)*)])* $name:ident: $type:ty = $form:literal,)* }
        cluster { $($(#[doc = $node_doc:literal])* $node:ident: $node_type:ty = $node_form:literal,)* }
    ) => {
        /// What was said about each option, from one source or several; `None` where nothing was.
        #[derive(Debug, Clone, Default, PartialEq, clap::Args)]
        pub struct Options {
            $($(#[doc = $common_doc])* #[arg(skip)] pub $common: Option<$common_type>,)*
            $(
                $(#[doc = $doc])*
                #[arg(long, value_name = $form, value_parser = values::parse::<$type>, help_heading = "Server options")]
                $(#[arg($($arg)*)])*
                pub $name: Option<$type>,
            )*
            $(
                $(#[doc = $node_doc])*
                #[arg(long, value_name = $node_form, value_parser = values::parse::<$node_type>)]
                #[arg(help_heading = "Cluster options, for coordinator and executor")]
                pub $node: Option<$node_type>,
            )*
        }

        impl Options {
            /// The name of each option.
            pub const NAMES: &'static [&'static str] =
                &[$(stringify!($common),)* $(stringify!($name),)* $(stringify!($node),)*];

            /// Sets an option by its name. `None`: there is no such option; the error says what its values look like.
            pub(crate) fn set(&mut self, name: &str, given: &Given<'_>) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($common) => Some(given.read().map(|value| self.$common = Some(value))),)*
                    $(stringify!($name) => Some(given.read().map(|value| self.$name = Some(value))),)*
                    $(stringify!($node) => Some(given.read().map(|value| self.$node = Some(value))),)*
                    _ => None,
                }
            }

            /// These, and the others' where nothing was said.
            pub fn or(self, other: Options) -> Options {
                Options {
                    $($common: self.$common.or(other.$common),)*
                    $($name: self.$name.or(other.$name),)*
                    $($node: self.$node.or(other.$node),)*
                }
            }

            /// Each option with its value as the file would have it.
            pub fn entries(&self) -> Vec<(&'static str, Option<String>)> {
                vec![
                    $((stringify!($common), self.$common.as_ref().map(Value::to_toml)),)*
                    $((stringify!($name), self.$name.as_ref().map(Value::to_toml)),)*
                    $((stringify!($node), self.$node.as_ref().map(Value::to_toml)),)*
                ]
            }
        }
    };
}

options! {
    common {
        /// The data directory, or memory://.
        data: String,
        /// Memory for queries and caches.
        memory_limit: Memory,
        /// Threads that compute.
        threads: Threads,
        /// Where copies of an object store's files are kept on this machine.
        cache_dir: PathBuf,
        /// How much of them.
        cache_size: Size,
    }
    server {
        /// Where Flight SQL is served [default: 127.0.0.1:32010]
        flight: String = "ADDR",
        /// Where health and metrics are served, over HTTP [default: 127.0.0.1:8080]
        http: String = "ADDR",
        /// Let other machines in although there are no users or no TLS
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        allow_insecure: bool = "BOOL",
        /// The certificate chain of the Flight SQL port, PEM; read again when it changes
        tls_certificate: PathBuf = "FILE",
        /// The certificate's private key, PEM
        tls_key: PathBuf = "FILE",
        /// Certificates of authorities, PEM: clients must show a certificate that one of them signed
        tls_client_ca: PathBuf = "FILE",
        /// Directories of the server that COPY and CREATE EXTERNAL TABLE may name, separated by colons [default: none]
        allowed_paths: Directories = "DIRS",
        /// The longest message that a client may send [default: 64MB]
        max_message_size: Size = "SIZE",
        /// The most rows of one result; a query with more fails [default: 0, no limit]
        max_result_rows: u64 = "N",
        /// The most bytes of one result; a query with more fails [default: 0, no limit]
        max_result_size: Size = "SIZE",
        /// Statements that run at the same time; others wait [default: 4 for each thread, and 8 at least]
        max_concurrent_queries: u64 = "N",
        /// Statements that wait; others are refused [default: 4 for each that runs]
        max_queued_queries: u64 = "N",
        /// How long a statement waits before it is refused [default: 10s]
        queue_timeout: Period = "TIME",
        /// The longest that any statement may take [default: 0, no limit]
        statement_timeout: Period = "TIME",
        /// How long a session is kept that nobody uses [default: 30min]
        session_idle_timeout: Period = "TIME",
        /// How long a login holds [default: 12h]
        token_lifetime: Period = "TIME",
        /// How long a result can be fetched [default: 10min]
        ticket_lifetime: Period = "TIME",
        /// Flight SQL connections at the same time; further ones are closed [default: 10000]
        max_connections: u64 = "N",
        /// How long running statements may take to end when the server stops; then they are cancelled [default: 30s]
        shutdown_timeout: Period = "TIME",
        /// Statements that take longer are logged; 0 logs none [default: 1s]
        slow_query: Period = "TIME",
        /// How log lines are written: human or json [default: human]
        log_format: LogFormat = "FORMAT",
        /// Which log lines are written: error, warn, info, debug or trace [default: info]
        log_level: LogLevel = "LEVEL",
        /// Key material for logins and results, so that they outlive a restart [default: a new key each start]
        secret_file: PathBuf = "FILE",
    }
    cluster {
        /// Where other nodes are listened to [default: coordinator 127.0.0.1:32012, executor 127.0.0.1:32011]
        cluster_listen: String = "ADDR",
        /// Where other nodes find this one, if that is not the address that it listens on
        cluster_advertise: String = "HOST[:PORT]",
        /// A file of 32 random bytes or more, the same on every node; nobody without it is listened to
        cluster_secret_file: PathBuf = "FILE",
        /// This node's certificate chain, PEM: calls between nodes are encrypted, and both sides show one
        cluster_tls_certificate: PathBuf = "FILE",
        /// The certificate's private key, PEM
        cluster_tls_key: PathBuf = "FILE",
        /// The authority that signed the certificates of all nodes, PEM
        cluster_tls_ca: PathBuf = "FILE",
        /// Where the coordinators listen to executors, separated by commas [default: 127.0.0.1:32012]
        coordinators: Addresses = "ADDRS",
        /// Executors that have each shard at hand [default: 2]
        replicas: u64 = "N",
        /// The node's name; an executor that is started again under its name gets its shards back [default: machine:port]
        name: String = "NAME",
        /// An executor's share of the shards, relative to others [default: 100]
        weight: u64 = "N",
    }
}
