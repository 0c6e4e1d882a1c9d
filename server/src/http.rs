//! The HTTP door: whether the server lives, whether it serves, and what it has counted. No data passes here, so nobody has
//! to say who they are.

mod listener;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use volley_scheduler::{CancellationToken, Engine};

use crate::metrics::Metrics;
use crate::metrics::engine::EngineMetrics;
use listener::Limited;
pub use server::HttpServer;

/// How long open requests may take to end when the server stops.
const LINGER: Duration = Duration::from_secs(1);
/// The content type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = "<!doctype html><title>Volley</title><h1>Volley</h1><ul>\
    <li><a href=\"/healthz\">/healthz</a>: the process lives\
    <li><a href=\"/readyz\">/readyz</a>: it takes queries\
    <li><a href=\"/metrics\">/metrics</a>: what it has counted, for Prometheus</ul>\n";

/// Whether the server takes queries. Cheap to clone; all clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// A server that does not take queries yet.
    pub fn starting() -> Self {
        Self::default()
    }

    /// It takes queries from now on, unless it is stopping already.
    pub fn ready(&self) {
        // A server that was told to stop while it started stays stopped.
        let _ = self.0.compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// It takes no more queries and ends those that run.
    pub fn draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    /// Whether it takes queries.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == READY
    }

    /// Why it does not take queries.
    fn obstacle(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) {
            STARTING => Some("the server is starting"),
            READY => None,
            _ => Some("the server is stopping: it takes no more queries and ends those that run"),
        }
    }
}

/// What the HTTP door tells about.
#[derive(Debug, Clone)]
pub struct HttpState {
    readiness: Readiness,
    metrics: Metrics,
    engine: Arc<EngineMetrics>,
}

impl HttpState {
    /// The state of one server.
    pub fn new(readiness: Readiness, metrics: Metrics, engine: Arc<Engine>) -> Self {
        Self { readiness, metrics, engine: Arc::new(EngineMetrics::new(engine)) }
    }
}

/// Serves until `shutdown`, and a moment longer to those who are being answered.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: CancellationToken) {
    let stopping = shutdown.clone();
    let serving = axum::serve(Limited::new(listener), router(state))
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    let lingered = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        // It only ends when it was told to.
        _ = async { serving.await } => {}
        () = lingered => {}
    }
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn ready(State(state): State<HttpState>) -> Response {
    match state.readiness.obstacle() {
        None => "ok\n".into_response(),
        Some(sentence) => (StatusCode::SERVICE_UNAVAILABLE, format!("{sentence}\n")).into_response(),
    }
}

async fn metrics(State(state): State<HttpState>) -> Response {
    let text = state.metrics.encode_with(&state.engine.text().await);
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

#[cfg(test)]
mod tests;
