//! EXPLAIN and EXPLAIN ANALYZE, of queries and of statements that change rows.

use std::str::FromStr;
use std::sync::Arc;

use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::{ExplainOption, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use volley_executor::vector_topk::Verify;
use volley_planner::catalog::QueryCatalog;
use volley_planner::dml::{plan_delete, plan_insert};
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::plan_statement;
use volley_planner::sql::{Explain, Statement};

use super::{Running, plain};
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
        let input = self.bind(self.plan_of(&catalog, *explain.statement).await?)?;
        let option =
            ExplainOption::default().with_verbose(explain.verbose).with_analyze(explain.analyze).with_format(format);
        let plan = LogicalPlanBuilder::from(input).explain_option_format(option)?.build()?;
        let stream = self.start(&state, &plan).await?;
        Ok(QueryResult::rows("EXPLAIN", stream))
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
