//! EXPLAIN and EXPLAIN ANALYZE, of queries and of statements that change rows.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::{ExplainOption, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use volley_executor::vector_topk::Verify;
use volley_planner::catalog::QueryCatalog;
use volley_planner::dml::{plan_delete, plan_insert};
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::plan_statement;
use volley_planner::sql::{Explain, Statement};
use volley_planner::vector_topk::why_exact;

use super::{Running, plain};
use crate::cluster::where_it_runs;
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    /// Shows the plan of a statement; with ANALYZE it runs the plan and shows what it did, with VERIFY also how right
    /// approximate searches were. The rows that an INSERT or
    /// DELETE would write are computed but never written.
    pub(super) async fn explain(&self, explain: Explain) -> Result<QueryResult> {
        let catalog = self.catalog().await?;
        let mut state = catalog.state();
        if explain.verify {
            state.config_mut().set_extension(Arc::new(Verify));
        }
        let format = match explain.format.as_deref() {
            None | Some("text") => ExplainFormat::Indent,
            Some("json") => ExplainFormat::PostgresJSON,
            Some(name) => ExplainFormat::from_str(name)?,
        };
        let kept_as = match explain.statement.as_ref() {
            Statement::Query(query) => self.kept_as(&explain.text, query).await?,
            _ => None,
        };
        let input = self.bind(self.plan_of(&catalog, *explain.statement).await?)?;
        // What is wrong with the statement is the answer, as it would be without EXPLAIN, and not a line of a plan. In a
        // state of its own, because planning counts the names it makes up.
        let trial = catalog.state();
        let optimized = trial.optimize(&input)?;
        let lowered = match explain.analyze && self.shared.members.is_none() {
            true => None,
            false => Some(trial.query_planner().create_physical_plan(&optimized, &trial).await?),
        };
        let mut notes = why_exact(&optimized)?;
        if !notes.is_empty() && !self.current.settings.vector_topk() {
            notes = vec!["the vector search is exact: volley.vector_topk is off".to_owned()];
        }
        if let (Some(members), Some(lowered)) = (&self.shared.members, &lowered) {
            notes.push(where_it_runs(members, lowered));
        }
        notes.extend(kept_as.map(|statement| format!("the plan is kept: volley.plan_cache has it as {statement}")));
        let option = ExplainOption::default()
            .with_verbose(explain.verbose)
            .with_analyze(explain.analyze)
            .with_format(format.clone());
        let plan = LogicalPlanBuilder::from(input).explain_option_format(option)?.build()?;
        let mut result = self.start("EXPLAIN", self.lowered(state, plan).await?)?;
        match format {
            ExplainFormat::Indent => {
                let lines = lines(&result.schema, &notes)?;
                Ok(result.followed_by(lines))
            }
            _ => {
                result.notices.extend(notes);
                Ok(result)
            }
        }
    }

    /// The plan of a statement that reads: what EXPLAIN shows.
    async fn plan_of(&self, catalog: &Arc<QueryCatalog>, statement: Statement) -> Result<LogicalPlan> {
        let state = catalog.state();
        let parameters = self.parameter_fields();
        let plan = match statement {
            Statement::Query(query) => {
                plan_statement(&state, plain(ast::Statement::Query(query)), &parameters, &[]).await
            }
            Statement::Insert(insert) => {
                let name = self.qualify(&insert.table)?;
                let table = self.writable(catalog, &name.schema, &name.name).await?;
                let schema = &table.snapshot().schema;
                plan_insert(&state, &name.name, schema, &insert.columns, insert.source, &parameters).await
            }
            Statement::Delete(delete) => {
                let name = self.qualify(&delete.table)?;
                let table = self.writable(catalog, &name.schema, &name.name).await?;
                let alias = delete.alias.as_deref().unwrap_or(&name.name);
                plan_delete(&state, &table, alias, delete.predicate, &parameters).await
            }
            other => {
                let sentence = format!("EXPLAIN {} is not supported; explain a query, INSERT or DELETE", other.tag());
                return Err(PlannerError::unsupported(sentence).into());
            }
        };
        Ok(plan?)
    }
}

/// Sentences as further lines of what EXPLAIN shows: two columns of text.
fn lines(schema: &SchemaRef, sentences: &[String]) -> Result<Vec<RecordBatch>> {
    if sentences.is_empty() {
        return Ok(Vec::new());
    }
    let kinds = StringArray::from_iter_values(sentences.iter().map(|_| "note"));
    let texts = StringArray::from_iter_values(sentences);
    let columns: Vec<ArrayRef> = vec![Arc::new(kinds), Arc::new(texts)];
    Ok(vec![RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from)?])
}
