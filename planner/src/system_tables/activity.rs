//! `volley.users` and `volley.queries`: who may use the engine, and what it is asked now.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, TimestampMillisecondArray, UInt64Array};
use datafusion::common::Result;

use super::{batch, strings};
use crate::catalog::QueryCatalog;
use crate::session::EMBEDDED_USER;
use crate::sql::redacted;

/// Characters of a statement that `volley.queries` shows.
const STATEMENT_CHARS_MAX: usize = 10_000;

/// A statement that is being executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningQuery {
    /// The query's id.
    pub id: String,
    /// Whose session it runs in; `None` for the process's own.
    pub user: Option<Arc<str>>,
    /// The statement, or its beginning, as it was sent.
    pub statement: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// How long that is ago.
    pub elapsed_ms: u64,
    /// What it is doing.
    pub state: QueryState,
}

/// What a statement is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// It is planned or executed, and has not answered yet.
    Running,
    /// Its rows go to the client.
    Streaming,
    /// It was cancelled and has not ended yet.
    Cancelling,
}

impl QueryState {
    fn name(self) -> &'static str {
        match self {
            QueryState::Running => "running",
            QueryState::Streaming => "streaming",
            QueryState::Cancelling => "cancelling",
        }
    }
}

/// `volley.users`: one row per user, never with what their passwords are checked against.
pub(super) fn users(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let users = &catalog.names().users;
    batch(vec![
        ("name", strings(users.keys().map(String::as_str))),
        ("is_superuser", Arc::new(users.values().map(|user| Some(user.is_superuser)).collect::<BooleanArray>())),
        ("can_log_in", Arc::new(users.values().map(|user| Some(user.can_log_in())).collect::<BooleanArray>())),
    ])
}

/// `volley.queries`: one row per statement that is being executed, oldest first. Superusers see all, others their own.
pub(super) fn queries(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut rows = catalog.engine().map(|engine| engine.queries()).unwrap_or_default();
    if !catalog.is_superuser() {
        let user = catalog.user();
        rows.retain(|query| query.user.as_deref() == user);
    }
    rows.sort_by(|a, b| a.started_at_ms.cmp(&b.started_at_ms).then_with(|| a.id.cmp(&b.id)));
    let statements: Vec<String> =
        rows.iter().map(|query| redacted(&query.statement).chars().take(STATEMENT_CHARS_MAX).collect()).collect();
    let started = TimestampMillisecondArray::from_iter_values(rows.iter().map(|query| query.started_at_ms));
    batch(vec![
        ("query_id", strings(rows.iter().map(|query| query.id.as_str()))),
        ("user_name", strings(rows.iter().map(|query| query.user.as_deref().unwrap_or(EMBEDDED_USER)))),
        ("statement", strings(statements.iter().map(String::as_str))),
        ("started_at", Arc::new(started.with_timezone("UTC"))),
        ("elapsed_ms", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|query| query.elapsed_ms)))),
        ("state", strings(rows.iter().map(|query| query.state.name()))),
    ])
}
