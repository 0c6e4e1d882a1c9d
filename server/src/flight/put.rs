//! What clients stream in: changes, parameters of prepared statements, rows to ingest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::root_as_message;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    Any, Command, CommandStatementIngest, DoPutUpdateResult, TableDefinitionOptions, TableExistsOption,
    TableNotExistOption,
};
use arrow_flight::{FlightData, PutResult};
use datafusion::common::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::{Code, Status, Streaming};
use volley_scheduler::{CancellationToken, Error, Ingest, IngestMode, Parameters, QueryRequest, ResultKind};
use volley_storage::ErrorKind;

use super::caller::Caller;
use super::prepared::{ParameterRows, check_columns};
use super::query::{Asked, fail, kind_of};
use super::{Door, status};
use crate::metrics::QueryKind;
use crate::watch::Watched;

/// The messages that a client streams, the first of which has been looked at.
type Incoming = BoxStream<'static, Result<FlightData, Status>>;

impl Door {
    /// Takes what a client streams; the one result of it.
    pub(crate) async fn put(&self, caller: &Caller, mut stream: Streaming<FlightData>) -> Result<PutResult, Status> {
        let Some(first) = stream.message().await? else {
            let sentence = "the stream is empty: it names neither a statement nor a table; to ingest no rows, send a batch of none";
            return Err(status::of_kind(ErrorKind::Syntax, sentence));
        };
        let descriptor =
            first.flight_descriptor.clone().ok_or_else(|| status::malformed("a stream without descriptor"))?;
        let command = command_of(&descriptor.cmd)?;
        let incoming = stream::iter([Ok(first)]).chain(stream).boxed();
        let message = match command {
            Command::CommandStatementUpdate(update) => {
                refuse_transaction(update.transaction_id.as_ref())?;
                let session = Arc::clone(&caller.session);
                let asked = Asked { sql: update.query.into(), parameters: Parameters::None, session };
                self.update(caller, asked).await?.encode_to_vec()
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let handle = update.prepared_statement_handle;
                let asked = match self.parameter_rows(caller, &handle, incoming).await? {
                    Some(rows) => self.asked_with(caller, &handle, &rows)?,
                    None => self.asked(caller, &handle)?,
                };
                self.update(caller, asked).await?.encode_to_vec()
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                let rows = self.parameter_rows(caller, &handle, incoming).await?.unwrap_or_default();
                self.bind(caller, &handle, &rows)?.encode_to_vec()
            }
            Command::CommandStatementIngest(ingest) => self.ingest(caller, ingest, incoming).await?.encode_to_vec(),
            other => {
                let sentence = format!("{} cannot be put; it is not a change", short_name(other.type_url()));
                return Err(Status::unimplemented(sentence));
            }
        };
        Ok(PutResult { app_metadata: message.into() })
    }

    /// The parameters that a client streams; `None` where it sent no more than the descriptor.
    async fn parameter_rows(
        &self,
        caller: &Caller,
        handle: &[u8],
        incoming: Incoming,
    ) -> Result<Option<ParameterRows>, Status> {
        // A descriptor alone is a message without a header.
        let mut incoming = incoming.peekable();
        match Pin::new(&mut incoming).peek().await {
            Some(Ok(first)) if first.data_header.is_empty() => return Ok(None),
            _ => {}
        }
        let Some((schema, mut batches)) = schema_first(incoming.boxed()).await? else { return Ok(None) };
        let (statement, _) = self.prepared(caller, handle)?;
        // Before more is read.
        check_columns(&statement, schema.fields().len())?;
        let mut rows = ParameterRows::new(schema.fields().len());
        while let Some(batch) = batches.try_next().await.map_err(undecodable)? {
            rows.push(batch)?;
        }
        Ok(Some(rows))
    }

    /// Runs a change; the number of rows it changed.
    async fn update(&self, caller: &Caller, asked: Asked) -> Result<DoPutUpdateResult, Status> {
        if matches!(&asked.parameters, Parameters::Rows(rows) if rows.is_empty()) {
            return Ok(DoPutUpdateResult { record_count: 0 });
        }
        let (mut work, admitted) = self.begin(QueryKind::Update, &asked.sql, &asked.session).await?;
        let request = QueryRequest {
            parameters: asked.parameters,
            query_id: work.id,
            // A change is told what became of it: the engine gives up only before the commit.
            deadline: earlier(caller.deadline, self.statement_deadline()),
            ..QueryRequest::new(asked.sql.as_ref(), &asked.session.engine)
        };
        let result = match self.engine.execute(request).await {
            Ok(result) => result,
            Err(error) => return Err(fail(work, &error)),
        };
        work.is(kind_of(&result));
        let count = match result.kind {
            ResultKind::Affected(count) => count,
            ResultKind::Done => 0,
            // A query that is run as a change: its rows are counted, and go nowhere.
            ResultKind::Rows => {
                let mut rows = 0;
                let mut stream = result.stream;
                while let Some(batch) = stream.next().await {
                    match batch {
                        Ok(batch) => rows += batch.num_rows() as u64,
                        Err(error) => return Err(fail(work, &Error::from(error))),
                    }
                }
                rows
            }
        };
        drop(admitted);
        work.done(0);
        Ok(DoPutUpdateResult { record_count: i64::try_from(count).unwrap_or(i64::MAX) })
    }

    /// Writes the rows that a client streams into a table.
    async fn ingest(
        &self,
        caller: &Caller,
        ingest: CommandStatementIngest,
        incoming: Incoming,
    ) -> Result<DoPutUpdateResult, Status> {
        refuse_transaction(ingest.transaction_id.as_ref())?;
        if ingest.temporary {
            return Err(unsupported("temporary tables are not supported; ingest into a table and drop it"));
        }
        if let Some(catalog) = ingest.catalog.as_deref().filter(|catalog| !matches!(*catalog, "" | "volley")) {
            let sentence = format!("catalog \"{catalog}\" does not exist; there is \"volley\"");
            return Err(status::of_kind(ErrorKind::UndefinedSchema, sentence));
        }
        if ingest.table.is_empty() {
            return Err(status::of_kind(
                ErrorKind::InvalidStatement,
                "the table's name is empty; name the table to ingest into",
            ));
        }
        let mode = mode_of(ingest.table_definition_options.as_ref())?;
        let text = format!("INGEST INTO {}", ingest.table);
        // The first rows before the slot: who sends none needs none.
        let Some((schema, rows)) = schema_first(incoming).await? else {
            return Err(status::malformed("a stream of rows without schema"));
        };
        let (work, admitted) = self.begin(QueryKind::Ingest, &text.into(), &caller.session).await?;
        let cancel = CancellationToken::new();
        let watched = self.watch.over(Some(admitted), cancel.clone());
        let rows = Awaited { rows, watched: Arc::clone(&watched) };
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let rows = rows.map_err(|error| DataFusionError::from(of_client(error))).inspect_ok(move |batch| {
            counted.fetch_add(batch.get_array_memory_size() as u64, Ordering::Relaxed);
        });
        let request = Ingest {
            table: ingest.table,
            schema: ingest.schema.filter(|schema| !schema.is_empty()),
            mode,
            rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)),
            session: Arc::clone(&caller.session.engine),
            query_id: work.id,
            deadline: earlier(caller.deadline, self.statement_deadline()),
            cancel,
        };
        let ingested = self.engine.ingest(request).await;
        watched.done();
        match ingested {
            Ok(count) => {
                self.metrics.ingested(count, bytes.load(Ordering::Relaxed));
                work.done(0);
                Ok(DoPutUpdateResult { record_count: i64::try_from(count).unwrap_or(i64::MAX) })
            }
            Err(error) => Err(fail(work, &error)),
        }
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// The command in a descriptor or a ticket.
pub(crate) fn command_of(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(|_| status::malformed("the command"))?;
    let name = any.type_url.clone();
    match Command::try_from(any) {
        Ok(Command::Unknown(_)) => {
            Err(Status::unimplemented(format!("{} is not a command that this server knows", short_name(&name))))
        }
        Ok(command) => Ok(command),
        Err(_) => Err(status::malformed(&short_name(&name))),
    }
}

/// A type's name without the web address before it, and no longer than it need be.
pub(crate) fn short_name(url: &str) -> String {
    url.rsplit(['/', '.']).next().unwrap_or(url).chars().take(100).collect()
}

/// Refuses statements in transactions: there are none.
pub(crate) fn refuse_transaction(id: Option<&bytes::Bytes>) -> Result<(), Status> {
    match id {
        Some(id) if !id.is_empty() => {
            Err(unsupported("transactions are not supported; every statement commits by itself (autocommit)"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn unsupported(sentence: &str) -> Status {
    status::of_kind(ErrorKind::Unsupported, sentence)
}

fn mode_of(options: Option<&TableDefinitionOptions>) -> Result<IngestMode, Status> {
    let exists = options.map_or(TableExistsOption::Unspecified, TableDefinitionOptions::if_exists);
    let missing = options.map_or(TableNotExistOption::Unspecified, TableDefinitionOptions::if_not_exist);
    match (missing, exists) {
        (TableNotExistOption::Create, TableExistsOption::Fail | TableExistsOption::Unspecified) => {
            Ok(IngestMode::Create)
        }
        (TableNotExistOption::Create, TableExistsOption::Append) => Ok(IngestMode::CreateAppend),
        (TableNotExistOption::Create, TableExistsOption::Replace) => Ok(IngestMode::Replace),
        (
            TableNotExistOption::Fail | TableNotExistOption::Unspecified,
            TableExistsOption::Append | TableExistsOption::Unspecified,
        ) => Ok(IngestMode::Append),
        (TableNotExistOption::Fail | TableNotExistOption::Unspecified, _) => Err(unsupported(
            "this combination of if_exists and if_not_exist is not supported; use create, append, replace or create_append",
        )),
    }
}

/// The schema of a stream of batches, and the batches; `None` where the stream has neither.
async fn schema_first(
    incoming: Incoming,
) -> Result<Option<(SchemaRef, BoxStream<'static, Result<RecordBatch, FlightError>>)>, Status> {
    let messages = incoming.map(|message| match message {
        Ok(message) if is_compressed(&message) => {
            // How much it would become only the client says, and memory is taken for it at its word.
            Err(FlightError::DecodeError("compressed batches are not taken; send them plain".to_owned()))
        }
        Ok(message) => Ok(message),
        Err(status) => Err(FlightError::Tonic(Box::new(status))),
    });
    let batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut batches = Decoding { batches };
    let first = batches.try_next().await.map_err(undecodable)?;
    let Some(schema) = batches.batches.schema().cloned() else { return Ok(None) };
    let rows = stream::iter(first.map(Ok)).chain(batches).boxed();
    Ok(Some((schema, rows)))
}

/// What a stream of rows breaks off with: its client went away, or sent something else.
fn of_client(error: FlightError) -> Error {
    match error {
        FlightError::Tonic(status) if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) => {
            Error::UndecodableRows { detail: status.message().to_owned() }
        }
        FlightError::Tonic(_) => Error::Cancelled,
        error => Error::UndecodableRows { detail: error.to_string() },
    }
}

/// Rows that somebody looks whether they come.
struct Awaited {
    rows: BoxStream<'static, Result<RecordBatch, FlightError>>,
    watched: Arc<Watched>,
}

impl Stream for Awaited {
    type Item = Result<RecordBatch, FlightError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.rows.as_mut().poll_next(context);
        match &next {
            Poll::Pending => self.watched.client_is_asked(),
            Poll::Ready(_) => self.watched.client_came(),
        }
        next
    }
}

/// Batches as they are decoded. Offsets that point out of a batch make the decoder panic; here that is an error like others.
struct Decoding {
    batches: FlightRecordBatchStream,
}

impl Stream for Decoding {
    type Item = Result<RecordBatch, FlightError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let batches = &mut self.batches;
        let next = catch_unwind(AssertUnwindSafe(|| Pin::new(batches).poll_next(context)));
        next.unwrap_or_else(|_| Poll::Ready(Some(Err(FlightError::DecodeError("a batch is damaged".to_owned())))))
    }
}

/// Whether the buffers of a batch are compressed.
fn is_compressed(message: &FlightData) -> bool {
    let Ok(header) = root_as_message(&message.data_header) else { return false };
    let batch = header.header_as_record_batch();
    let batch = batch.or_else(|| header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    batch.is_some_and(|batch| batch.compression().is_some())
}

fn undecodable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        error => status::of_kind(ErrorKind::Syntax, format!("the rows cannot be decoded: {error}")),
    }
}
