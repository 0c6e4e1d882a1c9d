//! A server in this process, and a client of it that speaks plain Flight SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use futures::TryStreamExt;
use parking_lot::Mutex;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use volley_scheduler::Engine;
use volley_server::Server;
use volley_server::metrics::Metrics;
use volley_server::options::Options;
use volley_storage::ErrorKind;

use super::{Answer, Connection, Deployment, Refusal};

/// An engine behind a server on ports that the system chose.
pub(super) struct Served {
    engine: Arc<Engine>,
    server: Mutex<Option<Server>>,
    address: String,
}

impl Served {
    pub(super) async fn start(engine: Arc<Engine>) -> Result<Self, Refusal> {
        let anywhere = || Some("127.0.0.1:0".to_owned());
        let options = Options { flight: anywhere(), http: anywhere(), ..Options::default() };
        let config = options.resolve().map_err(|error| other(&error.to_string()))?;
        let server = Server::start(Arc::clone(&engine), config, Metrics::new()).await;
        let server = server.map_err(|error| other(&error.to_string()))?;
        let address = format!("http://{}", server.flight_address());
        Ok(Self { engine, server: Mutex::new(Some(server)), address })
    }
}

#[async_trait]
impl Deployment for Served {
    async fn connect(&self) -> Result<Box<dyn Connection>, Refusal> {
        connect_to(&self.address).await
    }

    async fn stop(&self) {
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.shutdown().await;
        }
        self.engine.close().await;
    }
}

/// A client of the server at an address such as `http://127.0.0.1:32010`.
pub(crate) async fn connect_to(address: &str) -> Result<Box<dyn Connection>, Refusal> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| other(&error.to_string()))?;
    let channel = endpoint.connect().await.map_err(|error| other(&error.to_string()))?;
    Ok(Box::new(Client(FlightSqlServiceClient::new(channel))))
}

struct Client(FlightSqlServiceClient<Channel>);

/// What the server says about an answer beside its rows.
#[derive(serde::Deserialize)]
struct About {
    tag: String,
    notices: Vec<String>,
    affected: Option<u64>,
}

#[async_trait]
impl Connection for Client {
    async fn run(&mut self, sql: &str) -> Result<Answer, Refusal> {
        let info = self.0.execute(sql.to_owned(), None).await.map_err(of_flight)?;
        let about: About = serde_json::from_slice(&info.app_metadata).map_err(|error| other(&error.to_string()))?;
        let schema = Arc::new(announced(&info)?);
        let mut batches: Vec<RecordBatch> = Vec::new();
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or_else(|| other("an endpoint without a ticket"))?;
            let stream = self.0.do_get(ticket).await.map_err(of_flight)?;
            let rows: Vec<RecordBatch> = stream.try_collect().await.map_err(of_flight)?;
            if let Some(batch) = rows.iter().find(|batch| batch.schema() != schema) {
                return Err(other(&format!("announced {schema:?} but sent {:?}", batch.schema())));
            }
            batches.extend(rows);
        }
        Ok(Answer { schema, batches, tag: about.tag, affected: about.affected, notices: about.notices })
    }
}

fn announced(info: &FlightInfo) -> Result<Schema, Refusal> {
    info.clone().try_decode_schema().map_err(|error| other(&error.to_string()))
}

fn of_flight(error: FlightError) -> Refusal {
    match error {
        FlightError::Tonic(status) => of_status(&status),
        error => other(&error.to_string()),
    }
}

/// The sentence and the SQLSTATE of a status.
fn of_status(status: &Status) -> Refusal {
    let sqlstate = status.metadata().get("volley-sqlstate").and_then(|value| value.to_str().ok());
    let kind = ErrorKind::ALL.iter().find(|kind| Some(kind.sqlstate()) == sqlstate);
    Refusal { sentence: status.message().to_owned(), sqlstate: kind.map_or("XX000", |kind| kind.sqlstate()) }
}

fn other(sentence: &str) -> Refusal {
    Refusal { sentence: sentence.to_owned(), sqlstate: "XX000" }
}
