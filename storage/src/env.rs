//! The injected outside world: clock, randomness, object store.

use crate::cache::DiskCache;
use async_trait::async_trait;
use object_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

/// Time, so that simulations own it.
#[async_trait]
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
    /// Waits.
    async fn sleep(&self, duration: Duration);
}

/// Randomness, so that a seed replays a schedule.
pub trait Rng: std::fmt::Debug + Send + Sync {
    /// 128 random bits.
    fn random_u128(&self) -> u128;
}

/// The outside world of one data directory.
#[derive(Debug, Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The store, rooted at the data directory. No retries inside: commits depend on seeing every reply.
    pub store: Arc<dyn ObjectStore>,
    /// The same root as a local directory, where files may be mapped; `None` on remote and in-memory stores.
    pub local_root: Option<std::path::PathBuf>,
    /// Copies of the store's files on this machine's disk; there exactly where the store is behind a network.
    pub disk_cache: Option<Arc<DiskCache>>,
}

impl Env {
    /// Whether each look at the store is a trip over a network.
    pub fn is_remote(&self) -> bool {
        self.disk_cache.is_some()
    }

    /// A new time-ordered identifier, from the injected clock and randomness.
    pub fn new_ulid(&self) -> ulid::Ulid {
        ulid::Ulid::from_parts(self.clock.now_ms().max(0) as u64, self.rng.random_u128())
    }
}
