//! The service that nodes call: Flight, for tasks of ours.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::messages::{GetTask, PutTask};

/// Rows on their way between nodes.
pub type Rows = BoxStream<'static, Result<FlightData, Status>>;

/// What a node does for others. Who asks has shown that they belong to the cluster.
#[async_trait]
pub trait Tasks: Send + Sync + 'static {
    /// Answers with a stream of rows. Dropping the stream stops the work.
    async fn get(&self, task: GetTask) -> Result<Rows, Status>;

    /// Takes a stream of rows, whose first message has their schema.
    async fn put(&self, task: PutTask, rows: Rows) -> Result<Bytes, Status>;

    /// Does something else, by the name of [`super::messages::actions`].
    async fn act(&self, kind: &str, body: Bytes) -> Result<Bytes, Status>;
}

/// The internal port of a node.
#[derive(Clone)]
pub struct InternalPort(Arc<dyn Tasks>);

impl fmt::Debug for InternalPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalPort")
    }
}

impl InternalPort {
    /// The service as tonic serves it. A guard belongs before it.
    pub fn service(tasks: Arc<dyn Tasks>) -> FlightServiceServer<Self> {
        FlightServiceServer::new(Self(tasks))
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_here(rpc: &str) -> Status {
    Status::unimplemented(format!("nodes do not call {rpc} of each other"))
}

fn malformed(what: &str) -> Status {
    Status::invalid_argument(format!("the {what} cannot be decoded"))
}

#[async_trait]
impl FlightService for InternalPort {
    type HandshakeStream = Streamed<HandshakeResponse>;
    type ListFlightsStream = Streamed<FlightInfo>;
    type DoGetStream = Rows;
    type DoPutStream = Streamed<PutResult>;
    type DoExchangeStream = Rows;
    type DoActionStream = Streamed<arrow_flight::Result>;
    type ListActionsStream = Streamed<ActionType>;

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Rows>, Status> {
        let task = GetTask::decode(request.into_inner().ticket).map_err(|_| malformed("ticket"))?;
        Ok(Response::new(self.0.get(task).await?))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let mut rows = request.into_inner();
        let mut first = rows.message().await?.ok_or_else(|| malformed("stream without a message"))?;
        let descriptor = first.flight_descriptor.take().ok_or_else(|| malformed("stream without a descriptor"))?;
        let task = PutTask::decode(descriptor.cmd).map_err(|_| malformed("command"))?;
        let rows = stream::iter([Ok(first)]).chain(rows).boxed();
        let result = PutResult { app_metadata: self.0.put(task, rows).await? };
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let Action { r#type: kind, body } = request.into_inner();
        let result = arrow_flight::Result { body: self.0.act(&kind, body).await? };
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(not_here("Handshake"))
    }

    async fn list_flights(&self, _request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(not_here("ListFlights"))
    }

    async fn get_flight_info(&self, _request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(not_here("GetFlightInfo"))
    }

    async fn poll_flight_info(&self, _request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(not_here("PollFlightInfo"))
    }

    async fn get_schema(&self, _request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(not_here("GetSchema"))
    }

    async fn do_exchange(&self, _request: Request<Streaming<FlightData>>) -> Result<Response<Rows>, Status> {
        Err(not_here("DoExchange"))
    }

    async fn list_actions(&self, _request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(not_here("ListActions"))
    }
}
