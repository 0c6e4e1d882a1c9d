//! A server in this process, and clients of it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, ProstMessageExt,
};
use arrow_flight::{Action, FlightInfo, Ticket};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use volley_scheduler::{DataLocation, Engine, EngineConfig, QueryRequest};
use volley_server::Server;
use volley_server::metrics::Metrics;
use volley_server::options::Options;

/// A server and its engine.
pub(crate) struct Served {
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Metrics,
    server: Server,
}

impl Served {
    /// A server with these options, on ports that the system chooses, over an empty engine in memory.
    pub(crate) async fn start(options: Options) -> Self {
        let config = EngineConfig { threads: Some(2), ..EngineConfig::new(DataLocation::Memory) };
        Self::over(Engine::open(config).await.unwrap(), options).await
    }

    pub(crate) async fn over(engine: Arc<Engine>, options: Options) -> Self {
        let anywhere = || Some("127.0.0.1:0".to_owned());
        let config = Options { flight: anywhere(), http: anywhere(), ..options }.resolve().unwrap();
        let metrics = Metrics::new();
        let server = Server::start(Arc::clone(&engine), config, metrics.clone()).await.unwrap();
        Self { engine, metrics, server }
    }

    /// Runs statements as the embedded process, which may do everything.
    pub(crate) async fn run(&self, statements: &[&str]) {
        let session = self.engine.session();
        for sql in statements {
            self.engine.execute(QueryRequest::new(*sql, &session)).await.unwrap();
        }
    }

    pub(crate) fn http(&self) -> std::net::SocketAddr {
        self.server.http_address()
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.server.flight_address());
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> FlightSqlServiceClient<Channel> {
        FlightSqlServiceClient::new(self.channel().await)
    }

    /// A client that has logged in.
    pub(crate) async fn client_of(&self, user: &str, password: &str) -> FlightSqlServiceClient<Channel> {
        let mut client = self.client().await;
        client.handshake(user, password).await.unwrap();
        client
    }

    /// A client that speaks Flight and nothing above it.
    pub(crate) async fn bare(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel().await)
    }

    pub(crate) async fn stop(self) {
        self.server.shutdown().await;
        self.engine.close().await;
    }
}

/// The rows of a statement.
pub(crate) async fn rows(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Result<Vec<RecordBatch>, Status> {
    let info = client.execute(sql.to_owned(), None).await.map_err(status)?;
    fetch(client, info).await
}

/// The rows behind an info.
pub(crate) async fn fetch(
    client: &mut FlightSqlServiceClient<Channel>,
    info: FlightInfo,
) -> Result<Vec<RecordBatch>, Status> {
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        batches.extend(fetch_ticket(client, endpoint.ticket.unwrap()).await?);
    }
    Ok(batches)
}

pub(crate) async fn fetch_ticket(
    client: &mut FlightSqlServiceClient<Channel>,
    ticket: Ticket,
) -> Result<Vec<RecordBatch>, Status> {
    let stream = client.do_get(ticket).await.map_err(status)?;
    stream.try_collect().await.map_err(status)
}

/// The handle of a statement that was prepared.
pub(crate) async fn prepared(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> Bytes {
    let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    let mut results = client.do_action(tonic::Request::new(action)).await.unwrap();
    let body = results.message().await.unwrap().unwrap().body;
    let any = Any::decode(body).unwrap();
    any.unpack::<ActionCreatePreparedStatementResult>().unwrap().unwrap().prepared_statement_handle
}

/// How many rows.
pub(crate) fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// What the server said.
pub(crate) fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        // The client checks some of what the server says by itself.
        error => Status::new(Code::Unknown, error.to_string()),
    }
}

/// A runtime for a test.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Whether this process runs this test alone, so that what it holds is the test's. If not, one that does is started and has to
/// succeed.
pub(crate) fn is_alone(test: &str) -> bool {
    const ALONE: &str = "VOLLEY_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == test) {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{said}");
    false
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
