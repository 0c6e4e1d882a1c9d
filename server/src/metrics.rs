//! What a server counts, as OpenMetrics text for Prometheus.
//!
//! [`Metrics`] counts what passes the doors; [`engine`] asks the engine for the rest when somebody looks. There are no
//! globals: two servers in one process count apart.

pub mod engine;
mod labels;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use labels::{KindLabel, LoginLabel, QueryLabels};
pub use labels::{Outcome, QueryKind};

/// What every name begins with.
pub(crate) const PREFIX: &str = "volley";

/// Bounds of the duration histogram, in seconds: a vector search takes a millisecond or less, a report minutes.
const DURATIONS: [f64; 18] =
    [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What a server counts. Cheap to clone; all clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    registry: Registry,
    queries: Family<QueryLabels, Counter>,
    durations: Family<KindLabel, Histogram>,
    rows_returned: Counter,
    bytes_sent: Counter,
    rows_ingested: Counter,
    bytes_ingested: Counter,
    logins: Family<LoginLabel, Counter>,
    connections_refused: Counter,
    running: Gauge,
    queued: Gauge,
    connections: Gauge,
    sessions: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        let started: Gauge = Gauge::default();
        // A clock before 1970 is as good as none.
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs() as i64));
        registry.register_with_unit("start_time", "When the server started, since 1970", Unit::Seconds, started);
        let mut counted = Counted {
            queries: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            rows_returned: Counter::default(),
            bytes_sent: Counter::default(),
            rows_ingested: Counter::default(),
            bytes_ingested: Counter::default(),
            logins: Family::default(),
            connections_refused: Counter::default(),
            running: Gauge::default(),
            queued: Gauge::default(),
            connections: Gauge::default(),
            sessions: Gauge::default(),
            registry,
        };
        counted.register();
        Self(Arc::new(counted))
    }

    /// A statement begins. It counts as running until the guard is dropped; without [`RunningQuery::finish`] it ends as
    /// cancelled, because then its client has gone.
    pub fn query_started(&self, kind: QueryKind) -> RunningQuery {
        RunningQuery {
            metrics: self.clone(),
            kind,
            started: Instant::now(),
            _running: held(&self.0.running),
            done: false,
        }
    }

    /// A statement has ended after this long with so many rows returned.
    pub fn query_finished(&self, kind: QueryKind, outcome: Outcome, elapsed: Duration, rows: u64) {
        self.0.queries.get_or_create(&QueryLabels::new(kind, outcome)).inc();
        self.0.durations.get_or_create(&KindLabel { kind }).observe(elapsed.as_secs_f64());
        self.0.rows_returned.inc_by(rows);
    }

    /// Bytes of results were sent.
    pub fn bytes_sent(&self, bytes: u64) {
        self.0.bytes_sent.inc_by(bytes);
    }

    /// Rows came in as Arrow and were committed.
    pub fn ingested(&self, rows: u64, bytes: u64) {
        self.0.rows_ingested.inc_by(rows);
        self.0.bytes_ingested.inc_by(bytes);
    }

    /// Somebody logged in, or failed to.
    pub fn login(&self, succeeded: bool) {
        self.0.logins.get_or_create(&LoginLabel::new(succeeded)).inc();
    }

    /// A connection was closed at once because there are too many.
    pub fn connection_refused(&self) {
        self.0.connections_refused.inc();
    }

    /// A connection is open as long as this is held.
    pub fn connection(&self) -> Held {
        held(&self.0.connections)
    }

    /// A session exists as long as this is held.
    pub fn session(&self) -> Held {
        held(&self.0.sessions)
    }

    /// A statement waits for its turn as long as this is held.
    pub fn queued(&self) -> Held {
        held(&self.0.queued)
    }

    /// What was counted, as OpenMetrics text.
    pub fn encode(&self) -> String {
        self.encode_with("")
    }

    /// The same with more metrics, which [`engine::EngineMetrics::text`] gives.
    pub fn encode_with(&self, more: &str) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode_registry(&mut text, &self.0.registry);
        text.push_str(more);
        let _ = encode_eof(&mut text);
        text
    }
}

impl Counted {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("queries", "Statements that ended, by how", self.queries.clone());
        let help = "How long statements took, from their arrival to the last row sent";
        registry.register_with_unit("query_duration", help, Unit::Seconds, self.durations.clone());
        registry.register("rows_returned", "Rows sent to clients", self.rows_returned.clone());
        registry.register_with_unit("sent", "Bytes of results sent to clients", Unit::Bytes, self.bytes_sent.clone());
        registry.register("rows_ingested", "Rows that came in as Arrow and were committed", self.rows_ingested.clone());
        let help = "Bytes of the rows that came in as Arrow and were committed";
        registry.register_with_unit("ingested", help, Unit::Bytes, self.bytes_ingested.clone());
        registry.register("logins", "Logins, by whether they succeeded", self.logins.clone());
        let help = "Connections closed at once because max_connections were open";
        registry.register("connections_refused", help, self.connections_refused.clone());
        registry.register("queries_running", "Statements that run", self.running.clone());
        registry.register("queries_queued", "Statements that wait for their turn", self.queued.clone());
        registry.register("connections", "Open connections of Flight SQL", self.connections.clone());
        registry.register("sessions", "Sessions", self.sessions.clone());
    }
}

/// One more in a gauge, as long as it is held.
#[derive(Debug)]
pub struct Held(Gauge);

fn held(gauge: &Gauge) -> Held {
    gauge.inc();
    Held(gauge.clone())
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A statement that runs.
#[derive(Debug)]
pub struct RunningQuery {
    metrics: Metrics,
    kind: QueryKind,
    started: Instant,
    _running: Held,
    done: bool,
}

impl RunningQuery {
    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// It has turned out to be of another kind than it seemed.
    pub fn is(&mut self, kind: QueryKind) {
        self.kind = kind;
    }

    /// It has ended with so many rows returned.
    pub fn finish(mut self, outcome: Outcome, rows: u64) {
        self.done = true;
        self.metrics.query_finished(self.kind, outcome, self.started.elapsed(), rows);
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        if !self.done {
            self.metrics.query_finished(self.kind, Outcome::Cancelled, self.started.elapsed(), 0);
        }
    }
}

#[cfg(test)]
mod tests;
