//! How many statements run at the same time, and how many wait for their turn.
//!
//! A statement takes a slot before it begins and keeps it until its last row is computed. When all are taken it waits, but only
//! in a short queue and only for a while: a server that lets everybody in serves nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// The slots of a server.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Arc<Semaphore>,
    queue: Semaphore,
    count: usize,
    timeout: Duration,
    metrics: Metrics,
}

/// A slot; dropping it lets the next statement in.
#[derive(Debug)]
pub(crate) struct Admitted(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// No slot became free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// When to try again.
    pub(crate) retry_after: Duration,
}

/// What a refused client is told to wait at least: about what a queue of short statements takes.
const RETRY_AFTER: Duration = Duration::from_millis(250);

impl Admission {
    /// So many slots, and so many places in the queue in front of them.
    pub(crate) fn new(slots: usize, queue: usize, timeout: Duration, metrics: Metrics) -> Self {
        // As many as one call can ask for.
        let (count, places) = (slots.min(u32::MAX as usize), queue.min(Semaphore::MAX_PERMITS));
        Self { slots: Arc::new(Semaphore::new(count)), queue: Semaphore::new(places), count, timeout, metrics }
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        // Fails only when the semaphore is closed, which nobody does.
        let _ = self.slots.acquire_many(self.count as u32).await;
    }

    /// Takes a slot, waiting for one if need be.
    pub(crate) async fn admit(&self) -> Result<Admitted, Refused> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(Admitted(slot));
        }
        let refused = Refused { retry_after: RETRY_AFTER };
        let Ok(_place) = self.queue.try_acquire() else { return Err(refused) };
        let _counted = self.metrics.queued();
        match tokio::time::timeout(self.timeout, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(Admitted(slot)),
            Ok(Err(_)) | Err(_) => Err(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_short_and_does_not_last() {
        let admission = Arc::new(Admission::new(1, 1, Duration::from_millis(50), Metrics::new()));
        let first = admission.admit().await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.admit().await.map(|_| ()) }
        });
        tokio::task::yield_now().await;
        // The one place in the queue is taken.
        assert!(admission.admit().await.is_err());
        drop(first);
        waiting.await.unwrap().unwrap();

        let _held = admission.admit().await.unwrap();
        let begun = std::time::Instant::now();
        assert!(admission.admit().await.is_err());
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
}
