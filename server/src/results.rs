//! Results that wait to be fetched.
//!
//! A client gets a ticket first and fetches the rows with it. Small results are there by then and stay until the ticket expires,
//! as long as there is room: such a ticket may be used again. Of a large one only the first rows have been computed; they and
//! the rest stream to whoever comes first, and whoever comes again gets the query read once more at the same versions of its
//! tables. Where neither can be promised the ticket says so: it has no time of expiry, and is good for once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use parking_lot::Mutex;
use ulid::Ulid;
use volley_scheduler::{CancellationToken, OpenQuery};

use crate::admission::Admitted;
use crate::flight::wire::Wire;
use crate::work::Work;

/// Bytes of results that are kept to be fetched again, in all.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Queries that are kept planned to be read again, in all.
const OPEN_MAX: usize = 1_000;
/// Bytes of results that are good for once, in all: beyond them the oldest go, fetched or not.
const SINGLE_USE_BYTES_MAX: usize = 64 << 20;
/// What a result counts for beside its rows.
const RESULT_BYTES: usize = 1 << 10;
/// Longer statements are not kept to be read again.
const AGAIN_BYTES_MAX: usize = 64 << 10;
/// A running query whose client does not come for its rows is stopped after this time.
const PICK_UP: Duration = Duration::from_secs(30);

/// A query that runs, and the rows of it that are there.
pub(crate) struct Live {
    pub(crate) first: Vec<RecordBatch>,
    pub(crate) rest: Option<SendableRecordBatchStream>,
    /// Its turn, kept until the last row.
    pub(crate) admitted: Option<Admitted>,
    /// What is counted when it ends.
    pub(crate) work: Option<Work>,
}

/// One part of a result.
enum Part {
    Kept(Arc<[RecordBatch]>),
    Live(Box<Live>),
    Fetched,
}

/// A result and who may fetch it.
pub(crate) struct StoredResult {
    pub(crate) user: String,
    pub(crate) wire: Wire,
    /// Stops the query.
    pub(crate) cancel: CancellationToken,
    /// The query, where it can be read again.
    again: Option<Again>,
    parts: Mutex<Vec<Part>>,
    single_use: bool,
    /// What it counts for among the kept.
    held: Option<KeptBytes>,
}

/// A query that can be read again.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    pub(crate) query: Arc<OpenQuery>,
    pub(crate) sql: Arc<str>,
}

/// Bytes that are counted as kept.
#[derive(Debug)]
struct KeptBytes(Arc<AtomicUsize>, usize);

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// What a ticket is exchanged for.
pub(crate) enum Fetched {
    /// Rows that are there.
    Kept(Arc<[RecordBatch]>),
    /// A query that runs.
    Live(Box<Live>),
    /// The query has to be read again.
    Again(Again),
    /// It was good for once, and that was before.
    Gone,
}

/// All results that wait.
#[derive(Default)]
pub(crate) struct Results {
    waiting: Mutex<Waiting>,
    kept_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Waiting {
    results: HashMap<Ulid, Arc<StoredResult>>,
    /// By when they end; lifetimes are alike, so the first ends first.
    expiries: VecDeque<(Instant, Ulid)>,
    /// Running queries by when somebody has to have come.
    pick_ups: VecDeque<(Instant, Ulid)>,
    open: usize,
    /// Results that are there and good for once, with their bytes, by age.
    singles: VecDeque<(Ulid, usize)>,
    single_bytes: usize,
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").field("waiting", &self.waiting.lock().results.len()).finish_non_exhaustive()
    }
}

/// What a new result is made of.
pub(crate) struct NewResult {
    pub(crate) user: String,
    pub(crate) wire: Wire,
    pub(crate) cancel: CancellationToken,
    pub(crate) again: Option<Again>,
    pub(crate) rows: NewRows,
}

/// Its rows.
pub(crate) enum NewRows {
    /// All there.
    Kept(Vec<RecordBatch>),
    /// Some there, in parts that are fetched side by side.
    Live(Vec<Live>),
}

/// Where a result can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: Ulid,
    pub(crate) parts: usize,
    /// Whether the tickets are good until they expire, and not only for once.
    pub(crate) repeatable: bool,
}

impl Results {
    /// Keeps a result to be fetched.
    pub(crate) fn keep(&self, new: NewResult, lifetime: Duration) -> Stored {
        let now = Instant::now();
        let id = Ulid::generate();
        let (parts, bytes) = match new.rows {
            NewRows::Kept(batches) => {
                let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
                (vec![Part::Kept(batches.into())], Some(bytes + RESULT_BYTES))
            }
            NewRows::Live(lives) => (lives.into_iter().map(|live| Part::Live(Box::new(live))).collect(), None),
        };
        let held = bytes.and_then(|bytes| self.hold(bytes));
        let mut waiting = self.waiting.lock();
        let mut ended = waiting.expired(now);
        let again = new.again.filter(|again| {
            bytes.is_none() && parts.len() == 1 && waiting.open < OPEN_MAX && again.sql.len() <= AGAIN_BYTES_MAX
        });
        waiting.open += usize::from(again.is_some());
        let repeatable = held.is_some() || again.is_some();
        let stored = Stored { id, parts: parts.len(), repeatable };
        let result = StoredResult {
            user: new.user,
            wire: new.wire,
            cancel: new.cancel,
            again,
            parts: Mutex::new(parts),
            single_use: !repeatable,
            held,
        };
        waiting.results.insert(id, Arc::new(result));
        if repeatable || bytes.is_none() {
            waiting.expiries.push_back((now + lifetime, id));
        }
        match bytes {
            None => waiting.pick_ups.push_back((now + PICK_UP.min(lifetime), id)),
            Some(bytes) if !repeatable => {
                waiting.singles.push_back((id, bytes));
                waiting.single_bytes += bytes;
                while waiting.single_bytes > SINGLE_USE_BYTES_MAX
                    && let Some((oldest, bytes)) = waiting.singles.pop_front()
                {
                    waiting.single_bytes -= bytes;
                    ended.extend(waiting.remove(oldest));
                }
            }
            Some(_) => {}
        }
        drop(waiting);
        drop(ended);
        stored
    }

    /// Counts bytes as kept, if there is room for them.
    fn hold(&self, bytes: usize) -> Option<KeptBytes> {
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= KEPT_BYTES_MAX);
        self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(KeptBytes(Arc::clone(&self.kept_bytes), bytes))
    }

    /// The result of this number, for its user.
    pub(crate) fn get(&self, id: Ulid, user: &str) -> Option<Arc<StoredResult>> {
        self.waiting.lock().results.get(&id).filter(|result| result.user == user).cloned()
    }

    /// Hands out a part of a result.
    pub(crate) fn fetch(&self, id: Ulid, result: &StoredResult, part: usize) -> Fetched {
        let mut parts = result.parts.lock();
        let (fetched, rest) = match parts.get_mut(part) {
            None => return Fetched::Gone,
            Some(part) => match part {
                Part::Kept(batches) if !result.single_use => return Fetched::Kept(Arc::clone(batches)),
                other => (std::mem::replace(other, Part::Fetched), parts.iter().all(|p| matches!(p, Part::Fetched))),
            },
        };
        drop(parts);
        // One that runs can be cancelled until it expires.
        if rest && result.single_use && matches!(fetched, Part::Kept(_)) {
            self.remove(id);
        }
        match fetched {
            Part::Kept(batches) => Fetched::Kept(batches),
            Part::Live(live) => Fetched::Live(live),
            Part::Fetched => result.again.clone().map_or(Fetched::Gone, Fetched::Again),
        }
    }

    /// Stops a query and forgets its result.
    pub(crate) fn cancel(&self, id: Ulid) {
        if let Some(result) = self.remove(id) {
            result.cancel.cancel();
        }
    }

    fn remove(&self, id: Ulid) -> Option<Arc<StoredResult>> {
        self.waiting.lock().remove(id)
    }

    /// Forgets what has expired, and stops queries whose clients did not come.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        let (expired, abandoned) = (waiting.expired(now), waiting.abandoned(now));
        drop(waiting);
        drop((expired, abandoned));
    }

    /// Stops and forgets everything.
    pub(crate) fn clear(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.results.values().for_each(|result| result.cancel.cancel());
    }
}

impl Waiting {
    fn remove(&mut self, id: Ulid) -> Option<Arc<StoredResult>> {
        let removed = self.results.remove(&id)?;
        self.open -= usize::from(removed.again.is_some());
        Some(removed)
    }

    /// Takes out what has expired: to be dropped by the caller, without the lock.
    fn expired(&mut self, now: Instant) -> Vec<Arc<StoredResult>> {
        let mut expired = Vec::new();
        while let Some((_, id)) = self.expiries.pop_front_if(|(at, _)| *at <= now) {
            expired.extend(self.remove(id));
        }
        expired
    }

    /// Takes out the running parts that nobody came for, or that were cancelled by their query's id: to be dropped likewise.
    fn abandoned(&mut self, now: Instant) -> Vec<Part> {
        let mut abandoned = Vec::new();
        let results = &self.results;
        self.pick_ups.retain(|(at, id)| {
            let Some(result) = results.get(id) else { return false };
            let stays = *at > now && !result.cancel.is_cancelled();
            if !stays {
                for part in result.parts.lock().iter_mut().filter(|part| matches!(part, Part::Live(_))) {
                    abandoned.push(std::mem::replace(part, Part::Fetched));
                }
            }
            stays
        });
        abandoned
    }
}

impl std::fmt::Debug for StoredResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredResult").field("user", &self.user).field("held", &self.held).finish_non_exhaustive()
    }
}
