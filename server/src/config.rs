//! The configuration of a server: three sources laid over each other, defaults filled in, everything checked.

mod cluster;
mod error;
mod layers;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::options::Options;
use crate::options::values::{Addresses, Directories, LogFormat, LogLevel, Period, Size, Value};

use cluster::COORDINATOR_PORT;
pub use cluster::{ClusterConfig, ClusterTlsConfig};
pub use error::ConfigError;
pub use layers::{KNOWN_VARIABLES, Layers};

/// The least number of statements that run at the same time unless told otherwise: on few cores, short searches should
/// not wait for a long one.
const CONCURRENT_MIN: u64 = 8;
/// Places in the queue for each slot unless told otherwise: who waits behind more of them waits longer than is useful.
const QUEUED_PER_SLOT: u64 = 4;
/// Shorter key material could be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// The certificates of the Flight SQL port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities of client certificates, PEM; every client must have one.
    pub client_ca: Option<PathBuf>,
}

/// A server's configuration, complete and checked. `None` and empty lists mean what each field says.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The data directory, the URL of an object store, or `memory://`.
    pub data: String,
    /// Bytes for queries and caches; the engine chooses when `None`.
    pub memory_limit: Option<usize>,
    /// Threads that compute; one per processor when `None`.
    pub threads: Option<usize>,
    /// Where copies of an object store's files are kept on this machine; the user's cache directory when `None`.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of such copies at most; the engine chooses when `None`.
    pub cache_size: Option<u64>,
    /// Where Flight SQL is served.
    pub flight: SocketAddr,
    /// Where health and metrics are served.
    pub http: SocketAddr,
    /// Whether other machines are let in without users or without TLS.
    pub allow_insecure: bool,
    /// TLS of the Flight SQL port; plain text when `None`.
    pub tls: Option<TlsConfig>,
    /// Directories that statements may name; nothing outside them.
    pub allowed_paths: Vec<PathBuf>,
    /// The longest message that a client may send, in bytes.
    pub max_message_size: usize,
    /// The most rows of one result.
    pub max_result_rows: Option<u64>,
    /// The most bytes of one result.
    pub max_result_size: Option<usize>,
    /// Statements that run at the same time.
    pub max_concurrent_queries: usize,
    /// Statements that wait for their turn.
    pub max_queued_queries: usize,
    /// How long a statement waits for its turn.
    pub queue_timeout: Duration,
    /// The longest that any statement may take.
    pub statement_timeout: Option<Duration>,
    /// How long a session is kept that nobody uses.
    pub session_idle_timeout: Duration,
    /// How long a login holds.
    pub token_lifetime: Duration,
    /// How long a result can be fetched.
    pub ticket_lifetime: Duration,
    /// Flight SQL connections at the same time.
    pub max_connections: usize,
    /// How long running statements may take to end when the server stops.
    pub shutdown_timeout: Duration,
    /// Statements that take longer are logged.
    pub slow_query: Option<Duration>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written.
    pub log_level: LogLevel,
    /// Key material for logins and results; see [`ServerConfig::secret`].
    pub secret_file: Option<PathBuf>,
    /// The part of a node in a cluster; for coordinators and executors.
    pub cluster: ClusterConfig,
}

impl Options {
    /// The same with a default for each option that nobody set and that has one.
    pub(crate) fn with_defaults(self) -> Options {
        let time = |seconds| Some(Period(Duration::from_secs(seconds)));
        let threads = self.threads.map_or_else(processors, |threads| threads.0 as u64);
        let slots = self.max_concurrent_queries.unwrap_or((4 * threads).max(CONCURRENT_MIN));
        self.or(Options {
            data: Some("./volley-data".to_owned()),
            flight: Some("127.0.0.1:32010".to_owned()),
            http: Some("127.0.0.1:8080".to_owned()),
            allow_insecure: Some(false),
            allowed_paths: Some(Directories::default()),
            max_message_size: Some(Size(64 << 20)),
            max_result_rows: Some(0),
            max_result_size: Some(Size(0)),
            max_concurrent_queries: Some(slots),
            max_queued_queries: Some(slots.saturating_mul(QUEUED_PER_SLOT)),
            queue_timeout: time(10),
            statement_timeout: time(0),
            session_idle_timeout: time(30 * 60),
            token_lifetime: time(12 * 3600),
            ticket_lifetime: time(10 * 60),
            max_connections: Some(10_000),
            shutdown_timeout: time(30),
            slow_query: time(1),
            log_format: Some(LogFormat::Human),
            log_level: Some(LogLevel::Info),
            coordinators: Some(Addresses(vec![format!("127.0.0.1:{COORDINATOR_PORT}")])),
            replicas: Some(2),
            weight: Some(100),
            ..Options::default()
        })
    }

    /// The configuration that these options make, with defaults where they say nothing. Reads no environment and no file;
    /// [`Layers`] does.
    pub fn resolve(self) -> Result<ServerConfig, ConfigError> {
        let all = self.with_defaults();
        Ok(ServerConfig {
            tls: tls(&all)?,
            memory_limit: all.memory_limit.map(|memory| memory.0),
            threads: all.threads.map(|threads| threads.0),
            cache_dir: all.cache_dir,
            cache_size: all.cache_size.map(|size| size.0 as u64),
            data: set("data", all.data)?,
            flight: address("flight", &set("flight", all.flight)?)?,
            http: address("http", &set("http", all.http)?)?,
            allow_insecure: set("allow_insecure", all.allow_insecure)?,
            allowed_paths: set("allowed_paths", all.allowed_paths)?.0,
            // Below that, not even long statements pass; above, gRPC has no length.
            max_message_size: within("max_message_size", all.max_message_size, |size| {
                (1 << 20..=u32::MAX as usize).contains(&size.0)
            })?
            .0,
            max_result_rows: set("max_result_rows", all.max_result_rows).map(|rows| (rows > 0).then_some(rows))?,
            max_result_size: set("max_result_size", all.max_result_size).map(|size| (size.0 > 0).then_some(size.0))?,
            max_concurrent_queries: count("max_concurrent_queries", all.max_concurrent_queries, 1)?,
            max_queued_queries: count("max_queued_queries", all.max_queued_queries, 0)?,
            queue_timeout: set("queue_timeout", all.queue_timeout)?.0,
            statement_timeout: optional("statement_timeout", all.statement_timeout)?,
            session_idle_timeout: lifetime("session_idle_timeout", all.session_idle_timeout)?,
            token_lifetime: lifetime("token_lifetime", all.token_lifetime)?,
            ticket_lifetime: lifetime("ticket_lifetime", all.ticket_lifetime)?,
            max_connections: count("max_connections", all.max_connections, 1)?,
            shutdown_timeout: set("shutdown_timeout", all.shutdown_timeout)?.0,
            slow_query: optional("slow_query", all.slow_query)?,
            log_format: set("log_format", all.log_format)?,
            log_level: set("log_level", all.log_level)?,
            secret_file: all.secret_file,
            cluster: ClusterConfig {
                listen: all.cluster_listen.map(|text| address("cluster_listen", &text)).transpose()?,
                advertise: all.cluster_advertise,
                secret_file: all.cluster_secret_file,
                tls: cluster::tls(all.cluster_tls_certificate, all.cluster_tls_key, all.cluster_tls_ca)?,
                coordinators: set("coordinators", all.coordinators)?.0,
                replicas: within("replicas", all.replicas, |replicas| (1..=16).contains(replicas))? as usize,
                name: all.name,
                weight: within("weight", all.weight, |weight| (1..=10_000).contains(weight))? as u32,
            },
        })
    }
}

impl ServerConfig {
    /// Refuses to let other machines in without users and TLS, unless the configuration says so in so many words. HTTP
    /// has nothing but health and metrics, so its address is the administrator's business.
    pub fn check_exposure(&self, has_users: bool) -> Result<(), ConfigError> {
        let guarded = has_users && self.tls.is_some();
        if guarded || self.allow_insecure || is_loopback(self.flight.ip()) {
            return Ok(());
        }
        let missing = match (has_users, self.tls.is_some()) {
            (false, false) => "there are no users and no TLS: run CREATE USER, set tls_certificate and tls_key",
            (false, true) => "there are no users: run CREATE USER",
            _ => "there is no TLS: set tls_certificate and tls_key",
        };
        Err(ConfigError::Exposed { address: self.flight, missing })
    }

    /// The key material of `secret_file`, if there is one.
    pub fn secret(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(path) = &self.secret_file else { return Ok(None) };
        read_secret(path, SECRET_BYTES_MIN).map(Some)
    }
}

/// The key material of a file.
fn read_secret(path: &Path, least: usize) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut secret = std::fs::read(path).map_err(unreadable)?;
    // An editor's last line break is no part of it.
    secret.truncate(secret.trim_ascii_end().len());
    if secret.len() < least {
        return Err(ConfigError::ShortSecret { path: path.to_owned(), bytes: secret.len(), least });
    }
    Ok(secret)
}

/// Whether only this machine can reach the address. An IPv4 address may be written as an IPv6 one.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64)
}

fn tls(all: &Options) -> Result<Option<TlsConfig>, ConfigError> {
    let client_ca = all.tls_client_ca.clone();
    match (all.tls_certificate.clone(), all.tls_key.clone()) {
        (Some(certificate), Some(key)) => Ok(Some(TlsConfig { certificate, key, client_ca })),
        (None, None) if client_ca.is_none() => Ok(None),
        (None, _) => Err(ConfigError::Missing { name: "tls_certificate", because: "TLS needs it" }),
        (_, None) => Err(ConfigError::Missing { name: "tls_key", because: "the certificate needs it" }),
    }
}

fn set<T>(name: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { name, because: "it has no default" })
}

fn within<T: Value>(name: &'static str, value: Option<T>, fits: impl Fn(&T) -> bool) -> Result<T, ConfigError> {
    let value = set(name, value)?;
    match fits(&value) {
        true => Ok(value),
        false => Err(ConfigError::OutOfRange { name, value: value.to_toml() }),
    }
}

fn count(name: &'static str, value: Option<u64>, least: u64) -> Result<usize, ConfigError> {
    // Semaphores count no further than that, and no machine has so many.
    const MOST: u64 = 10_000_000;
    within(name, value, |value| (least..=MOST).contains(value)).map(|value| value as usize)
}

fn lifetime(name: &'static str, value: Option<Period>) -> Result<Duration, ConfigError> {
    within(name, value, |period| period.0 >= Duration::from_secs(1)).map(|period| period.0)
}

fn optional(name: &'static str, value: Option<Period>) -> Result<Option<Duration>, ConfigError> {
    set(name, value).map(|period| (!period.0.is_zero()).then_some(period.0))
}

/// An address with its port. A name may stand for the host; the first address that it has is taken.
fn address(name: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let wrong = |detail: String| ConfigError::Address { name, text: text.to_owned(), detail };
    let mut found = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

#[cfg(test)]
mod tests;
