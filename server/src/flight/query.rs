//! Queries: begun by `GetFlightInfo`, fetched by `DoGet`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tonic::Status;
use ulid::Ulid;
use volley_scheduler::{Error, OpenQuery, Opened, Parameters, QueryRequest, QueryResult, ResultKind, Session};

use super::caller::Caller;
use super::outgoing::{FlightStream, Outgoing, ResultLimits, Statement, encode_batches, too_large};
use super::wire::Wire;
use super::{Door, status};
use crate::admission::Admitted;
use crate::metrics::QueryKind;
use crate::results::{Again, Fetched, Live, NewResult, NewRows};
use crate::sealed::{Ticket, ends_ms};
use crate::sessions::ClientSession;
use crate::work::Work;

/// A result of up to so many bytes is computed before its ticket is handed out.
const SMALL_BYTES: usize = 1 << 20;
/// How long a client waits for its ticket while the first rows are computed.
const FIRST_ROWS: Duration = Duration::from_millis(100);

/// A statement to run.
pub(crate) struct Asked {
    pub(crate) sql: Arc<str>,
    pub(crate) parameters: Parameters,
    /// The session in which it runs: that of the caller, or the one it was prepared in.
    pub(crate) session: Arc<ClientSession>,
}

/// What the program says about an answer beside its rows, as JSON in `app_metadata`.
#[derive(Debug, serde::Serialize)]
struct About<'a> {
    query_id: String,
    tag: &'a str,
    notices: &'a [String],
    /// Rows changed, for statements that change rows.
    affected: Option<u64>,
}

impl Door {
    /// Begins a statement and says where its rows can be fetched.
    pub(crate) async fn flight_info(
        &self,
        asked: Asked,
        descriptor: FlightDescriptor,
        deadline: Option<Instant>,
    ) -> Result<FlightInfo, Status> {
        let (mut work, admitted) = self.begin(QueryKind::Query, &asked.sql, &asked.session).await?;
        let id = work.id;
        let request = QueryRequest {
            parameters: asked.parameters,
            query_id: id,
            deadline: self.statement_deadline(),
            ..QueryRequest::new(asked.sql.as_ref(), &asked.session.engine)
        };
        let cancel = request.cancel.clone();
        let opening = self.engine.open_query(request);
        // Only the way to the ticket has to be done in the client's time: fetching is another call.
        let opened = within(deadline, opening).await.and_then(|opened| opened);
        let opened = match opened {
            Ok(Opened::Done(result)) => {
                work.is(kind_of(&result));
                Ok(self.begun_result(result))
            }
            Ok(Opened::Query(query)) => self.begun_query(*query, &asked.session.engine).await,
            Err(error) => Err(error),
        };
        let begun = match opened {
            Ok(begun) => begun,
            Err(error) => return Err(fail(work, &error)),
        };
        let wire = begun.wire.clone();
        let (affected, ordered) = (begun.affected, begun.streams.len() == 1);
        let about = About { query_id: id.to_string(), tag: &begun.tag, notices: &begun.notices, affected };
        let about = serde_json::to_vec(&about).unwrap_or_default();
        let (rows, again, total) = self.first_rows(begun, work, admitted).await?;
        let schema_of_info = wire.schema().clone();
        let again = again.map(|query| Again { query, sql: asked.sql });
        let new = NewResult { user: asked.session.user_name().to_owned(), wire, cancel, again, rows };
        let stored = self.results.keep(new, self.config.ticket_lifetime);
        let expires_ms = ends_ms(self.config.ticket_lifetime);
        let mut info = FlightInfo::new()
            .try_with_schema(&schema_of_info)
            .map_err(|error| status::of_arrow(&error))?
            .with_descriptor(descriptor)
            .with_ordered(ordered)
            .with_app_metadata(about);
        for part in 0..stored.parts {
            let ticket = Ticket {
                result: stored.id.to_bytes().to_vec(),
                part: part as u32,
                user: asked.session.user_name().to_owned(),
                expires_ms,
            };
            let mut endpoint = FlightEndpoint::new().with_ticket(arrow_flight::Ticket::new(self.secret.seal(&ticket)));
            endpoint.expiration_time = stored.repeatable.then(|| timestamp(expires_ms));
            info = info.with_endpoint(endpoint);
        }
        let records = affected.or(total).and_then(|records| i64::try_from(records).ok());
        Ok(info.with_total_records(records.unwrap_or(-1)).with_total_bytes(-1))
    }

    /// Sends the rows of a ticket.
    pub(crate) async fn fetch(&self, caller: &Caller, sealed: &[u8]) -> Result<FlightStream, Status> {
        let ticket: Ticket = self.secret.open(sealed).map_err(status::of_ticket)?;
        if ticket.user != caller.user() {
            return Err(Status::permission_denied("the ticket belongs to another user; run the query yourself"));
        }
        let gone = || Status::not_found("the rows of this ticket are gone; run the query again");
        let id = Ulid::from_bytes(ticket.result.try_into().map_err(|_| gone())?);
        let result = self.results.get(id, caller.user()).ok_or_else(gone)?;
        let wire = result.wire.clone();
        let live = match self.results.fetch(id, &result, ticket.part as usize) {
            Fetched::Gone => return Err(gone()),
            Fetched::Kept(batches) => {
                // They were put on the wire's types when they were kept.
                let batches = batches.to_vec();
                return Ok(encode_batches(wire.schema().clone(), batches, self.metrics.clone()));
            }
            Fetched::Live(live) => *live,
            Fetched::Again(again) => self.read_again(caller, &again.query, &again.sql).await?,
        };
        let outgoing = Outgoing {
            wire,
            first: live.first,
            id: live.work.as_ref().map_or_else(volley_scheduler::QueryId::generate, |work| work.id),
            statement: Statement { rest: live.rest, work: live.work },
            cancel: result.cancel.clone(),
            watched: self.watch.over(live.admitted, result.cancel.clone()),
            deadline: caller.deadline,
            limits: self.limits(),
        };
        Ok(outgoing.into_flight(self.metrics.clone()))
    }

    async fn read_again(&self, caller: &Caller, query: &OpenQuery, sql: &Arc<str>) -> Result<Live, Status> {
        let (work, admitted) = self.begin(QueryKind::Query, sql, &caller.session).await?;
        match within(caller.deadline, query.read()).await.and_then(|read| read) {
            Ok(stream) => {
                Ok(Live { first: Vec::new(), rest: Some(stream), admitted: Some(admitted), work: Some(work) })
            }
            Err(error) => Err(fail(work, &error)),
        }
    }

    pub(crate) fn limits(&self) -> ResultLimits {
        ResultLimits { rows: self.config.max_result_rows, bytes: self.config.max_result_size }
    }

    fn begun_result(&self, result: QueryResult) -> Begun {
        let affected = match result.kind {
            ResultKind::Affected(count) => Some(count),
            ResultKind::Rows | ResultKind::Done => None,
        };
        // Clients take an answer with columns for that of a query.
        let (schema, stream) = match result.kind {
            ResultKind::Rows => (result.schema, result.stream),
            ResultKind::Affected(_) | ResultKind::Done => {
                let schema = Arc::new(arrow::datatypes::Schema::empty());
                let nothing = datafusion::physical_plan::EmptyRecordBatchStream::new(Arc::clone(&schema));
                (schema, Box::pin(nothing) as SendableRecordBatchStream)
            }
        };
        let wire = Wire::of(&schema);
        Begun { wire, streams: vec![stream], tag: result.tag, notices: result.notices, affected, again: None }
    }

    async fn begun_query(&self, query: OpenQuery, session: &Session) -> Result<Begun, Error> {
        let streams = match session.setting("volley.parallel_endpoints")? == "on" {
            true => query.read_parts().await?,
            false => vec![query.read().await?],
        };
        let (wire, notices) = (Wire::of(query.schema()), query.notices().to_vec());
        let again = query.is_repeatable().then(|| Arc::new(query));
        Ok(Begun { wire, streams, tag: "SELECT".to_owned(), notices, affected: None, again })
    }

    /// Computes the first rows: all, where they are few and come soon. With them the query, where reading it again makes sense,
    /// and the number of all rows, where it is known.
    async fn first_rows(&self, begun: Begun, work: Work, admitted: Admitted) -> Result<FirstRows, Status> {
        let until = tokio::time::Instant::now() + FIRST_ROWS;
        let wire = begun.wire;
        let mut lives = Vec::with_capacity(begun.streams.len());
        let (mut bytes, mut complete) = (0, true);
        for mut stream in begun.streams {
            let mut first = Vec::new();
            let ended = loop {
                if bytes > SMALL_BYTES {
                    break false;
                }
                match tokio::time::timeout_at(until, stream.next()).await {
                    Err(_) => break false,
                    Ok(None) => break true,
                    Ok(Some(Ok(batch))) => {
                        bytes = wire.bytes(&batch).saturating_add(bytes);
                        first.push(batch);
                    }
                    Ok(Some(Err(error))) => return Err(fail(work, &Error::from(error))),
                }
            };
            complete &= ended && bytes <= SMALL_BYTES;
            lives.push(Live { first, rest: (!ended).then_some(stream), admitted: None, work: None });
        }
        if complete {
            let batches: Vec<RecordBatch> = lives.into_iter().flat_map(|live| live.first).collect();
            let sent: Result<Vec<_>, _> = batches.iter().map(|batch| wire.batch(batch)).collect();
            let sent = sent.map_err(|error| status::of_arrow(&error))?;
            let rows = sent.iter().map(|batch| batch.num_rows() as u64).sum();
            let limits = self.limits();
            if limits.rows.is_some_and(|most| rows > most) || limits.bytes.is_some_and(|most| bytes > most) {
                return Err(too_large());
            }
            work.done(rows);
            return Ok((NewRows::Kept(sent), None, Some(rows)));
        }
        // The first part that is fetched carries what belongs to the whole.
        if let Some(live) = lives.first_mut() {
            (live.admitted, live.work) = (Some(admitted), Some(work));
        }
        Ok((NewRows::Live(lives), begun.again, None))
    }
}

/// A statement that has begun.
struct Begun {
    wire: Wire,
    /// Its rows, in parts that can be fetched side by side.
    streams: Vec<SendableRecordBatchStream>,
    tag: String,
    notices: Vec<String>,
    affected: Option<u64>,
    again: Option<Arc<OpenQuery>>,
}

/// Rows, the query where they can be had again, and how many there are.
type FirstRows = (NewRows, Option<Arc<OpenQuery>>, Option<u64>);

/// What a statement that is done turned out to be.
pub(crate) fn kind_of(result: &QueryResult) -> QueryKind {
    match result.kind {
        ResultKind::Rows => QueryKind::Query,
        ResultKind::Affected(_) => QueryKind::Update,
        ResultKind::Done => QueryKind::Ddl,
    }
}

/// Counts a failure and says it.
pub(crate) fn fail(work: Work, error: &Error) -> Status {
    let status = status::of_error(error, work.id);
    work.failed(error);
    status
}

/// Waits until the client's deadline.
pub(crate) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Result<T, Error> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| Error::DeadlineExceeded),
        None => Ok(work.await),
    }
}

pub(crate) fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (ms / 1000) as i64, nanos: (ms % 1000 * 1_000_000) as i32 }
}

/// A schema as an IPC message, the way prepared statements and `GetSchema` carry it.
pub(crate) fn schema_bytes(schema: &arrow::datatypes::Schema) -> Result<Bytes, Status> {
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let message: arrow_flight::IpcMessage = arrow_flight::SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error: arrow::error::ArrowError| status::of_arrow(&error))?;
    Ok(message.0)
}
