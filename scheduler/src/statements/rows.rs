//! Queries with several rows of parameters: an answer for each.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::physical_plan::collect;
use volley_planner::error::Error as PlannerError;
use volley_planner::sql::{self, Statement};
use volley_storage::ErrorKind;

use super::Running;
use crate::error::{Error, Result};
use crate::plan_cache::CachedTemplate;
use crate::request::{Parameters, QueryResult};

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
    /// Executes a query for each row of parameters. Rows that a template is kept for are executed many at a time; another one
    /// on its own, which may leave a template for the next.
    pub(super) async fn execute_rows(self, rows: Arc<[Vec<ScalarValue>]>) -> Result<QueryResult> {
        let tag = self.check_rows(&rows)?;
        let mut answers = Answers::default();
        let mut left = &rows[..];
        let mut at_once = ROWS_AT_ONCE;
        while let Some(row) = left.first() {
            let mut one = self.clone();
            one.request.parameters = Parameters::Positional(row.clone());
            one.plan = None;
            one.limits = self.limits.of_part();
            let cached = one.look_up();
            if let Some(cached) = &cached {
                let most = (FOUND_AT_ONCE / cached.template.rows_max().max(1)).clamp(1, at_once);
                let several = &left[..left.len().min(most)];
                if let Some(found) = one.rows_by_template(cached, several).await? {
                    answers.add(found)?;
                    left = &left[several.len()..];
                    at_once = (2 * at_once).min(ROWS_AT_ONCE);
                    continue;
                }
                // One of them does not go with the others: fewer may.
                at_once = (at_once / 2).max(1);
            }
            let result = Box::pin(one.execute(cached)).await?;
            answers.notice(&result.notices);
            let schema = Arc::clone(&result.schema);
            let batches = result.collect().await?;
            answers.add(vec![concat_batches(&schema, &batches).map_err(DataFusionError::from)?])?;
            left = &left[1..];
        }
        let Answers { schema: Some(schema), batches, notices } = answers else { return Err(without_rows()) };
        Ok(QueryResult { notices, ..QueryResult::batches(tag, schema, batches) })
    }

    /// Refuses what has no answer for each row; the tag of the statement.
    fn check_rows(&self, rows: &[Vec<ScalarValue>]) -> Result<&'static str> {
        let Some(first) = rows.first() else { return Err(without_rows()) };
        if let Some(other) = rows.iter().find(|row| row.len() != first.len()) {
            return Err(Error::ParameterCount { expected: first.len(), given: other.len() });
        }
        let statement = sql::parse_statement(&self.request.sql)?;
        match statement {
            Statement::Query(_) => Ok(statement.tag()),
            _ => {
                let sentence = "only queries take several rows of parameters; execute the statement once for each row";
                Err(PlannerError::invalid(ErrorKind::Unsupported, sentence.to_owned()).into())
            }
        }
    }

    /// The answers to these rows by one execution of the template; `None` where they need one each.
    async fn rows_by_template(
        &self,
        cached: &Arc<CachedTemplate>,
        rows: &[Vec<ScalarValue>],
    ) -> Result<Option<Vec<RecordBatch>>> {
        let rows: Vec<&[ScalarValue]> = rows.iter().map(Vec::as_slice).collect();
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

fn without_rows() -> Error {
    let sentence = "there is no row of parameters to execute the statement with";
    PlannerError::invalid(ErrorKind::InvalidStatement, sentence.to_owned()).into()
}
