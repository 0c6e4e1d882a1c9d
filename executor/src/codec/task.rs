//! What travels with a task besides the task: how long there is for it, and the settings that decide what expressions mean.

use std::time::{Duration, Instant};

use datafusion::execution::TaskContext;
use prost::Message;

use crate::interrupt::Deadline;

/// The circumstances of a task.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Circumstances {
    /// Milliseconds until the answer is of no use; clocks of different machines are not compared.
    #[prost(uint64, optional, tag = "1")]
    remaining_ms: Option<u64>,
    /// The session's time zone.
    #[prost(string, optional, tag = "2")]
    pub zone: Option<String>,
}

impl Circumstances {
    /// Those of a task of this process.
    pub fn of(task: &TaskContext) -> Self {
        let remaining = Deadline::of(task).map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Self {
            remaining_ms: remaining.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            zone: task.session_config().options().execution.time_zone.clone(),
        }
    }

    /// When the answer is of no use any more, by this process's clock.
    pub fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(Duration::from_millis(self.remaining_ms?))
    }
}
