//! Statements that return rows: SELECT, VALUES, EXPLAIN, SHOW.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement as AstStatement;
use volley_executor::interrupt::Interrupt;
use volley_executor::vector_topk::unusable_indexes;
use volley_planner::resolve::plan_statement;

use super::Running;
use crate::error::{Error, Result};
use crate::interrupt::interruptible;
use crate::request::QueryResult;

impl Running {
    /// Plans and runs a statement whose rows go to the client.
    pub(super) async fn query(&self, tag: &str, statement: AstStatement) -> Result<QueryResult> {
        let catalog = self.catalog().await?;
        let state = catalog.state();
        let plan = plan_statement(&state, statement, &self.parameter_fields(), &[])
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        if let Some(result) = self.by_new_template(tag, &catalog, &plan).await? {
            return Ok(result);
        }
        let plan = self.bind(plan)?;
        let (stream, notices) = self.start(&state, &plan).await?;
        Ok(QueryResult { notices, ..QueryResult::rows(tag, stream) })
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

    /// Optimises, lowers and starts a plan; the stream is pulled on the CPU runtime within the query's limits. Beside it
    /// what the client should know.
    pub(super) async fn start(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
    ) -> Result<(SendableRecordBatchStream, Vec<String>)> {
        let (physical, task) = self.lower(state, plan).await?;
        let notices = unusable_indexes(&physical, &task).await?;
        let stream = execute_stream(physical, task)?;
        Ok((self.limits.clone().stream(&self.shared.runtimes.cpu(), stream), notices))
    }

    /// The same for a statement that reads the stream itself, inside its own limits.
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
        let interrupt = Arc::new(Interrupt(self.limits.stopped().clone()));
        let task = TaskContext::from(state);
        let config = task.session_config().clone().with_extension(interrupt);
        Ok((physical, Arc::new(task.with_session_config(config))))
    }
}

/// The number of the highest `$n` in a plan.
pub(super) fn highest_placeholder(plan: &LogicalPlan) -> Result<usize> {
    let names = plan.get_parameter_names()?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok());
    Ok(numbers.max().unwrap_or(0))
}
