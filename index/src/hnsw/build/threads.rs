//! Work on several threads.

use std::sync::{Mutex, PoisonError};

/// Does the work for every item, on as many threads as there are workers, this one included. Each takes the next item as
/// soon as it is done with one.
pub(super) fn for_each<W: Send, T>(
    workers: &mut [W],
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut W, T) + Sync,
) {
    let items = Mutex::new(items);
    let run = |worker: &mut W| {
        loop {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(item) = next else { return };
            work(worker, item);
        }
    };
    let Some((own, others)) = workers.split_first_mut() else { return };
    std::thread::scope(|scope| {
        for worker in others {
            scope.spawn(|| run(worker));
        }
        run(own);
    });
}
