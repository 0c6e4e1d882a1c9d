//! One statement as the server sees it: counted, timed, and logged when it was slow or failed.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use volley_scheduler::redacted;
use volley_scheduler::{Error, QueryId};
use volley_storage::ErrorKind;

use crate::metrics::{Outcome, QueryKind, RunningQuery};

/// A statement on its way. Dropped before its end it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Work {
    running: RunningQuery,
    /// Its identity, in logs and errors.
    pub(crate) id: QueryId,
    sql: Arc<str>,
    user: String,
    slow: Option<Duration>,
}

/// How much of a statement is logged.
const LOGGED_CHARACTERS: usize = 2_000;

impl Work {
    pub(crate) fn new(running: RunningQuery, id: QueryId, sql: Arc<str>, user: &str, slow: Option<Duration>) -> Self {
        Self { running, id, sql, user: user.to_owned(), slow }
    }

    /// Says what sort of statement it turned out to be.
    pub(crate) fn is(&mut self, kind: QueryKind) {
        self.running.is(kind);
    }

    /// Ends it well.
    pub(crate) fn done(self, rows: u64) {
        let elapsed = self.running.elapsed();
        if self.slow.is_some_and(|slow| elapsed >= slow) {
            let (query, user, statement) = (self.id, &self.user, self.logged());
            let seconds = elapsed.as_secs_f64();
            warn!(target: "volley::slow", %query, %user, seconds, rows, %statement, "slow statement");
        }
        self.running.finish(Outcome::Ok, rows);
    }

    /// Ends it with an error.
    pub(crate) fn failed(self, error: &Error) {
        let kind = error.kind();
        let (query, user, statement, sqlstate) = (self.id, &self.user, self.logged(), kind.sqlstate());
        match kind {
            ErrorKind::Internal | ErrorKind::Corrupted | ErrorKind::Io => {
                warn!(%query, %user, sqlstate, %error, %statement, "statement failed");
            }
            _ => debug!(%query, %user, sqlstate, %error, %statement, "statement failed"),
        }
        let outcome = match kind {
            ErrorKind::Cancelled => Outcome::Cancelled,
            kind => Outcome::Error(kind),
        };
        self.running.finish(outcome, 0);
    }

    /// Ends it before it began.
    pub(crate) fn refused(self) {
        self.running.finish(Outcome::Refused, 0);
    }

    fn logged(&self) -> String {
        redacted(&self.sql).chars().take(LOGGED_CHARACTERS).collect()
    }
}
