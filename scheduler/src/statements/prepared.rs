//! PREPARE and EXECUTE.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, cast};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::plan_constant;
use volley_planner::sql::{Prepare, Statement};
use volley_storage::ErrorKind;

use super::Running;
use crate::error::{Error, Result};
use crate::request::{Parameters, QueryResult};

/// A statement kept by name: its tree and the declared types of its first parameters.
#[derive(Debug)]
pub(crate) struct Prepared {
    statement: Statement,
    types: Vec<DataType>,
    /// The statement as text, where it is a query.
    text: Option<String>,
}

impl Prepared {
    /// What is executed.
    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }
}

impl Running {
    /// PREPARE. The statement is planned when it is executed, on the tables there are then.
    pub(super) async fn prepare(&self, prepare: Prepare) -> Result<QueryResult> {
        let text = match prepare.statement.as_ref() {
            Statement::Query(query) => Some(query.to_string()),
            _ => None,
        };
        let prepared = Prepared { statement: *prepare.statement, types: prepare.types, text };
        self.request.session.prepare(&prepare.name, prepared)?;
        Ok(QueryResult::done("PREPARE"))
    }

    /// The prepared statement of this name, and the values of the arguments in its declared types.
    pub(super) fn prepared_with(
        &self,
        name: &str,
        arguments: Vec<ast::Expr>,
    ) -> Result<(Arc<Prepared>, Vec<ScalarValue>)> {
        let prepared = self.request.session.prepared(name)?;
        if arguments.len() < prepared.types.len() {
            return Err(Error::ParameterCount { expected: prepared.types.len(), given: arguments.len() });
        }
        let state = self.current.template.as_ref().clone();
        let mut values = Vec::with_capacity(arguments.len());
        for (position, argument) in arguments.into_iter().enumerate() {
            values.push(constant(&state, argument, prepared.types.get(position))?);
        }
        Ok((prepared, values))
    }

    /// EXECUTE: evaluates the arguments, converts them to the declared types and runs the statement.
    pub(super) async fn execute_prepared(&self, name: &str, arguments: Vec<ast::Expr>) -> Result<QueryResult> {
        let (prepared, values) = self.prepared_with(name, arguments)?;
        let mut running = self.clone();
        running.request.parameters = match values.is_empty() {
            true => Parameters::None,
            false => Parameters::Positional(values),
        };
        running.plan = None;
        if let Some(text) = &prepared.text {
            running.request.sql.clone_from(text);
            if let Some(found) = running.look_up()
                && let Some(result) = running.by_template(prepared.statement.tag(), &found).await?
            {
                return Ok(result);
            }
        }
        running.statement(prepared.statement.clone()).await
    }
}

/// The value of an expression without columns.
fn constant(state: &SessionState, expr: ast::Expr, declared: Option<&DataType>) -> Result<ScalarValue> {
    match folded(state, expr, declared)? {
        Expr::Literal(value, _) => Ok(value),
        other => {
            let sentence = format!("EXECUTE takes constants, not {other}");
            Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence).into())
        }
    }
}

/// An expression without columns, converted to a type and computed as far as it can be before it runs.
pub(super) fn folded(state: &SessionState, expr: ast::Expr, data_type: Option<&DataType>) -> Result<Expr> {
    let mut expr = plan_constant(state, expr)?;
    if let Some(data_type) = data_type {
        expr = match volley_storage::schema::vector_dimension(data_type) {
            Some(dimension) => volley_executor::functions::to_vector_expr(expr, dimension),
            None => cast(expr, data_type.clone()),
        };
    }
    let context = SimplifyContext::builder().with_config_options(Arc::clone(state.config_options())).build();
    let simplifier = ExprSimplifier::new(context);
    let expr = simplifier.coerce(expr, &DFSchema::empty())?;
    Ok(simplifier.simplify(expr)?)
}
