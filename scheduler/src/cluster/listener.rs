//! The internal port as a server, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::member::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::secret::{ClusterSecret, Guard};
use super::service::{InternalPort, Tasks};
use super::tls::ClusterTls;
use crate::error::{Error, Result};

/// A connection on which nothing comes is asked whether anybody is there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// A node that does not answer that is gone, and what it asked for stops.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connections may take to close when nothing runs any more.
const GOODBYE: Duration = Duration::from_secs(2);

/// An address that is listened on and not served yet: who listens knows the port that was chosen.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// An internal port that is served.
#[derive(Debug)]
pub(crate) struct Port {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Listener {
    /// Listens on an address.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self> {
        let wrong = |source: std::io::Error| Error::Listen { address, detail: source.to_string() };
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address })
    }

    /// The address with the port that was chosen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the tasks to whoever knows the secret.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub(crate) fn serve(self, tasks: Arc<dyn Tasks>, secret: &ClusterSecret, io: &Handle) -> Result<Port> {
        let stop = CancellationToken::new();
        // Before everything, so that not even a wrong path is answered to strangers.
        let guard = InterceptorLayer::new(Guard::new(secret.clone()));
        let mut server = Server::builder();
        if let Some(tls) = secret.tls() {
            let wrong = |error| ClusterTls::unusable(self.address.to_string(), &error);
            server = server.tls_config(tls.server()).map_err(wrong)?;
        }
        let server = server
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .layer(guard)
            .add_service(InternalPort::service(tasks));
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let stopping = stop.clone();
        let serving = io.spawn(async move {
            let stopped = async move { stopping.cancelled().await };
            if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped).await {
                tracing::error!(%error, "the internal port is no longer served");
            }
        });
        Ok(Port { stop, serving })
    }
}

impl Port {
    /// Closes the port: what runs may end for a moment.
    pub(crate) async fn close(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GOODBYE, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // What the port serves must not outlive whoever opened it.
        self.serving.abort();
    }
}
