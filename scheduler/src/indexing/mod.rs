//! Building indexes, segment by segment, for statements and in the background.
//!
//! An index is a name in the catalog and, beside each segment that has it, sidecars of its description. Whoever builds
//! goes by what is missing: a segment in a file without such a sidecar. So a build that was cut short at any moment
//! is completed by the next one, and nothing has to be remembered.
//!
//! ```text
//! CREATE INDEX   name ── segment: build, commit ── segment: build, commit ── …     undone when it fails
//! a write        commit ── acknowledged;  later, in the background: segment: build, commit ── …
//! ```
//!
//! One segment at a time is built in a process, whoever asked for it, on as many threads as whoever asked may use. A
//! coordinator has executors build, a segment each at the same time, and only commits.

mod background;
mod build;
mod calibrate;
mod job;
mod memory;
mod sidecars;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use volley_planner::error::Error as PlannerError;
use volley_storage::ids::TableId;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::store::TableStore;
use volley_storage::{Database, ErrorKind};

pub(crate) use self::calibrate::Measured;
pub(crate) use self::job::Job;

use crate::cluster::Helpers;
use crate::error::{Error, Result};
use crate::memory::MemoryLedger;
use crate::progress::{Progress, RowsDone};

/// Builds indexes. It holds no runtime, so that work in the background does not keep an engine alive.
#[derive(Debug)]
pub(crate) struct Indexer {
    database: Database,
    store: Arc<dyn TableStore>,
    memory: Arc<MemoryLedger>,
    cpu: Handle,
    threads: usize,
    /// The executors that do the work, on a coordinator.
    helpers: Option<Helpers>,
    /// Held by whoever has segments built and commits what comes of it.
    turn: Semaphore,
    /// Held while this process computes.
    computing: AsyncMutex<()>,
    /// Tables with a job in the background, and whether another commit came since the job looked.
    jobs: Mutex<HashMap<TableId, bool>>,
    /// Pieces of work under way that [`Indexer::idle`] waits for.
    working: Mutex<usize>,
    rested: Notify,
    stop: CancellationToken,
    /// Whether new rows are indexed in the background by this process.
    active: AtomicBool,
    /// Tables that were last written here by a session without indexing in the background.
    left: Mutex<HashSet<TableId>>,
}

/// What to build, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// The table.
    pub(crate) table: TableId,
    /// The index.
    pub(crate) definition: IndexDefinition,
    /// What makes the commits.
    pub(crate) operation: &'static str,
    /// Stops the work.
    pub(crate) stopped: CancellationToken,
    /// Hears of progress.
    pub(crate) progress: Option<Arc<Progress>>,
}

impl Work {
    fn say(&self, what: String, rows: u64) -> RowsDone {
        match &self.progress {
            Some(progress) => progress.begin(what, rows),
            None => Arc::new(|_| ()),
        }
    }
}

impl Indexer {
    /// An indexer for `threads` threads, whose work is done by `helpers` where there are any.
    pub(crate) fn new(
        database: Database,
        memory: Arc<MemoryLedger>,
        cpu: Handle,
        threads: usize,
        helpers: Option<Helpers>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::new(database.clone()),
            database,
            memory,
            cpu,
            threads,
            helpers,
            turn: Semaphore::new(1),
            computing: AsyncMutex::default(),
            jobs: Mutex::default(),
            working: Mutex::default(),
            rested: Notify::new(),
            stop: CancellationToken::new(),
            active: AtomicBool::new(true),
            left: Mutex::default(),
        })
    }

    /// Half of the threads, so that queries have the other half.
    fn threads_in_background(&self) -> usize {
        (self.threads / 2).max(1)
    }

    /// Whether new rows are indexed in the background by this process, from now on. Of several coordinators one does.
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Release);
    }

    /// Stops what runs in the background; nothing is begun any more.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Marks a piece of work that [`Self::idle`] waits for, until the mark is dropped.
    pub(crate) fn working(self: &Arc<Self>) -> Working {
        *self.working.lock() += 1;
        Working(Arc::clone(self))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let rested = self.rested.notified();
            if *self.working.lock() == 0 {
                return;
            }
            rested.await;
        }
    }

    /// Whether the table still has an index of this description, and a name.
    async fn is_wanted(&self, table: TableId, definition: &IndexDefinition) -> Result<bool> {
        let names = self.database.catalog().snapshot().await?;
        Ok(names.indexes(table).any(|(_, _, known)| known == definition))
    }

    /// Waits for the turn to build.
    async fn turn(&self, work: &Work) -> Result<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turn.try_acquire() {
            return Ok(turn);
        }
        work.say("waiting until another segment is indexed".to_owned(), 0);
        tokio::select! {
            biased;
            () = work.stopped.cancelled() => Err(Error::Cancelled),
            // The semaphore is never closed.
            turn = self.turn.acquire() => turn.map_err(|_| Error::Cancelled),
        }
    }
}

/// A piece of work under way.
#[derive(Debug)]
pub(crate) struct Working(Arc<Indexer>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut working = self.0.working.lock();
        *working -= 1;
        if *working == 0 {
            self.0.rested.notify_waiters();
        }
    }
}

/// The error of whoever builds an index that is gone.
fn dropped_meanwhile() -> Error {
    PlannerError::invalid(ErrorKind::InvalidState, "the index was dropped while it was built").into()
}
