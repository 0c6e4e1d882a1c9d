//! Drives work on the CPU runtime with cancellation and a deadline.
//!
//! A query's stream is pulled by a task on the CPU runtime and handed over through a short channel, so that a slow
//! client holds back the scan and a client that goes away stops it. Whoever waits for the query hears of a
//! cancellation at once, even while the work is busy; the work stops at its next yield. Only what takes less than a few
//! milliseconds runs where it is asked for, up to where it has to wait.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, unconstrained};
use tokio_util::sync::{CancellationToken, DropGuard};

use volley_storage::ErrorKind;

use crate::error::{Error, Result};

/// Batches that wait for the client, at most.
const CHANNEL_BATCHES: usize = 2;

/// When a query has to stop before it is done. Clones belong to the same query.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    cancel: CancellationToken,
    deadline: Option<Instant>,
    phase: Arc<AtomicU8>,
    stopped: CancellationToken,
}

/// The query may still be stopped.
const RUNNING: u8 = 0;
/// Its commit has begun: it is told what became of it, however long that takes.
const COMMITTING: u8 = 1;
/// It was stopped and will not commit.
const STOPPED: u8 = 2;

impl Limits {
    pub(crate) fn new(cancel: CancellationToken, deadline: Option<Instant>) -> Self {
        // Cancelled with the query, and also when its deadline passes or its client goes away.
        let stopped = cancel.child_token();
        Self { cancel, deadline, phase: Arc::new(AtomicU8::new(RUNNING)), stopped }
    }

    /// Limits of a part of the query, which ends with the query at the latest.
    pub(crate) fn of_part(&self) -> Self {
        Self::new(self.stopped.clone(), self.deadline)
    }

    /// When the query has to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long the query may still take.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Cancelled as soon as the query has to stop, for whichever reason: for work that cannot yield, and for work that
    /// goes on after a commit has begun and can be undone.
    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Marks that the query's commit begins; from now on no limit ends it from outside, and its outcome is waited for.
    /// Fails when it was stopped before.
    pub(crate) fn begin_commit(&self) -> Result<()> {
        match self.enter(COMMITTING) {
            true => Ok(()),
            false => Err(Error::Cancelled),
        }
    }

    /// Marks that the commit failed and left nothing behind: limits stop the query again.
    pub(crate) fn commit_failed(&self) {
        // Fails only where no commit had begun, and then there is nothing to mark.
        let _ = self.phase.compare_exchange(COMMITTING, RUNNING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Leaves the running phase for another; `false` when that other one was chosen before.
    fn enter(&self, phase: u8) -> bool {
        match self.phase.compare_exchange(RUNNING, phase, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(current) => current == phase,
        }
    }

    /// Resolves when the query has to stop, to the reason.
    async fn reached(&self) -> Error {
        let deadline = async {
            match self.deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Error::Cancelled,
            () = deadline => Error::DeadlineExceeded,
        }
    }

    /// Runs a piece of work on `runtime` until it is done or a limit is reached; then it is dropped at its next yield.
    pub(crate) async fn run<T, F>(&self, runtime: &Handle, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut task = AbortOnDrop(runtime.spawn(work));
        self.wait(async { (&mut task.0).await.unwrap_or_else(|fault| Err(fault_error(fault))) }).await
    }

    /// Runs a piece of work on the thread that asks for it, with `runtime` for what it starts, up to where it has to wait for
    /// something; the rest, if any, as [`run`](Self::run) does, because whoever asks may not come back to it while others wait
    /// for what it holds.
    pub(crate) async fn run_here<T, F>(&self, runtime: &Handle, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        // A task's allowance of steps would end this early now and then; there is but one step.
        let begun = unconstrained(poll_fn(|context| {
            let _inside = runtime.enter();
            Poll::Ready(match self.reached().now_or_never() {
                Some(reason) => Poll::Ready(Ok(Err(reason))),
                None => work.as_mut().poll(context),
            })
        }));
        match begun.await {
            Poll::Ready(done) => done.unwrap_or_else(|_| Err(panicked())),
            Poll::Pending => self.run(runtime, async move { work.await.unwrap_or_else(|_| Err(panicked())) }).await,
        }
    }

    async fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        // A client that does not wait any longer drops this; work that does not yield hears of it so.
        let stopped = self.stopped.clone().drop_guard();
        let mut work = pin!(work);
        let done = tokio::select! {
            biased;
            reason = self.reached() => {
                let stops = self.enter(STOPPED);
                self.stopped.cancel();
                match stops {
                    true => Err(reason),
                    // A commit goes on to its end. Work that commits in steps ends at the next and puts back what it changed.
                    false => work.await.map_err(|error| match error.kind() {
                        ErrorKind::Cancelled => reason,
                        _ => error,
                    }),
                }
            },
            done = &mut work => done,
        };
        stopped.disarm();
        done
    }

    /// Pulls `stream` on `runtime`; the returned stream ends with an error when a limit is reached.
    pub(crate) fn stream(self, runtime: &Handle, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = stream.schema();
        let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
        let task = runtime.spawn(pull(stream, sender, self.cancel.clone()));
        hand_over(schema, receiver, self, AbortOnDrop(task))
    }
}

/// Aborts its task when dropped.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn fault_error(fault: tokio::task::JoinError) -> Error {
    match fault.is_cancelled() {
        true => Error::Cancelled,
        false => panicked(),
    }
}

fn panicked() -> Error {
    Error::Internal { detail: "a query task panicked; please report the statement".to_owned() }
}

/// `cancel` ends it also while the client does not ask for more: what the query holds is given back at once.
async fn pull(
    mut stream: SendableRecordBatchStream,
    sender: mpsc::Sender<DfResult<RecordBatch>>,
    cancel: CancellationToken,
) {
    loop {
        let item = tokio::select! {
            () = sender.closed() => return,
            item = stream.next() => item,
        };
        let Some(item) = item else { return };
        let failed = item.is_err();
        let is_sent = tokio::select! {
            biased;
            sent = sender.send(item) => sent.is_ok(),
            () = cancel.cancelled() => return,
        };
        if failed || !is_sent {
            return;
        }
    }
}

struct HandOver {
    receiver: mpsc::Receiver<DfResult<RecordBatch>>,
    limits: Limits,
    task: Option<AbortOnDrop<()>>,
    /// A client that goes away drops the stream and with it this.
    _stopped: DropGuard,
}

fn hand_over(
    schema: SchemaRef,
    receiver: mpsc::Receiver<DfResult<RecordBatch>>,
    limits: Limits,
    task: AbortOnDrop<()>,
) -> SendableRecordBatchStream {
    let stopped = limits.stopped.clone().drop_guard();
    let state = HandOver { receiver, limits, task: Some(task), _stopped: stopped };
    let stream = futures::stream::unfold(state, |mut state| async move {
        // Without a task the stream has ended.
        state.task.as_ref()?;
        let reason = tokio::select! {
            biased;
            reason = state.limits.reached() => Some(reason),
            item = state.receiver.recv() => match item {
                Some(item) => return Some((item, state)),
                None => None,
            },
        };
        let mut task = state.task.take()?;
        let error = match reason {
            Some(reason) => {
                state.limits.stopped.cancel();
                reason
            }
            // The channel closes when the task is done, also when it panicked: never a partial answer.
            None => fault_error((&mut task.0).await.err()?),
        };
        Some((Err(DataFusionError::from(error)), state))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}
