//! The server: its doors opened, and closed again without cutting anybody off who can still be served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::http::Request;
use arrow_flight::flight_service_server::FlightServiceServer;
use http_body_util::{BodyExt, Limited};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::layer::util::{Identity, Stack};
use tower::util::MapRequestLayer;
use volley_scheduler::{CancellationToken, Engine};
use volley_storage::ErrorKind;

use crate::config::{ConfigError, ServerConfig};
use crate::flight::Door;
use crate::flight::service::FlightDoor;
use crate::http::{self, HttpState, Readiness};
use crate::metrics::Metrics;
use crate::sealed::Secret;
use crate::tls::{ConnectionLimits, LOOKED_AT_EVERY, Tls, TlsError};
use crate::workers::Workers;

/// How often results and sessions that have ended are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A connection on which nothing comes is asked whether anybody is there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
/// A client that does not answer that is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls that one connection may have open.
const STREAMS_MAX: u32 = 256;
/// What a client may send ahead: one stream, and all streams of a connection.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes of a message from somebody who has not logged in, where that is wanted: a statement, not an upload.
const STRANGERS_BYTES_MAX: usize = 64 << 10;
/// How long connections may take to close after the last statement.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration forbids it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The catalog, which says whether there are users, cannot be read.
    #[error(transparent)]
    Engine(#[from] volley_scheduler::Error),
}

impl ServerError {
    /// The kind this error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ServerError::Listen { .. } => ErrorKind::Io,
            ServerError::Config(error) => error.kind(),
            ServerError::Tls(error) => error.kind(),
            ServerError::Engine(error) => error.kind(),
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    door: Arc<Door>,
    readiness: Readiness,
    flight: SocketAddr,
    http: SocketAddr,
    /// Ends the Flight SQL port: no new connections, and those that are open close when they are idle.
    stop_flight: CancellationToken,
    /// Ends everything else.
    stop: CancellationToken,
    serving: Workers,
    serving_http: JoinHandle<()>,
}

impl Server {
    /// Opens the doors of an engine. Returns when both ports listen and queries are taken.
    ///
    /// # Errors
    /// Addresses that are taken, certificates that cannot be used, and ports open to others without users and TLS.
    pub async fn start(engine: Arc<Engine>, config: ServerConfig, metrics: Metrics) -> Result<Server, ServerError> {
        let has_users = engine.has_users().await?;
        config.check_exposure(has_users)?;
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let secret = match config.secret()? {
            Some(text) => Secret::of_text(&text),
            None => Secret::random(),
        };
        let (flight, http) = (listen(config.flight).await?, listen(config.http).await?);
        let addresses = (local(&flight, config.flight)?, local(&http, config.http)?);
        let (stop_flight, stop) = (CancellationToken::new(), CancellationToken::new());
        if let Some(tls) = &tls {
            tls.watch(LOOKED_AT_EVERY, stop.clone());
        }
        let limits = ConnectionLimits::new(config.max_connections);
        let readiness = Readiness::starting();
        let state = HttpState::new(readiness.clone(), metrics.clone(), Arc::clone(&engine));
        let address = config.flight;
        let door = Door::new(engine, config, secret, metrics.clone());
        door.wants_log_in.store(has_users, Ordering::Relaxed);
        let serving = Workers::start((flight, tls, limits), &door, metrics, &stop_flight);
        let serving = serving.map_err(|source| ServerError::Listen { address, source })?;
        let serving_http = tokio::spawn(http::serve(http, state, stop.clone()));
        tokio::spawn(sweep(Arc::clone(&door), stop.clone()));
        door.health.set_serving::<FlightServiceServer<FlightDoor>>().await;
        readiness.ready();
        let (flight, http) = addresses;
        Ok(Server { door, readiness, flight, http, stop_flight, stop, serving, serving_http })
    }

    /// Where Flight SQL is served.
    pub fn flight_address(&self) -> SocketAddr {
        self.flight
    }

    /// Where health and metrics are served.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Closes the doors: takes no more statements, lets those that run end for as long as `shutdown_timeout` says, and cancels
    /// the rest.
    pub async fn shutdown(mut self) {
        self.readiness.draining();
        self.door.draining.store(true, Ordering::Release);
        for service in ["", <FlightServiceServer<FlightDoor> as NamedService>::NAME] {
            self.door.health.set_service_status(service, ServingStatus::NotServing).await;
        }
        let timeout = self.door.config.shutdown_timeout;
        if tokio::time::timeout(timeout, self.door.admission.idle()).await.is_err() {
            tracing::warn!("statements still ran after shutdown_timeout and are cancelled");
        }
        self.stop_flight.cancel();
        self.door.results.clear();
        if tokio::time::timeout(GOODBYE, self.serving.end()).await.is_err() {
            self.serving.abort();
        }
        self.stop.cancel();
        // It ends by itself within a second.
        let _ = (&mut self.serving_http).await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, ServerError> {
    listener.local_addr().map_err(|source| ServerError::Listen { address, source })
}

/// A server whose requests pass this function first.
type Guarded<F> = Router<Stack<MapRequestLayer<F>, Identity>>;

/// Flight SQL and gRPC's health check.
pub(crate) fn router(door: &Arc<Door>) -> Guarded<impl Fn(Request<Body>) -> Request<Body> + Clone + Send + use<>> {
    let guard = Arc::clone(door);
    let health = HealthServer::new(HealthService::from_health_reporter(door.health.clone()));
    let flight = FlightServiceServer::new(FlightDoor(Arc::clone(door)))
        .max_decoding_message_size(door.config.max_message_size)
        .max_encoding_message_size(usize::MAX);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .layer(MapRequestLayer::new(move |request| guarded(&guard, request)))
        .add_service(health)
        .add_service(flight)
}

/// Looks after the bodies of calls, before anything is read of them.
///
/// A stream that its client resets ends with an error: tonic takes a reset with the reason CANCEL for the end of the stream, and half
/// an upload would be taken for the whole. Who has not proved to be anybody yet sends short messages.
fn guarded(door: &Door, request: Request<Body>) -> Request<Body> {
    let trusts = door.trusts(request.uri().path(), request.headers());
    request.map(|body| {
        let body = body.map_err(|status| Status::aborted(format!("the client broke off: {}", status.message())));
        match trusts {
            true => Body::new(body),
            false => Body::new(Limited::new(body, STRANGERS_BYTES_MAX).map_err(|_| {
                Status::unauthenticated("this server wants a user name and a password before it takes long messages")
            })),
        }
    })
}

async fn sweep(door: Arc<Door>, stop: CancellationToken) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => door.sweep(),
        }
    }
}
