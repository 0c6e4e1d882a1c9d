//! Statements with several rows of parameters: of a query an answer for each, of a change the count of all.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::collect;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use volley_planner::dml::{plan_insert, plan_insert_many};
use volley_planner::error::Error as PlannerError;
use volley_planner::sql::{self, Delete, Insert, Statement};
use volley_storage::ErrorKind;
use volley_storage::snapshot::Snapshot;

use super::Running;
use crate::error::{Error, Result};
use crate::plan_cache::Found;
use crate::request::{Parameters, QueryResult, ResultKind};

/// Rows of parameters that are executed as one, at most.
const ROWS_AT_ONCE: usize = 64;
/// Rows that those may find together, at most.
const FOUND_AT_ONCE: usize = 16 << 10;

/// The answers so far, under one schema.
#[derive(Default)]
struct Answers {
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    notices: Vec<String>,
}

impl Answers {
    /// Adds answers. A column may be NULL in one and never in another; its type is that of the first.
    fn add(&mut self, found: Vec<RecordBatch>) -> Result<()> {
        for batch in found {
            let schema = self.schema.get_or_insert_with(|| {
                let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
                Arc::new(Schema::new(batch.schema().fields().iter().map(nullable).collect::<Vec<_>>()))
            });
            let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &rows);
            self.batches.push(batch.map_err(|_| {
                let sentence =
                    "the rows of parameters give answers of different types; cast the parameters in the statement";
                PlannerError::invalid(ErrorKind::DatatypeMismatch, sentence.to_owned())
            })?);
        }
        Ok(())
    }

    fn notice(&mut self, notices: &[String]) {
        let new = notices.iter().filter(|notice| !self.notices.contains(notice)).cloned().collect::<Vec<_>>();
        self.notices.extend(new);
    }
}

impl Running {
    /// Executes a statement for each row of parameters.
    pub(super) async fn execute_rows(&self, rows: Arc<[Vec<ScalarValue>]>) -> Result<QueryResult> {
        check_rows(&rows)?;
        let statement = sql::parse_statement(&self.request.sql)?;
        let tag = statement.tag();
        match statement {
            Statement::Query(_) => self.query_rows(tag, rows).await,
            Statement::Insert(insert) => self.insert_rows(insert, &rows).await,
            Statement::Delete(delete) if !delete.truncate => self.delete_rows_of_each(delete, &rows).await,
            _ => {
                let sentence = format!("{tag} takes one row of parameters at a time");
                Err(PlannerError::invalid(ErrorKind::Unsupported, sentence).into())
            }
        }
    }

    /// Rows that a template is kept for are executed many at a time; another one on its own, which may leave a template for
    /// the next.
    async fn query_rows(&self, tag: &str, rows: Arc<[Vec<ScalarValue>]>) -> Result<QueryResult> {
        let mut answers = Answers::default();
        let mut left = &rows[..];
        let mut at_once = ROWS_AT_ONCE;
        while let Some(row) = left.first() {
            let mut one = self.clone();
            one.request.parameters = Parameters::Positional(row.clone());
            one.plan = None;
            one.limits = self.limits.of_part();
            let found = one.look_up();
            if let Some(found) = &found {
                let most = (FOUND_AT_ONCE / found.cached.template.rows_max().max(1)).clamp(1, at_once);
                let several = &left[..left.len().min(most)];
                if let Some(batches) = one.rows_by_template(found, several).await? {
                    answers.add(batches)?;
                    left = &left[several.len()..];
                    at_once = (2 * at_once).min(ROWS_AT_ONCE);
                    continue;
                }
                // One of them does not go with the others: fewer may.
                at_once = (at_once / 2).max(1);
            }
            let result = Box::pin(one.execute(found)).await?;
            answers.notice(&result.notices);
            let schema = Arc::clone(&result.schema);
            let batches = result.collect().await?;
            answers.add(vec![concat_batches(&schema, &batches).map_err(DataFusionError::from)?])?;
            left = &left[1..];
        }
        let Answers { schema: Some(schema), batches, notices } = answers else { return Err(without_rows()) };
        Ok(QueryResult { notices, ..QueryResult::batches(tag, schema, batches) })
    }

    /// The rows of an INSERT for every row of parameters, in one commit.
    async fn insert_rows(&self, insert: Insert, rows: &[Vec<ScalarValue>]) -> Result<QueryResult> {
        let name = self.qualify(&insert.table)?;
        let catalog = self.catalog().await?;
        let base = self.appendable(&catalog, &name.schema, &name.name).await?;
        let state = catalog.state();
        if let (Some(source), Some(given)) = (insert.source.clone(), table_of(rows)) {
            let given = Arc::new(given);
            let plan = plan_insert_many(&state, &name.name, &base.schema, &insert.columns, source, given).await?;
            if let Some(plan) = plan {
                let count = self.append(&state, &base, &plan, "INSERT").await?;
                return Ok(QueryResult::affected(format!("INSERT 0 {count}"), count));
            }
        }
        // Planned for each row of parameters, as the rows before it have been written.
        let each = rows.iter().map(|row| {
            let mut one = self.clone();
            one.request.parameters = Parameters::Positional(row.clone());
            one.rows_to_insert(insert.clone(), state.clone(), Arc::clone(&base), name.name.clone())
        });
        let each: Vec<_> = each.collect();
        let batches = stream::iter(each).then(|rows| rows).try_flatten().boxed();
        let count = self.append_rows(&base, batches, "INSERT").await?;
        Ok(QueryResult::affected(format!("INSERT 0 {count}"), count))
    }

    /// The rows that an INSERT with its one row of parameters adds.
    fn rows_to_insert(
        self,
        insert: Insert,
        state: SessionState,
        base: Arc<Snapshot>,
        name: String,
    ) -> BoxFuture<'static, DfResult<SendableRecordBatchStream>> {
        Box::pin(async move {
            let parameters = self.parameter_fields();
            let plan = plan_insert(&state, &name, &base.schema, &insert.columns, insert.source, &parameters).await?;
            Ok(self.start_unlimited(&state, &self.bind(plan)?).await?)
        })
    }

    /// A DELETE for every row of parameters, each a commit of its own.
    async fn delete_rows_of_each(&self, delete: Delete, rows: &[Vec<ScalarValue>]) -> Result<QueryResult> {
        let mut count = 0;
        for row in rows {
            let mut one = self.clone();
            one.request.parameters = Parameters::Positional(row.clone());
            if let ResultKind::Affected(deleted) = one.run_delete(delete.clone()).await?.kind {
                count += deleted;
            }
        }
        Ok(QueryResult::affected(format!("DELETE {count}"), count))
    }

    /// The answers to these rows by one execution of the template; `None` where they need one each.
    async fn rows_by_template(&self, found: &Found, rows: &[Vec<ScalarValue>]) -> Result<Option<Vec<RecordBatch>>> {
        let cached = &found.cached;
        let rows: Vec<_> = rows.iter().map(|row| found.values(row)).collect();
        let rows: Vec<&[ScalarValue]> = rows.iter().map(AsRef::as_ref).collect();
        if rows.len() < 2 || !cached.is_sound() || !self.is_current(cached).await? {
            return Ok(None);
        }
        let Some(plan) = cached.template.bind_all(&rows) else { return Ok(None) };
        cached.used();
        let answers = collect(plan, self.task(cached)).await?;
        match answers.len() == rows.len() {
            true => Ok(Some(answers)),
            false => Err(Error::Internal { detail: "a search did not answer every row of parameters".to_owned() }),
        }
    }
}

/// Refuses no rows, and rows of different lengths.
fn check_rows(rows: &[Vec<ScalarValue>]) -> Result<()> {
    let Some(first) = rows.first() else { return Err(without_rows()) };
    match rows.iter().find(|row| row.len() != first.len()) {
        Some(other) => Err(Error::ParameterCount { expected: first.len(), given: other.len() }),
        None => Ok(()),
    }
}

/// The rows as a table with the columns `$1`, `$2` …; `None` where a column has values of several types.
fn table_of(rows: &[Vec<ScalarValue>]) -> Option<MemTable> {
    let mut columns = Vec::with_capacity(rows[0].len());
    for position in 0..rows[0].len() {
        let array = ScalarValue::iter_to_array(rows.iter().map(|row| row[position].clone())).ok()?;
        columns.push((format!("${}", position + 1), array, true));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns).ok()?;
    MemTable::try_new(batch.schema(), vec![vec![batch]]).ok()
}

fn without_rows() -> Error {
    let sentence = "there is no row of parameters to execute the statement with";
    PlannerError::invalid(ErrorKind::InvalidStatement, sentence.to_owned()).into()
}
