//! What runs on an executor, so that it can wait for its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use tokio::sync::Notify;

use crate::cluster::service::Rows;

/// The tasks that run. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    tasks: AtomicUsize,
    rested: Notify,
}

/// A task that runs until this is dropped.
#[derive(Debug)]
pub(super) struct One(Arc<Counter>);

impl Running {
    /// A task begins.
    pub(super) fn one(&self) -> One {
        self.0.tasks.fetch_add(1, Ordering::AcqRel);
        One(Arc::clone(&self.0))
    }

    /// Waits until nothing runs.
    pub(super) async fn idle(&self) {
        loop {
            let rested = self.0.rested.notified();
            if self.0.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            rested.await;
        }
    }
}

impl One {
    /// The task runs as long as its rows are taken.
    pub(super) fn until_the_end_of(self, rows: Rows) -> Rows {
        rows.inspect(move |_| {
            // Held by the stream.
            let _ = &self;
        })
        .boxed()
    }
}

impl Drop for One {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.rested.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rests_when_the_last_stream_is_gone() {
        let running = Running::default();
        running.idle().await;
        let rows: Rows = futures::stream::pending().boxed();
        let (rows, task) = (running.one().until_the_end_of(rows), running.one());
        let waiting = tokio::spawn({
            let running = running.clone();
            async move { running.idle().await }
        });
        drop(task);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(rows);
        waiting.await.expect("no panic");
    }
}
