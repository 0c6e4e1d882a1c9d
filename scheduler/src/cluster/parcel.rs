//! The rows of one segment on their way to whoever writes it.
//!
//! They go to an executor as messages of a stream. As long as they are few, the messages are kept, so that another executor, or
//! this process itself, can take the place of one that fails; beyond that the statement has to be run again.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::channel::mpsc::{self, Receiver, Sender};
use futures::{SinkExt, StreamExt};
use tokio::task::JoinSet;
use tonic::Status;
use volley_storage::drafts::decode_staged;
use volley_storage::snapshot::Snapshot;
use volley_storage::store::{StagedSegment, TableStore};
use volley_storage::{Error, Result};

use super::failure::is_unreachable;
use super::worker_writes::stage_rows;
use super::writes::{RowEncoder, StageRows, end};
use super::{Member, Members, TaskKind, error_of, is_nodes_fault};

/// Messages that may wait for the connection.
const MESSAGES_WAITING_MAX: usize = 2;
/// More bytes of a segment are not kept for another attempt.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Executors that are tried before the coordinator writes by itself.
const EXECUTORS_TRIED_MAX: usize = 3;

/// What all parcels of a statement share.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) members: Arc<Members>,
    pub(super) local: Arc<dyn TableStore>,
    pub(super) base: Arc<Snapshot>,
    pub(super) memory: Arc<dyn MemoryPool>,
    /// When the first rows came, in milliseconds since the Unix epoch.
    pub(super) begun_ms: u64,
}

/// The rows of one segment. Dropping it stops whoever writes.
pub(super) struct Parcel {
    dispatch: Dispatch,
    encoder: RowEncoder,
    /// The messages so far; `None` once they were too many.
    kept: Option<Vec<FlightData>>,
    held: MemoryReservation,
    writing: Writing,
    attempts: usize,
}

/// One attempt.
struct Writing {
    messages: Sender<FlightData>,
    /// One task: whoever writes, from here.
    outcome: JoinSet<Result<Vec<StagedSegment>, Fault>>,
}

/// Why an attempt failed.
enum Fault {
    /// Another attempt may succeed.
    Node { node: String, detail: String },
    /// None will.
    Own(Error),
}

impl Parcel {
    /// Begins with the schema of `rows`, which is that of all that follow.
    pub(super) async fn begin(dispatch: Dispatch, rows: &RecordBatch) -> Result<Self> {
        let encoder = RowEncoder::new();
        let base = &dispatch.base;
        let first = encoder.first(&StageRows::new(base.table, base.version), &rows.schema());
        let held = MemoryConsumer::new("rows on their way to executors").register(&dispatch.memory);
        let writing = Writing::begin(&dispatch, 0);
        let mut parcel = Self { dispatch, encoder, kept: Some(Vec::new()), held, writing, attempts: 0 };
        parcel.send(first).await?;
        Ok(parcel)
    }

    /// Sends rows; waits as long as whoever writes them takes.
    pub(super) async fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let cannot = |error| Error::Internal { detail: format!("rows cannot be encoded: {error}") };
        for message in self.encoder.rows(rows).map_err(cannot)? {
            self.send(message).await?;
        }
        Ok(())
    }

    /// Says that these were all rows and waits until they are durable.
    pub(super) async fn finish(mut self) -> Result<Vec<StagedSegment>> {
        self.send(end()).await?;
        loop {
            match self.writing.outcome().await {
                Ok(staged) => return Ok(staged),
                Err(fault) => self.begin_again(fault).await?,
            }
        }
    }

    async fn send(&mut self, message: FlightData) -> Result<()> {
        self.keep(&message);
        match self.writing.send(message).await {
            Ok(()) => Ok(()),
            Err(fault) => self.begin_again(fault).await,
        }
    }

    fn keep(&mut self, message: &FlightData) {
        let bytes = message.data_header.len() + message.data_body.len();
        let is_room = self.held.size() + bytes <= KEPT_BYTES_MAX && self.held.try_grow(bytes).is_ok();
        match &mut self.kept {
            Some(kept) if is_room => kept.push(message.clone()),
            _ => {
                self.kept = None;
                self.held.free();
            }
        }
    }

    /// Sends what was sent before to somebody else.
    async fn begin_again(&mut self, fault: Fault) -> Result<()> {
        let mut fault = fault;
        loop {
            let (node, detail) = match fault {
                Fault::Node { node, detail } => (node, detail),
                Fault::Own(error) => return Err(error),
            };
            tracing::warn!(%node, %detail, "an executor broke off while it wrote rows");
            let Some(kept) = &self.kept else { return Err(Error::WriterLost { node, detail }) };
            self.attempts += 1;
            self.writing = Writing::begin(&self.dispatch, self.attempts);
            match self.writing.send_all(kept).await {
                Ok(()) => return Ok(()),
                Err(another) => fault = another,
            }
        }
    }
}

impl Writing {
    fn begin(dispatch: &Dispatch, attempts: usize) -> Self {
        let (messages, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
        let mut outcome = JoinSet::new();
        match dispatch.members.any().filter(|_| attempts < EXECUTORS_TRIED_MAX) {
            Some(member) => outcome.spawn(on_executor(dispatch.clone(), member, receiver)),
            None => outcome.spawn(here(dispatch.clone(), receiver)),
        };
        Self { messages, outcome }
    }

    async fn send_all(&mut self, messages: &[FlightData]) -> Result<(), Fault> {
        for message in messages {
            self.send(message.clone()).await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: FlightData) -> Result<(), Fault> {
        tokio::select! {
            biased;
            sent = self.messages.send(message) => match sent {
                Ok(()) => Ok(()),
                Err(_) => Err(self.early_end().await),
            },
            // An executor that answers before the end of the rows has not taken them all.
            ended = self.outcome.join_next() => Err(fault_of(ended)),
        }
    }

    /// Why the messages are not taken any more.
    async fn early_end(&mut self) -> Fault {
        let ended = self.outcome.join_next().await;
        fault_of(ended)
    }

    async fn outcome(&mut self) -> Result<Vec<StagedSegment>, Fault> {
        match self.outcome.join_next().await {
            Some(Ok(outcome)) => outcome,
            ended => Err(fault_of(ended)),
        }
    }
}

type Ended = Option<Result<Result<Vec<StagedSegment>, Fault>, tokio::task::JoinError>>;

/// Why an attempt ended that should have gone on.
fn fault_of(ended: Ended) -> Fault {
    let internal = |detail: &str| Fault::Own(Error::Internal { detail: detail.to_owned() });
    match ended {
        Some(Ok(Err(fault))) => fault,
        Some(Ok(Ok(_))) => internal("rows were written before all of them had come"),
        Some(Err(error)) => internal(&format!("a task that writes rows failed: {error}")),
        None => internal("nobody writes the rows"),
    }
}

async fn on_executor(
    dispatch: Dispatch,
    member: Arc<Member>,
    messages: Receiver<FlightData>,
) -> Result<Vec<StagedSegment>, Fault> {
    let begun = Instant::now();
    member.counters().of(TaskKind::Stage).begun(0);
    let sender = Arc::clone(&member);
    let messages = messages.inspect(move |message| {
        let bytes = message.data_header.len() + message.data_body.len();
        sender.counters().of(TaskKind::Stage).sent(bytes as u64);
    });
    let answer = async {
        let mut results = member.bulk_client().do_put(messages).await?.into_inner();
        results.message().await?.ok_or_else(|| Status::internal("it gave no answer"))
    };
    match answer.await {
        Ok(result) => {
            let counters = member.counters().of(TaskKind::Stage);
            counters.received(result.app_metadata.len() as u64);
            counters.answered(begun.elapsed());
            decode_staged(result.app_metadata, &dispatch.base.schema, dispatch.begun_ms).map_err(Fault::Own)
        }
        Err(status) if is_nodes_fault(&status) => {
            member.counters().of(TaskKind::Stage).failed();
            // One that says what is wrong is there, and may be asked other things.
            if is_unreachable(&status) {
                dispatch.members.failed(&member, status.message());
            }
            Err(Fault::Node { node: member.name().to_owned(), detail: status.message().to_owned() })
        }
        Err(status) => {
            let error = error_of(member.name(), &status);
            Err(Fault::Own(Error::Elsewhere { kind: error.kind(), sentence: error.to_string() }))
        }
    }
}

async fn here(dispatch: Dispatch, messages: Receiver<FlightData>) -> Result<Vec<StagedSegment>, Fault> {
    stage_rows(&dispatch.local, &dispatch.base, messages.map(Ok).boxed()).await.map_err(Fault::Own)
}
