//! How work that does not yield learns that its query was stopped.
//!
//! A stopped query is dropped, which its tasks notice where they yield to the runtime. DataFusion's operators yield every
//! 128 batches or so, and rows may be expensive: loops over batches ask here instead, once per batch.

use std::time::Instant;

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Is cancelled when the query that a task belongs to is stopped, as a session extension
/// (`SessionConfig::with_extension`). Tasks without one are only ever stopped by being dropped.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(pub CancellationToken);

impl Interrupt {
    /// The interrupt of a task; one that never comes where its session has none.
    pub fn of(task: &TaskContext) -> Self {
        task.session_config().get_extension::<Interrupt>().map_or_else(Self::default, |found| found.as_ref().clone())
    }

    /// Whether the query has been stopped.
    pub fn requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// An error once the query has been stopped.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(Error::Cancelled.into()) } else { Ok(()) }
    }
}

/// When the answer to the query that a task belongs to is of no use any more, as a session extension: for work in other
/// processes, which may not hear that it was stopped.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// The deadline of a task, if it has one.
    pub fn of(task: &TaskContext) -> Option<Instant> {
        task.session_config().get_extension::<Deadline>().map(|found| found.0)
    }
}
