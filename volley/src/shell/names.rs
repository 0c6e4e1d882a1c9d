//! The names that completion offers, asked for when somebody presses Tab after a statement has run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use tokio::runtime::Handle;

use crate::backend::{Backend, Request};

/// Completion must not keep a typing user waiting.
const PATIENCE: Duration = Duration::from_millis(500);

/// What can be named.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Schema and name of tables and views.
    pub(super) tables: Vec<(String, String)>,
    /// Table and name of columns.
    pub(super) columns: Vec<(String, String)>,
    /// Schema and name of indexes.
    pub(super) indexes: Vec<(String, String)>,
    /// Settings.
    pub(super) settings: Vec<String>,
}

/// The names, as of the last statement.
pub(super) struct Names {
    /// With a session of its own: the user's may have a statement timeout or another schema.
    backend: Backend,
    runtime: Handle,
    known: Mutex<Option<Arc<Known>>>,
}

impl Names {
    /// Nothing is asked yet.
    pub(super) fn new(backend: Backend, runtime: Handle) -> Self {
        Self { backend, runtime, known: Mutex::new(None) }
    }

    /// A statement has run: names may have changed.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// The names. Must be called outside the runtime. What cannot be asked in time is left out.
    pub(super) fn known(&self) -> Arc<Known> {
        let mut known = self.lock();
        known.get_or_insert_with(|| Arc::new(self.runtime.block_on(self.ask()))).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Known>>> {
        // A panic elsewhere leaves the cache whole: it is only ever replaced.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self) -> Known {
        let deadline = Instant::now() + PATIENCE;
        let tables = "SELECT table_schema, table_name FROM information_schema.tables";
        let columns = "SELECT table_name, column_name FROM information_schema.columns";
        let settings = "SELECT name, '' FROM volley.settings";
        Known {
            tables: self.pairs(tables, deadline).await,
            columns: self.pairs(columns, deadline).await,
            indexes: self.pairs_at("SHOW INDEXES", 0, 2, deadline).await,
            settings: self.pairs(settings, deadline).await.into_iter().map(|(name, _)| name).collect(),
        }
    }

    async fn pairs(&self, sql: &str, deadline: Instant) -> Vec<(String, String)> {
        self.pairs_at(sql, 0, 1, deadline).await
    }

    /// The values of two columns.
    async fn pairs_at(&self, sql: &str, first: usize, second: usize, deadline: Instant) -> Vec<(String, String)> {
        let request = Request { deadline: Some(deadline), ..Request::new(sql) };
        let found = async { self.backend.execute(request).await?.collect().await };
        // A server that cannot be reached must not keep the user waiting either.
        let found = tokio::time::timeout_at(deadline.into(), found).await;
        let Ok(Ok(batches)) = found else { return Vec::new() };
        batches.iter().flat_map(|batch| rows(batch, first, second)).collect()
    }
}

fn rows(batch: &RecordBatch, first: usize, second: usize) -> Vec<(String, String)> {
    let text =
        |column: usize, row: usize| array_value_to_string(batch.column(column).as_ref(), row).unwrap_or_default();
    let known = (0..batch.num_rows()).filter(|&row| !batch.column(first).is_null(row));
    known.map(|row| (text(first, row), text(second, row))).collect()
}
