//! The statements that are being executed: for `volley.queries`, and to cancel them by their ids.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::Stream;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use volley_planner::system_tables::{QueryState, RunningQuery};
use volley_storage::env::Clock;

use crate::request::{QueryId, QueryRequest, QueryResult};
use crate::users::Identity;

/// Bytes of a statement that are kept: enough for the characters that `volley.queries` shows, little enough to be copied
/// for every statement.
const STATEMENT_BYTES_MAX: usize = 40_000;

/// The statements that are being executed.
pub(crate) struct Queries {
    clock: Arc<dyn Clock>,
    running: Mutex<HashMap<QueryId, Arc<Entry>>>,
}

struct Entry {
    statement: Box<str>,
    identity: Option<Arc<Identity>>,
    cancel: CancellationToken,
    started_at_ms: i64,
    started: Instant,
    is_streaming: AtomicBool,
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries").field("running", &self.running.lock().len()).finish_non_exhaustive()
    }
}

impl Queries {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, running: Mutex::default() }
    }

    /// Registers a statement until what is returned is dropped.
    pub(crate) fn register(self: &Arc<Self>, request: &QueryRequest) -> Registered {
        let text = request.sql.as_str();
        let entry = Arc::new(Entry {
            statement: text[..text.floor_char_boundary(STATEMENT_BYTES_MAX)].into(),
            identity: request.session.identity().cloned(),
            cancel: request.cancel.clone(),
            started_at_ms: self.clock.now_ms(),
            started: Instant::now(),
            is_streaming: AtomicBool::new(false),
        });
        self.running.lock().insert(request.query_id, Arc::clone(&entry));
        Registered { queries: Arc::clone(self), id: request.query_id, entry }
    }

    /// Cancels a statement; `false` when there is none of this id, or none of this user's. Without a user, anybody's.
    pub(crate) fn cancel(&self, id: QueryId, of: Option<&str>) -> bool {
        let running = self.running.lock();
        let is_of = |entry: &Entry| of.is_none_or(|user| entry.user() == Some(user));
        let cancel = running.get(&id).filter(|entry| is_of(entry)).map(|entry| entry.cancel.clone());
        // Outside of the lock: whoever waits for the token may be woken here.
        drop(running);
        match cancel {
            Some(cancel) => {
                cancel.cancel();
                true
            }
            None => false,
        }
    }

    /// The statements, for `volley.queries`.
    pub(crate) fn report(&self) -> Vec<RunningQuery> {
        let running: Vec<_> = self.running.lock().iter().map(|(id, entry)| (*id, Arc::clone(entry))).collect();
        let line = |(id, entry): (QueryId, Arc<Entry>)| RunningQuery {
            id: id.to_string(),
            user: entry.user().map(Arc::from),
            statement: entry.statement.to_string(),
            started_at_ms: entry.started_at_ms,
            elapsed_ms: u64::try_from(entry.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            state: entry.state(),
        };
        running.into_iter().map(line).collect()
    }
}

impl Entry {
    fn user(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.name.as_str())
    }

    fn state(&self) -> QueryState {
        match self.is_streaming.load(Ordering::Relaxed) {
            _ if self.cancel.is_cancelled() => QueryState::Cancelling,
            true => QueryState::Streaming,
            false => QueryState::Running,
        }
    }
}

/// A statement that is registered as long as this lives.
pub(crate) struct Registered {
    queries: Arc<Queries>,
    id: QueryId,
    entry: Arc<Entry>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut running = self.queries.running.lock();
        // Another request may have come with the same id.
        if running.get(&self.id).is_some_and(|entry| Arc::ptr_eq(entry, &self.entry)) {
            running.remove(&self.id);
        }
    }
}

impl Registered {
    /// The result of the statement, which stays registered until its last row is read or nobody wants to.
    pub(crate) fn streaming(self, result: QueryResult) -> QueryResult {
        QueryResult { stream: self.over(result.stream), ..result }
    }

    /// The same for rows alone.
    pub(crate) fn over(self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        self.entry.is_streaming.store(true, Ordering::Relaxed);
        Box::pin(RegisteredStream { inner: stream, registered: Some(self) })
    }
}

struct RegisteredStream {
    inner: SendableRecordBatchStream,
    registered: Option<Registered>,
}

impl Stream for RegisteredStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.inner.as_mut().poll_next(context));
        if !matches!(item, Some(Ok(_))) {
            self.registered = None;
        }
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl RecordBatchStream for RegisteredStream {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
