//! Rows that a client streams into a table: staged as they come, visible with one commit or not at all.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use parking_lot::Mutex;
use ulid::Ulid;
use volley_planner::catalog::QueryCatalog;
use volley_planner::dml::{AssignmentMode, assign_columns, columns_by_name};
use volley_planner::error::Error as PlannerError;
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogAction, CatalogEntry};
use volley_storage::ids::TableId;
use volley_storage::snapshot::TableProperties;

use super::Running;
use super::columns::schema_of_plan;
use super::ddl::{Qualified, duplicate, lookup, sort_of, undefined_table, with_article};
use crate::error::Result;
use crate::request::{CancellationToken, QueryId, QueryRequest};
use crate::session::Session;

/// What becomes of the table that rows are written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// The table must not exist; it is made with the columns of the rows.
    Create,
    /// The table has to exist.
    Append,
    /// The table is made anew; one that exists is dropped in the same commit.
    Replace,
    /// The table is made where it does not exist.
    CreateAppend,
}

/// Rows to write into a table.
pub struct Ingest {
    /// The table's name, as it is: neither folded to lower case nor split at dots.
    pub table: String,
    /// Its schema; the session's search path when `None`.
    pub schema: Option<String>,
    /// What becomes of the table.
    pub mode: IngestMode,
    /// The rows. Columns find the table's by name; those that are missing take their defaults. An error in the stream leaves
    /// nothing behind.
    pub rows: SendableRecordBatchStream,
    /// The client's session.
    pub session: Arc<Session>,
    /// The identity of the work.
    pub query_id: QueryId,
    /// When it has to be done.
    pub deadline: Option<Instant>,
    /// Ends it.
    pub cancel: CancellationToken,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("table", &self.table).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Ingest {
    pub(crate) fn request(&self) -> QueryRequest {
        let text = format!("INGEST INTO \"{}\"", self.table.replace('"', "\"\""));
        QueryRequest {
            query_id: self.query_id,
            deadline: self.deadline,
            cancel: self.cancel.clone(),
            ..QueryRequest::new(text, &self.session)
        }
    }
}

impl Running {
    /// Writes the rows and commits them.
    pub(crate) async fn ingest(self, ingest: Ingest) -> Result<u64> {
        let schema = ingest.schema.unwrap_or_else(|| self.current.settings.search_path().to_owned());
        let name = Qualified { schema, name: ingest.table };
        // Its modes are about what there is.
        let this = self.strong()?;
        let catalog = this.catalog().await?;
        let rows = rows_of(ingest.rows)?;
        let known = lookup(catalog.names(), &name)?;
        match (ingest.mode, known) {
            (IngestMode::Create, Some(taken)) => Err(duplicate(&name, taken).into()),
            (IngestMode::Append, None) => Err(undefined_table(catalog.names(), &name.schema, &name.name).into()),
            (IngestMode::Append | IngestMode::CreateAppend, Some(_)) => this.ingest_into(&catalog, &name, rows).await,
            (IngestMode::Replace, Some(old)) if !matches!(old, CatalogEntry::Table { .. }) => {
                let sentence = format!("{name} is {}, not a table; drop it first", with_article(sort_of(old)));
                Err(PlannerError::invalid(ErrorKind::WrongObjectType, sentence).into())
            }
            (mode, _) => this.ingest_new(&catalog, &name, rows, mode == IngestMode::Replace).await,
        }
    }

    async fn ingest_into(&self, catalog: &Arc<QueryCatalog>, name: &Qualified, rows: LogicalPlan) -> Result<u64> {
        let base = self.appendable(catalog, &name.schema, &name.name).await?;
        let state = catalog.state();
        let sources = columns_by_name(&name.name, &base.schema, rows.schema().inner())?;
        let rows = assign_columns(&state, rows, &base.schema, &sources, AssignmentMode::Cast)?;
        self.append(&state, &base, &rows, "INGEST").await
    }

    async fn ingest_new(
        &self,
        catalog: &Arc<QueryCatalog>,
        name: &Qualified,
        rows: LogicalPlan,
        replaces: bool,
    ) -> Result<u64> {
        let state = catalog.state();
        let schema = schema_of_plan(&rows)?;
        let sources: Vec<_> = (0..schema.arrow.fields().len()).map(Some).collect();
        let rows = assign_columns(&state, rows, &schema, &sources, AssignmentMode::Cast)?;
        if !replaces {
            let made =
                self.create_table(name, schema, TableProperties::default(), false, Some((&state, &rows))).await?;
            return Ok(made.unwrap_or_default());
        }
        let id = TableId(Ulid::generate());
        let base = self.shared.store.create_table(id, schema, TableProperties::default()).await?;
        let count = self.append(&state, &base, &rows, "INGEST").await?;
        self.limits.begin_commit()?;
        let (schema, name) = (&name.schema, &name.name);
        let replace = self.shared.database.catalog().apply_with(|names| {
            let old =
                names.entry(schema, name).map(|_| CatalogAction::Drop { schema: schema.clone(), name: name.clone() });
            let entry = CatalogEntry::Table { id };
            let new = CatalogAction::Create { schema: schema.clone(), name: name.clone(), entry };
            Ok::<_, volley_storage::Error>(old.into_iter().chain([new]).collect())
        });
        replace.await?;
        Ok(count)
    }
}

/// A plan that reads the stream, once.
fn rows_of(rows: SendableRecordBatchStream) -> Result<LogicalPlan> {
    let schema = rows.schema();
    let once = Once { schema: Arc::clone(&schema), rows: Mutex::new(Some(rows)) };
    let table = Arc::new(StreamingTable::try_new(schema, vec![Arc::new(once)])?);
    Ok(LogicalPlanBuilder::scan("rows", provider_as_source(table), None)?.build()?)
}

/// Whether a plan's rows are a stream that somebody sends: they cannot be had again.
pub(super) fn comes_once(plan: &LogicalPlan) -> bool {
    let is_stream = |node: &LogicalPlan| match node {
        LogicalPlan::TableScan(scan) => {
            source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<StreamingTable>())
        }
        _ => false,
    };
    // The walk itself has nothing to fail with.
    plan.exists(|node| Ok(is_stream(node))).unwrap_or(true)
}

/// A stream as DataFusion's plans take one.
struct Once {
    schema: SchemaRef,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.rows.lock().take().unwrap_or_else(|| {
            let again = DataFusionError::Internal("rows that a client sends can be read once".to_owned());
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter([Err(again)])))
        })
    }
}
