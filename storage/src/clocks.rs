//! The system's clock and randomness, for everything that is not a simulation.

use crate::env::{Clock, Rng};
use async_trait::async_trait;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Wall-clock time of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        // A clock set before 1970 counts as 1970: commit times still increase, because each is at least its
        // predecessor's plus one.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Randomness seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRng;

impl Rng for OsRng {
    fn random_u128(&self) -> u128 {
        rand::random()
    }
}
