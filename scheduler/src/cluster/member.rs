//! Another node, and the connection to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use tokio::runtime::Handle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use ulid::Ulid;

use super::counters::Counters;
use super::secret::{ClusterSecret, Credentials};
use super::tls::ClusterTls;
use crate::error::{Error, Result};

/// Longer does nobody who is there take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection is asked so often whether anybody is there ...
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
/// ... and who does not answer within that is not: a process that hangs holds its calls up no longer than both together.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// What may be sent ahead on a stream, so that rows do not wait for acknowledgements.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all streams of a connection: so much that streams that nobody reads on hold up none of the others.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 30;

/// One run of one process. A node that is started again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub Ulid);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDescription {
    /// Which run of it this is.
    pub id: NodeId,
    /// Its name, the same in every run: shards belong to names.
    pub name: String,
    /// Where its internal port can be reached: `host:port`.
    pub address: String,
    /// Its share of the shards, relative to the others'; 100 is ordinary.
    pub weight: u32,
}

/// The client of a node.
pub type NodeClient = FlightServiceClient<InterceptedService<Channel, Credentials>>;

/// Another node of the cluster. Calls to it share one connection, which is made when it is first needed and again when it broke;
/// rows to write have another one.
pub struct Member {
    /// What it says of itself.
    pub description: NodeDescription,
    client: NodeClient,
    bulk: NodeClient,
    counters: Arc<Counters>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Member {
    /// The node at an address. Connects when it is first called; the connection is served by the I/O runtime.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(description: NodeDescription, secret: &ClusterSecret, io: &Handle) -> Result<Self> {
        let address = &description.address;
        let wrong = |error: tonic::transport::Error| Error::BadNodeAddress {
            address: address.clone(),
            detail: error.to_string(),
        };
        let scheme = if secret.tls().is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(wrong)?;
        if let Some(tls) = secret.tls() {
            endpoint =
                endpoint.tls_config(tls.client()).map_err(|error| ClusterTls::unusable(address.clone(), &error))?;
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let _on_io = io.enter();
        let client = || {
            FlightServiceClient::with_interceptor(endpoint.connect_lazy(), secret.credentials())
                .max_decoding_message_size(usize::MAX)
                .max_encoding_message_size(usize::MAX)
        };
        Ok(Self { description, client: client(), bulk: client(), counters: Arc::default() })
    }

    /// The same, with calls counted here.
    pub(crate) fn counting(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// What is counted of calls to it.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// Which run of it this is.
    pub fn id(&self) -> NodeId {
        self.description.id
    }

    /// A client of its service; clients are cheap and share the connection.
    pub fn client(&self) -> NodeClient {
        self.client.clone()
    }

    /// The same over the connection for rows to write: however many are on their way, questions and their answers pass them.
    pub fn bulk_client(&self) -> NodeClient {
        self.bulk.clone()
    }
}
