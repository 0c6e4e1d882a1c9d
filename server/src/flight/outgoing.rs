//! Rows on their way to a client: batches taken only as fast as the client takes them, until the end, a limit or an error.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::DropGuard;
use tonic::Status;
use volley_scheduler::{CancellationToken, Error, QueryId};
use volley_storage::ErrorKind;

use super::status;
use super::wire::Wire;
use crate::metrics::Metrics;
use crate::watch::Watched;
use crate::work::Work;

/// What a client reads.
pub(crate) type FlightStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// The most that one answer may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResultLimits {
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<usize>,
}

/// Rows that are computed while they are sent.
pub(crate) struct Outgoing {
    pub(crate) wire: Wire,
    pub(crate) first: Vec<RecordBatch>,
    pub(crate) statement: Statement,
    /// Stops the statement.
    pub(crate) cancel: CancellationToken,
    /// Its slot, unless the client stalls.
    pub(crate) watched: Arc<Watched>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) limits: ResultLimits,
    pub(crate) id: QueryId,
}

/// What computes the rows that are not there yet.
pub(crate) struct Statement {
    pub(crate) rest: Option<SendableRecordBatchStream>,
    /// What is counted when it ends.
    pub(crate) work: Option<Work>,
}

/// Where a statement waits while its client reads. It is taken out to compute, and for good when it is stopped: a client that
/// stalls asks for nothing, and would otherwise keep what somebody has cancelled.
type Waiting = Arc<Mutex<Option<Statement>>>;

struct Sending {
    wire: Wire,
    watched: Arc<Watched>,
    deadline: Option<Instant>,
    limits: ResultLimits,
    id: QueryId,
    cancel: CancellationToken,
    statement: Waiting,
    /// Ends whoever waits for the query to be cancelled.
    _read: DropGuard,
    first: std::vec::IntoIter<RecordBatch>,
    /// What is left of a batch that is sent in slices.
    slices: std::vec::IntoIter<RecordBatch>,
    rows: u64,
    bytes: usize,
    ended: bool,
}

impl Outgoing {
    /// The batches, ready to be encoded. Dropping the stream ends the work.
    fn batches(self) -> impl Stream<Item = Result<RecordBatch, Status>> + Send {
        let statement = Arc::new(Mutex::new(Some(self.statement)));
        let read = CancellationToken::new();
        tokio::spawn(stop_when_cancelled(
            (self.cancel.clone(), read.clone()),
            Arc::clone(&statement),
            Arc::clone(&self.watched),
        ));
        let sending = Sending {
            wire: self.wire,
            watched: self.watched,
            deadline: self.deadline,
            limits: self.limits,
            id: self.id,
            cancel: self.cancel,
            statement,
            _read: read.drop_guard(),
            first: self.first.into_iter(),
            slices: Vec::new().into_iter(),
            rows: 0,
            bytes: 0,
            ended: false,
        };
        stream::unfold(sending, |mut sending| async move {
            sending.watched.client_came();
            let item = sending.next().await?;
            // Nobody asks for the next before this one is on its way.
            sending.watched.client_is_asked();
            Some((item, sending))
        })
    }

    /// The stream that the client reads.
    pub(crate) fn into_flight(self, metrics: Metrics) -> FlightStream {
        let schema = self.wire.schema().clone();
        encode(schema, self.batches(), metrics)
    }
}

impl Sending {
    async fn next(&mut self) -> Option<Result<RecordBatch, Status>> {
        if self.ended {
            return None;
        }
        if let Some(slice) = self.slices.next() {
            return Some(self.send(&slice));
        }
        if let Some(batch) = self.first.next() {
            return Some(self.send_sliced(batch));
        }
        let Some(mut statement) = self.statement.lock().take() else {
            return self.end(None, Some(Error::Cancelled));
        };
        let Some(rest) = statement.rest.as_mut() else { return self.end(Some(statement), None) };
        let next = match self.deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), rest.next()).await {
                Ok(next) => next,
                Err(_) => return self.end(Some(statement), Some(Error::DeadlineExceeded)),
            },
            None => rest.next().await,
        };
        match next {
            Some(Ok(batch)) => {
                *self.statement.lock() = Some(statement);
                if self.cancel.is_cancelled() {
                    let statement = self.statement.lock().take();
                    return self.end(statement, Some(Error::Cancelled));
                }
                Some(self.send_sliced(batch))
            }
            Some(Err(error)) => self.end(Some(statement), Some(Error::from(error))),
            None => self.end(Some(statement), None),
        }
    }

    /// Sends the first slice; the others come next.
    fn send_sliced(&mut self, batch: RecordBatch) -> Result<RecordBatch, Status> {
        let mut slices = self.wire.slices(batch).into_iter();
        let first = slices.next();
        self.slices = slices;
        match first {
            Some(first) => self.send(&first),
            // There is always one.
            None => Ok(RecordBatch::new_empty(self.wire.schema().clone())),
        }
    }

    fn send(&mut self, batch: &RecordBatch) -> Result<RecordBatch, Status> {
        self.rows += batch.num_rows() as u64;
        let ResultLimits { rows, bytes } = self.limits;
        if bytes.is_some() {
            self.bytes = self.bytes.saturating_add(self.wire.bytes(batch));
        }
        if rows.is_some_and(|most| self.rows > most) || bytes.is_some_and(|most| self.bytes > most) {
            self.stop();
            return Err(too_large());
        }
        self.wire.batch(batch).map_err(|error| {
            self.stop();
            status::of_arrow(&error)
        })
    }

    /// Lets go of the query and its slot.
    fn stop(&mut self) -> Option<Statement> {
        self.ended = true;
        self.watched.done();
        self.statement.lock().take()
    }

    fn end(&mut self, statement: Option<Statement>, error: Option<Error>) -> Option<Result<RecordBatch, Status>> {
        self.stop();
        let work = statement.and_then(|statement| statement.work);
        match error {
            None => {
                if let Some(work) = work {
                    work.done(self.rows);
                }
                None
            }
            Some(error) => {
                if let Some(work) = work {
                    work.failed(&error);
                }
                Some(Err(status::of_error(&error, self.id)))
            }
        }
    }
}

/// Takes the statement away when it is cancelled before its stream is gone.
async fn stop_when_cancelled(
    (cancel, read): (CancellationToken, CancellationToken),
    statement: Waiting,
    watched: Arc<Watched>,
) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = read.cancelled() => return,
    }
    let Some(stopped) = statement.lock().take() else { return };
    watched.done();
    if let Some(work) = stopped.work {
        work.failed(&Error::Cancelled);
    }
}

/// The status of an answer that is larger than the server lets it be.
pub(crate) fn too_large() -> Status {
    let sentence = "the result is larger than this server's max_result_rows or max_result_size; ask for less";
    status::of_kind(ErrorKind::ResultTooLarge, sentence)
}

/// Batches as Flight's messages, the schema first, also when there are no rows.
pub(crate) fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
    metrics: Metrics,
) -> FlightStream {
    let batches = batches.map_err(|status| FlightError::Tonic(Box::new(status)));
    let messages = FlightDataEncoderBuilder::new().with_schema(schema).build(batches);
    let messages = messages.map(move |message| match message {
        Ok(message) => {
            metrics.bytes_sent((message.data_header.len() + message.data_body.len()) as u64);
            Ok(message)
        }
        Err(FlightError::Tonic(status)) => Err(*status),
        Err(FlightError::Arrow(error)) => Err(status::of_arrow(&error)),
        Err(error) => Err(status::of_kind(ErrorKind::Internal, format!("internal error: {error}"))),
    });
    Box::pin(messages)
}

/// Batches that are there.
pub(crate) fn encode_batches(schema: SchemaRef, batches: Vec<RecordBatch>, metrics: Metrics) -> FlightStream {
    encode(schema, stream::iter(batches.into_iter().map(Ok)), metrics)
}
