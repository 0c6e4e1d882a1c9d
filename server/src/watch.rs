//! Clients that stall: what they hold is taken from them.
//!
//! A statement whose client takes no rows, or sends none, waits for it with its slot. After a second the slot goes to somebody
//! else, and the statement goes on without one when its client comes back; after minutes it is cancelled.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use volley_scheduler::CancellationToken;

use crate::admission::Admitted;

/// A client that does nothing for so long gives up its slot.
const SLOT_LOST_AFTER: Duration = Duration::from_secs(1);
/// And after this time its statement.
const CANCELLED_AFTER: Duration = Duration::from_secs(300);

/// The streams of a server.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Vec<Weak<Watched>>>);

/// A stream between a client and its statement.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Since when the statement waits for the client; `None` while the client waits for it.
    waits_since: Mutex<Option<Instant>>,
    admitted: Mutex<Option<Admitted>>,
    cancel: CancellationToken,
}

impl Watch {
    /// Watches a statement with its slot; `cancel` ends it.
    pub(crate) fn over(&self, admitted: Option<Admitted>, cancel: CancellationToken) -> Arc<Watched> {
        let watched = Watched { waits_since: Mutex::new(None), admitted: Mutex::new(admitted), cancel };
        let watched = Arc::new(watched);
        self.0.lock().push(Arc::downgrade(&watched));
        watched
    }

    /// Takes from clients that stall what they hold. Called now and then.
    pub(crate) fn look(&self) {
        let mut released = Vec::new();
        self.0.lock().retain(|watched| {
            let Some(watched) = watched.upgrade() else { return false };
            let waited = watched.waits_since.lock().map_or(Duration::ZERO, |since| since.elapsed());
            if waited >= SLOT_LOST_AFTER {
                released.extend(watched.admitted.lock().take());
            }
            if waited >= CANCELLED_AFTER {
                watched.cancel.cancel();
            }
            true
        });
        // Whoever waits for a slot is woken without the lock.
        drop(released);
    }
}

impl Watched {
    /// The statement waits for the client from now on.
    pub(crate) fn client_is_asked(&self) {
        self.waits_since.lock().get_or_insert_with(Instant::now);
    }

    /// The client did its part.
    pub(crate) fn client_came(&self) {
        *self.waits_since.lock() = None;
    }

    /// The statement is done: its slot is free.
    pub(crate) fn done(&self) {
        drop(self.admitted.lock().take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Admission;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn who_stalls_loses_the_slot_and_not_who_is_slow() {
        let admission = Admission::new(2, 0, Duration::ZERO, Metrics::new());
        let watch = Watch::default();
        let cancel = CancellationToken::new();
        let (first, second) = (admission.admit().await.ok(), admission.admit().await.ok());
        let stalled = watch.over(first, cancel.clone());
        let busy = watch.over(second, cancel.clone());
        *stalled.waits_since.lock() = Some(Instant::now() - SLOT_LOST_AFTER);
        busy.client_is_asked();
        busy.client_came();
        watch.look();
        assert!(stalled.admitted.lock().is_none() && busy.admitted.lock().is_some());
        assert!(admission.admit().await.is_ok() && !cancel.is_cancelled());
        *stalled.waits_since.lock() = Instant::now().checked_sub(CANCELLED_AFTER);
        watch.look();
        assert_eq!(cancel.is_cancelled(), stalled.waits_since.lock().is_some());
    }
}
