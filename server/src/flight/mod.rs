//! The Flight SQL door.
//!
//! | module | what it holds |
//! |---|---|
//! | [`service`] | Flight's RPCs: each says who calls, then hands on |
//! | [`caller`] | who calls, and in which session |
//! | [`query`] | queries: planned and begun by `GetFlightInfo`, fetched by `DoGet` |
//! | [`prepared`] | prepared statements and their parameters |
//! | [`put`] | what clients stream in: changes, parameters, rows to ingest |
//! | [`outgoing`] | rows on their way to a client |
//! | [`actions`] | actions: prepare, cancel, session options |
//! | [`poll`] | statements that take long, waited for in steps |
//! | [`metadata`] | what tools ask about catalogs, tables, types and the server |
//! | [`wire`] | types as clients take them |
//! | [`messages`] | messages that the arrow-flight crate does not have |
//! | [`status`] | errors as gRPC carries them |
//!
//! The service is our own and not arrow-flight's, because that one answers some of Flight's RPCs by itself and leaves no way
//! to answer them better.

pub(crate) mod actions;
pub(crate) mod caller;
pub(crate) mod messages;
pub(crate) mod metadata;
pub(crate) mod outgoing;
pub(crate) mod poll;
pub(crate) mod prepared;
pub(crate) mod put;
pub(crate) mod query;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tonic_health::server::HealthReporter;
use volley_scheduler::{Engine, QueryId};

use crate::admission::{Admission, Admitted};
use crate::config::ServerConfig;
use crate::metrics::{Metrics, QueryKind};
use crate::results::Results;
use crate::sealed::Secret;
use crate::sessions::{ClientSession, Sessions};
use crate::watch::Watch;
use crate::work::Work;
use poll::Polls;

/// What all calls of a server share.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) engine: Arc<Engine>,
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Metrics,
    pub(crate) secret: Secret,
    pub(crate) admission: Admission,
    pub(crate) sessions: Sessions,
    pub(crate) results: Results,
    pub(crate) polls: Polls,
    /// Whether the server is about to stop: what has begun goes on, nothing else begins.
    pub(crate) draining: AtomicBool,
    /// Whether there were users when somebody last asked.
    pub(crate) wants_log_in: AtomicBool,
    /// Streams that clients read or write.
    pub(crate) watch: Watch,
    /// What gRPC's health check says.
    pub(crate) health: HealthReporter,
}

impl Door {
    pub(crate) fn new(engine: Arc<Engine>, config: ServerConfig, secret: Secret, metrics: Metrics) -> Arc<Self> {
        let (slots, queue) = (config.max_concurrent_queries, config.max_queued_queries);
        let admission = Admission::new(slots, queue, config.queue_timeout, metrics.clone());
        let sessions = Sessions::new(Arc::clone(&engine), metrics.clone(), config.session_idle_timeout);
        let (results, polls) = (Results::default(), Polls::default());
        Arc::new(Self {
            engine,
            config,
            metrics,
            secret,
            admission,
            sessions,
            results,
            polls,
            draining: AtomicBool::new(false),
            wants_log_in: AtomicBool::new(false),
            watch: Watch::default(),
            health: HealthReporter::new(),
        })
    }

    /// Begins a statement: counted, known by an id, and with a slot to run in.
    pub(crate) async fn begin(
        &self,
        kind: QueryKind,
        sql: &Arc<str>,
        session: &ClientSession,
    ) -> Result<(Work, Admitted), tonic::Status> {
        if self.draining.load(Ordering::Acquire) {
            return Err(tonic::Status::unavailable("the server is stopping; try again on another connection"));
        }
        let running = self.metrics.query_started(kind);
        let slow = self.config.slow_query;
        let work = Work::new(running, QueryId::generate(), Arc::clone(sql), session.user_name(), slow);
        match self.admission.admit().await {
            Ok(admitted) => Ok((work, admitted)),
            Err(refused) => {
                work.refused();
                Err(status::of_refusal(refused))
            }
        }
    }

    /// When a statement that begins now has to be done, whatever its client and its session say.
    pub(crate) fn statement_deadline(&self) -> Option<Instant> {
        self.config.statement_timeout.map(|timeout| Instant::now() + timeout)
    }

    /// Forgets what has ended. Called now and then.
    pub(crate) fn sweep(&self) {
        self.results.sweep();
        self.sessions.sweep();
        self.polls.sweep();
        self.watch.look();
    }
}
