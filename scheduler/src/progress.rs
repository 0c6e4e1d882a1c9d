//! How far a statement is that takes long and can say so.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What a statement says about its progress. The statement writes it, whoever waits for it looks when it likes.
#[derive(Debug, Default)]
pub struct Progress {
    step: Mutex<Option<Arc<Step>>>,
}

/// What is being done.
#[derive(Debug)]
struct Step {
    what: String,
    done: AtomicU64,
    total: u64,
}

/// How far the current step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progressed {
    /// What is being done, such as `indexing segment 3 of 8`.
    pub what: String,
    /// Rows done.
    pub done: u64,
    /// Rows there are; 0 where the step does not count rows.
    pub total: u64,
}

impl Progress {
    /// How far the current step is; `None` before the first.
    pub fn now(&self) -> Option<Progressed> {
        let step = self.step.lock().clone()?;
        let done = step.done.load(Ordering::Relaxed).min(step.total);
        Some(Progressed { what: step.what.clone(), done, total: step.total })
    }

    /// Begins a step; what is returned takes the number of rows done, from any thread.
    pub(crate) fn begin(&self, what: String, total: u64) -> RowsDone {
        let step = Arc::new(Step { what, done: AtomicU64::new(0), total });
        *self.step.lock() = Some(Arc::clone(&step));
        Arc::new(move |done| {
            step.done.fetch_max(done, Ordering::Relaxed);
        })
    }
}

/// Takes the number of rows done.
pub(crate) type RowsDone = Arc<dyn Fn(u64) + Send + Sync>;

impl fmt::Display for Progressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total {
            0 => write!(f, "{}", self.what),
            total => write!(f, "{}: {} of {total} rows", self.what, self.done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other() {
        let progress = Progress::default();
        assert_eq!(progress.now(), None);
        let first = progress.begin("indexing segment 1 of 2".into(), 100);
        first(40);
        first(30);
        assert_eq!(progress.now().unwrap().to_string(), "indexing segment 1 of 2: 40 of 100 rows");
        let second = progress.begin("waiting".into(), 0);
        first(90);
        second(7);
        assert_eq!(progress.now().unwrap().to_string(), "waiting");
    }
}
