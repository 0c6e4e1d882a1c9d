//! The HTTP door alone, of a process that has no other.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use volley_scheduler::{CancellationToken, Engine};

use super::{HttpState, Readiness, serve};
use crate::metrics::Metrics;
use crate::server::ServerError;

/// An HTTP door that is open.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    readiness: Readiness,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl HttpServer {
    /// Opens the door. It says that the process is starting until [`ready`](Self::ready).
    ///
    /// # Errors
    /// An address that is taken.
    pub async fn start(engine: Arc<Engine>, address: SocketAddr, metrics: Metrics) -> Result<Self, ServerError> {
        let wrong = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let (readiness, stop) = (Readiness::starting(), CancellationToken::new());
        let state = HttpState::new(readiness.clone(), metrics, engine);
        let serving = tokio::spawn(serve(listener, state, stop.clone()));
        Ok(Self { address, readiness, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process takes work from now on.
    pub fn ready(&self) {
        self.readiness.ready();
    }

    /// It takes no more.
    pub fn draining(&self) {
        self.readiness.draining();
    }

    /// Closes the door.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // It ends by itself within a second.
        let _ = self.serving.await;
    }
}
