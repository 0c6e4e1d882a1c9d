//! Statements that add rows: INSERT, COPY FROM, CREATE TABLE AS.
//!
//! Rows are staged first (files are durable, nothing is visible), then one commit makes them visible, then the client
//! is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use ulid::Ulid;
use volley_planner::dml::constant_rows;
use volley_storage::ErrorKind;
use volley_storage::ids::{TableId, TxnId};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::Transaction;

use super::Running;
use super::ingest::comes_once;
use crate::error::{Error, Result};

/// How often rows are computed for a statement whose writers are lost.
const WRITER_TRIES: usize = 3;

impl Running {
    /// Runs a plan whose rows are new rows of a table and commits them; returns how many there were. The plan is run again
    /// when the rows were lost with an executor that wrote them.
    pub(super) async fn append(
        &self,
        state: &SessionState,
        base: &Arc<Snapshot>,
        plan: &LogicalPlan,
        operation: &str,
    ) -> Result<u64> {
        let tries_max = if comes_once(plan) { 1 } else { WRITER_TRIES };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.append_once(state, base, plan, operation).await {
                Err(Error::Storage(volley_storage::Error::WriterLost { node, .. })) if tries < tries_max => {
                    tracing::warn!(%node, operation, "rows are computed again, because an executor that wrote them is gone");
                }
                outcome => return outcome,
            }
        }
    }

    async fn append_once(
        &self,
        state: &SessionState,
        base: &Arc<Snapshot>,
        plan: &LogicalPlan,
        operation: &str,
    ) -> Result<u64> {
        let rows = match constant_rows(state, plan) {
            Some(batch) => stream::iter([Ok(batch)]).boxed(),
            None => self.start_unlimited(state, plan).await?,
        };
        self.append_rows(base, rows, operation).await
    }

    /// Commits rows that are in the table's types; returns how many there were.
    pub(super) async fn append_rows(
        &self,
        base: &Arc<Snapshot>,
        rows: impl Stream<Item = DfResult<RecordBatch>> + Send + 'static,
        operation: &str,
    ) -> Result<u64> {
        let schema = Arc::clone(&base.schema.arrow);
        let failure = Arc::new(parking_lot::Mutex::new(None));
        let seen = Arc::clone(&failure);
        // Storage knows nothing of plans: an error of the rows' own is kept aside and told in its own words.
        let rows = rows.map_err(move |error| {
            *seen.lock() = Some(Error::from(error));
            volley_storage::Error::Internal { detail: "the rows to write ended with an error".to_owned() }
        });
        let rows = rows.map(move |batch| batch.and_then(|batch| with_schema(batch, &schema))).boxed();
        let staged = match self.shared.store.stage(base, rows).await {
            Ok(staged) => staged,
            Err(error) => return Err(failure.lock().take().unwrap_or(Error::Storage(error))),
        };
        let count = staged.iter().map(|segment| segment.rows).sum();
        if count > 0 {
            self.commit(Transaction { add: staged, ..transaction(base, operation) }).await?;
            self.index_later(base.table);
        }
        Ok(count)
    }

    /// Lets what a commit left without an index be indexed in the background, if the session wants that.
    pub(super) fn index_later(&self, table: TableId) {
        self.shared.indexer.written(table, self.current.settings.auto_index());
    }

    /// Commits on a task of its own: once begun, a commit is not cut short, neither by a limit nor by the client going
    /// away, so that who is told "cancelled" knows that nothing was changed.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<()> {
        self.limits.begin_commit()?;
        let store = Arc::clone(&self.shared.store);
        let committing = self.shared.runtimes.cpu().spawn(async move { store.commit(transaction).await });
        match committing.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                if error.kind() == ErrorKind::Conflict {
                    self.limits.commit_failed();
                }
                Err(error.into())
            }
            Err(fault) => Err(Error::Internal { detail: format!("the commit's task failed: {fault}") }),
        }
    }
}

/// An empty transaction on a snapshot.
pub(crate) fn transaction(base: &Arc<Snapshot>, operation: &str) -> Transaction {
    Transaction {
        id: TxnId(Ulid::generate()),
        base: Arc::clone(base),
        add: Vec::new(),
        delete: BTreeMap::new(),
        remove: Vec::new(),
        attach: Vec::new(),
        detach: Vec::new(),
        idempotency: None,
        operation: operation.to_owned(),
    }
}

/// The batch under the table's own schema: same types, the table's names, nullability and field ids.
///
/// Whether NULLs stand in NOT NULL columns is storage's to check, so that the error names the column.
fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> volley_storage::Result<RecordBatch> {
    let nullable = schema.fields().iter().map(|field| match field.is_nullable() {
        true => Arc::clone(field),
        false => Arc::new(field.as_ref().clone().with_nullable(true)),
    });
    let schema = datafusion::arrow::datatypes::Schema::new(nullable.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).map_err(|source| volley_storage::Error::Internal {
        detail: format!("rows do not have the table's types: {source}"),
    })
}
