//! Flight's RPCs. Every one asks first who calls.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::Command;
use arrow_flight::{
    Action, ActionType, BasicAuth, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use async_trait::async_trait;
use futures::{Stream, stream};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};
use volley_scheduler::{Parameters, QueryRequest};

use super::actions::action_types;
use super::caller::{Authorization, Caller, authorization};
use super::messages::SET_SESSION_OPTIONS;
use super::outgoing::{FlightStream, encode_batches};
use super::put::{command_of, refuse_transaction, short_name, unsupported};
use super::query::{Asked, schema_bytes};
use super::wire::Wire;
use super::{Door, status};

/// The service that tonic serves.
#[derive(Debug, Clone)]
pub(crate) struct FlightDoor(pub(crate) Arc<Door>);

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A handshake is one short message; who sends more is no client.
const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

#[async_trait]
impl FlightService for FlightDoor {
    type HandshakeStream = Streamed<HandshakeResponse>;
    type ListFlightsStream = Streamed<FlightInfo>;
    type DoGetStream = FlightStream;
    type DoPutStream = Streamed<PutResult>;
    type DoExchangeStream = FlightStream;
    type DoActionStream = Streamed<arrow_flight::Result>;
    type ListActionsStream = Streamed<ActionType>;

    /// User and password for a bearer token. They come in the header, as ADBC and JDBC send them, or in the message.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let credentials = match authorization(request.metadata())? {
            Some(Authorization::Basic { user, password }) => Some((user, password)),
            Some(Authorization::Bearer(_)) | None => {
                let message = request.into_inner().message().await?;
                let payload = message.map(|message| message.payload).filter(|payload| !payload.is_empty());
                match payload {
                    Some(payload) if payload.len() > HANDSHAKE_BYTES_MAX => {
                        return Err(status::malformed("the handshake"));
                    }
                    Some(payload) => {
                        let basic = BasicAuth::decode(payload).map_err(|_| status::malformed("the handshake"))?;
                        Some((basic.username, basic.password))
                    }
                    None => None,
                }
            }
        };
        let (user, password) = credentials.unwrap_or_default();
        let user = self.0.log_in(&user, &password).await?;
        let token = self.0.bearer(user.as_deref());
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let mut response = Response::new(Box::pin(stream::iter([Ok(answer)])) as Self::HandshakeStream);
        let bearer = MetadataValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| Status::internal("internal error: the token is no header"))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.0.caller(&request).await?;
        Err(unsupported("flights are not listed; send SQL, or ask for tables with CommandGetTables"))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let caller = self.0.caller(&request).await?;
        let descriptor = request.into_inner();
        let info = match self.statement(&caller, &descriptor)? {
            Wanted::Statement(asked) => self.0.flight_info(asked, descriptor, caller.deadline).await?,
            Wanted::Metadata(command) => self.0.metadata_info(&command, descriptor)?,
        };
        Ok(Response::new(info))
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let caller = self.0.caller(&request).await?;
        let descriptor = request.into_inner();
        if let Some(polled) = self.0.poll_again(&caller, &descriptor.cmd).await {
            return Ok(Response::new(polled?));
        }
        let polled = match self.statement(&caller, &descriptor)? {
            Wanted::Statement(asked) => self.0.poll(&caller, asked).await?,
            Wanted::Metadata(command) => {
                let info = self.0.metadata_info(&command, descriptor)?;
                PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::default() }
            }
        };
        Ok(Response::new(polled))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let caller = self.0.caller(&request).await?;
        let schema = match self.statement(&caller, &request.into_inner())? {
            Wanted::Metadata(command) => self.0.metadata_schema(&command)?,
            Wanted::Statement(asked) => {
                let mut request = QueryRequest::new(asked.sql.as_ref(), &asked.session.engine);
                request.deadline = caller.deadline;
                let id = request.query_id;
                let described = self.0.engine.describe(request).await.map_err(|e| status::of_error(&e, id))?;
                let columns = described.schema.unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
                Arc::clone(Wire::of(&columns).schema())
            }
        };
        Ok(Response::new(SchemaResult { schema: schema_bytes(&schema)? }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let caller = self.0.caller(&request).await?;
        let ticket = request.into_inner().ticket;
        // Tickets of metadata are the commands themselves: whoever may ask may have them.
        let stream = match command_of(&ticket) {
            Ok(command) => {
                let (schema, batches) = self.0.metadata(&caller, command).await?;
                encode_batches(schema, batches, self.0.metrics.clone())
            }
            Err(_) => self.0.fetch(&caller, &ticket).await?,
        };
        Ok(Response::new(stream))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = self.0.caller(&request).await?;
        let result = self.0.put(&caller, request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream::iter([Ok(result)]))))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.0.caller(&request).await?;
        Err(unsupported("DoExchange is not supported; use DoPut and DoGet"))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = self.0.caller(&request).await?;
        let action = request.into_inner();
        let sets_options = action.r#type == SET_SESSION_OPTIONS;
        let results = self.0.act(&caller, action).await?;
        let results = results.into_iter().map(|body| Ok(arrow_flight::Result { body }));
        let mut response = Response::new(Box::pin(stream::iter(results)) as Self::DoActionStream);
        if sets_options
            && !caller.is_named
            && let Ok(cookie) = MetadataValue::try_from(self.0.cookie_of(&caller))
        {
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.0.caller(&request).await?;
        Ok(Response::new(Box::pin(stream::iter(action_types().into_iter().map(Ok)))))
    }
}

/// What a descriptor asks for.
enum Wanted {
    Statement(Asked),
    Metadata(Command),
}

impl FlightDoor {
    fn statement(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<Wanted, Status> {
        if descriptor.cmd.is_empty() {
            return Err(unsupported("paths name no flights here; send a command of Flight SQL"));
        }
        Ok(match command_of(&descriptor.cmd)? {
            Command::CommandStatementQuery(query) => {
                refuse_transaction(query.transaction_id.as_ref())?;
                let session = Arc::clone(&caller.session);
                Wanted::Statement(Asked { sql: query.query.into(), parameters: Parameters::None, session })
            }
            Command::CommandPreparedStatementQuery(query) => {
                Wanted::Statement(self.0.asked(caller, &query.prepared_statement_handle)?)
            }
            Command::CommandStatementSubstraitPlan(_) => {
                return Err(unsupported("Substrait plans are not supported; send SQL"));
            }
            command @ (Command::CommandStatementUpdate(_)
            | Command::CommandPreparedStatementUpdate(_)
            | Command::CommandStatementIngest(_)) => {
                let sentence = format!("{} changes something; send it with DoPut", short_name(command.type_url()));
                return Err(status::of_kind(volley_storage::ErrorKind::InvalidStatement, sentence));
            }
            command => Wanted::Metadata(command),
        })
    }
}
