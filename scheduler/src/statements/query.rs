//! Statements that return rows: SELECT, VALUES, EXPLAIN, SHOW.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::sqlparser::ast;
use volley_executor::interrupt::{Deadline, Interrupt};
use volley_executor::vector_topk::unusable_indexes;
use volley_planner::resolve::plan_statement;

use super::Running;
use crate::error::{Error, Result};
use crate::interrupt::interruptible;
use crate::request::QueryResult;

/// A query that no template answers, planned with its values.
pub(super) struct Planned {
    pub(super) state: SessionState,
    pub(super) plan: LogicalPlan,
    /// The plan as it is executed first.
    pub(super) physical: Arc<dyn ExecutionPlan>,
    pub(super) task: Arc<TaskContext>,
    /// What the client should know.
    pub(super) notices: Vec<String>,
}

impl Running {
    /// Plans and runs a statement whose rows go to the client.
    pub(super) async fn query(&self, tag: &str, statement: AstStatement) -> Result<QueryResult> {
        match self.planned(tag, statement).await? {
            ControlFlow::Break(result) => Ok(result),
            ControlFlow::Continue(planned) => self.start(tag, planned),
        }
    }

    /// The answer to a query by a template, one that is kept or a new one; otherwise the way to it.
    pub(super) async fn planned(
        &self,
        tag: &str,
        statement: AstStatement,
    ) -> Result<ControlFlow<QueryResult, Planned>> {
        if let AstStatement::Statement(statement) = &statement
            && let ast::Statement::Query(query) = statement.as_ref()
            && let Some(result) = self.by_lifted(tag, query).await?
        {
            return Ok(ControlFlow::Break(result));
        }
        let catalog = self.catalog().await?;
        let state = catalog.state();
        let plan = plan_statement(&state, statement, &self.parameter_fields(), &[])
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        if let Some(result) = self.by_new_template(tag, &catalog, &plan).await? {
            return Ok(ControlFlow::Break(result));
        }
        let plan = self.bind(plan)?;
        Ok(ControlFlow::Continue(self.lowered(state, plan).await?))
    }

    /// Types of the values that came with the statement.
    pub(super) fn parameter_fields(&self) -> Vec<Option<FieldRef>> {
        let field = |value: &ScalarValue| Some(Arc::new(Field::new("", value.data_type(), true)));
        self.request.parameters.values().iter().map(field).collect()
    }

    /// Puts the values that came with the statement into its plan.
    pub(super) fn bind(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let given = self.request.parameters.values();
        let expected = highest_placeholder(&plan)?;
        if expected != given.len() {
            return Err(Error::ParameterCount { expected, given: given.len() });
        }
        match expected {
            0 => Ok(plan),
            _ => Ok(plan.with_param_values(ParamValues::from(given.to_vec()))?),
        }
    }

    /// A plan with its values, optimised and lowered.
    pub(super) async fn lowered(&self, state: SessionState, plan: LogicalPlan) -> Result<Planned> {
        let (physical, task) = self.lower(&state, &plan).await?;
        let notices = unusable_indexes(&physical, &task).await?;
        Ok(Planned { state, plan, physical, task, notices })
    }

    /// Starts a query; its rows are pulled on the CPU runtime within the query's limits.
    pub(super) fn start(&self, tag: &str, planned: Planned) -> Result<QueryResult> {
        let stream = execute_stream(planned.physical, planned.task)?;
        let stream = self.limits.clone().stream(&self.shared.runtimes.cpu(), stream);
        Ok(QueryResult { notices: planned.notices, ..QueryResult::rows(tag, stream) })
    }

    /// Lowers and starts a plan for a statement that reads the rows itself, inside its own limits.
    pub(super) async fn start_unlimited(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
    ) -> Result<SendableRecordBatchStream> {
        let (physical, task) = self.lower(state, plan).await?;
        Ok(execute_stream(physical, task)?)
    }

    pub(super) async fn lower(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
    ) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
        let physical = state.create_physical_plan(plan).await.map_err(|error| self.explain_error(state, error))?;
        let physical = interruptible(physical, self.limits.stopped())?;
        let task = TaskContext::from(state);
        let config = self.limited(task.session_config().clone());
        Ok((physical, Arc::new(task.with_session_config(config))))
    }

    /// The configuration with what plan nodes need to know of the query's limits.
    pub(super) fn limited(&self, config: SessionConfig) -> SessionConfig {
        let config = config.with_extension(Arc::new(Interrupt(self.limits.stopped().clone())));
        match self.limits.deadline() {
            Some(deadline) => config.with_extension(Arc::new(Deadline(deadline))),
            None => config,
        }
    }
}

/// The number of the highest `$n` in a plan.
pub(super) fn highest_placeholder(plan: &LogicalPlan) -> Result<usize> {
    let names = plan.get_parameter_names()?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok());
    Ok(numbers.max().unwrap_or(0))
}
