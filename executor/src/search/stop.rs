//! Cancellation, deadlines and the floor that parallel searches share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use datafusion::common::Result;

use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::search::SearchRequest;

/// Tells working threads to stop: because nobody waits any more, or because it is too late.
#[derive(Debug)]
pub(super) struct Stop {
    dropped: AtomicBool,
    deadline: Option<Instant>,
    interrupt: Interrupt,
}

impl Stop {
    pub(super) fn new(deadline: Option<Instant>, interrupt: Interrupt) -> Arc<Self> {
        Arc::new(Self { dropped: AtomicBool::new(false), deadline, interrupt })
    }

    /// Whether to stop. Cheap enough to be asked every millisecond.
    pub(super) fn requested(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) || self.interrupt.requested() || self.too_late()
    }

    /// An error once the query was stopped or its deadline has passed.
    pub(super) fn check(&self) -> Result<()> {
        self.interrupt.check()?;
        if self.too_late() { Err(Error::DeadlineExceeded.into()) } else { Ok(()) }
    }

    /// Stops the work when the guard goes out of scope, which is what happens when a future is dropped.
    pub(super) fn on_drop(self: &Arc<Self>) -> StopOnDrop {
        StopOnDrop(Arc::clone(self))
    }

    fn too_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// See [`Stop::on_drop`].
#[derive(Debug)]
pub(super) struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::Relaxed);
    }
}

/// Per query, a distance that k rows are known not to exceed: what parallel searches pass to each other. It only falls.
#[derive(Debug)]
pub(super) struct Floors(Vec<AtomicU32>);

impl Floors {
    pub(super) fn new(request: &SearchRequest) -> Self {
        Self((0..request.query_count()).map(|query| AtomicU32::new(request.floor_of(query).to_bits())).collect())
    }

    /// The floors of this moment.
    pub(super) fn current(&self) -> Vec<f32> {
        self.0.iter().map(|floor| f32::from_bits(floor.load(Ordering::Relaxed))).collect()
    }

    /// k rows within `distance` have been found.
    pub(super) fn lower(&self, query: usize, distance: f32) {
        if let Some(floor) = self.0.get(query) {
            let nearer = |bits: u32| (distance < f32::from_bits(bits)).then(|| distance.to_bits());
            // An error means that the floor is as low already.
            let _ = floor.fetch_update(Ordering::Relaxed, Ordering::Relaxed, nearer);
        }
    }
}
