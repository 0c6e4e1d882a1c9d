//! What is counted of the calls to an executor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Calls whose time is remembered, of each task.
const RECENT: usize = 64;

/// What an executor is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskKind {
    /// The nearest rows of some segments.
    Search,
    /// A small part of a plan.
    Scan,
    /// Rows to write.
    Stage,
    /// An index over a segment.
    BuildIndex,
    /// Measuring an index.
    Calibrate,
    /// Making shards ready.
    Warm,
}

impl TaskKind {
    /// All of them.
    pub const ALL: [TaskKind; 6] =
        [TaskKind::Search, TaskKind::Scan, TaskKind::Stage, TaskKind::BuildIndex, TaskKind::Calibrate, TaskKind::Warm];

    /// The task's name in metrics and system tables.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Search => "search",
            TaskKind::Scan => "scan",
            TaskKind::Stage => "stage",
            TaskKind::BuildIndex => "build_index",
            TaskKind::Calibrate => "calibrate",
            TaskKind::Warm => "warm",
        }
    }
}

/// What was counted of one executor, over all its runs.
#[derive(Debug, Default)]
pub struct Counters {
    tasks: [TaskCounters; TaskKind::ALL.len()],
}

impl Counters {
    /// What was counted of one task.
    pub fn of(&self, task: TaskKind) -> &TaskCounters {
        &self.tasks[task as usize]
    }
}

/// What was counted of one task of one executor.
#[derive(Debug, Default)]
pub struct TaskCounters {
    calls: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    hedges: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    recent: Mutex<Recent>,
}

/// The counters of a task at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Calls that were begun.
    pub calls: u64,
    /// Those that failed for a reason of the executor's.
    pub failures: u64,
    /// Those that were made because another executor failed.
    pub retries: u64,
    /// Those that were made because another executor was slow.
    pub hedges: u64,
    /// Bytes of messages to it.
    pub sent: u64,
    /// Bytes of messages from it.
    pub received: u64,
    /// The time within which 95 of 100 recent calls were answered.
    pub p95: Option<Duration>,
}

impl TaskCounters {
    /// A call begins with a message of so many bytes.
    pub fn begun(&self, sent: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.sent(sent);
    }

    /// More bytes were sent.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes arrived.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A call was answered after so long.
    pub fn answered(&self, took: Duration) {
        self.recent.lock().add(took);
    }

    /// A call failed for a reason of the executor's.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A call is made because another executor failed.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A call is made because another executor is slow.
    pub fn hedged(&self) {
        self.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// The time within which 95 of 100 recent calls were answered; `None` before the first.
    pub fn p95(&self) -> Option<Duration> {
        self.recent.lock().p95()
    }

    /// The counters now.
    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            calls: read(&self.calls),
            failures: read(&self.failures),
            retries: read(&self.retries),
            hedges: read(&self.hedges),
            sent: read(&self.sent),
            received: read(&self.received),
            p95: self.p95(),
        }
    }
}

/// The times of the newest calls.
#[derive(Debug, Default)]
pub(super) struct Recent {
    times: Vec<Duration>,
    next: usize,
}

impl Recent {
    pub(super) fn add(&mut self, took: Duration) {
        match self.times.get_mut(self.next) {
            Some(oldest) => *oldest = took,
            None => self.times.push(took),
        }
        self.next = (self.next + 1) % RECENT;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn p95(&self) -> Option<Duration> {
        let mut times = self.times.clone();
        let rank = (times.len() * 95).div_ceil(100).checked_sub(1)?;
        Some(*times.select_nth_unstable(rank).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recent_calls_count_for_their_time() {
        let counters = Counters::default();
        let search = counters.of(TaskKind::Search);
        assert_eq!(search.p95(), None);
        for ms in 1..=100 {
            search.begun(10);
            search.answered(Duration::from_millis(ms));
        }
        // Of 37 to 100 ms, the 61st.
        assert_eq!(search.p95(), Some(Duration::from_millis(97)));
        search.failed();
        let counted = search.counted();
        assert_eq!((counted.calls, counted.failures, counted.sent), (100, 1, 1000));
        assert_eq!(counters.of(TaskKind::Scan).counted(), Counted::default());
    }

    #[test]
    fn every_task_has_counters_of_its_own() {
        let names: std::collections::HashSet<&str> = TaskKind::ALL.iter().map(|task| task.name()).collect();
        assert_eq!(names.len(), TaskKind::ALL.len());
        assert!(TaskKind::ALL.iter().enumerate().all(|(at, task)| *task as usize == at));
    }
}
