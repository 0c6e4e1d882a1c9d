//! Rows that are written out in the statement: computed as they stand, without planning a query for them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Values};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use volley_executor::functions::is_vector_cast;

/// More rows are worth planning: there are threads for them.
pub(super) const ROWS_MAX: usize = 1024;

/// The rows of an INSERT's plan where they are a few constants; `None` for any other plan, for constants that depend on the
/// time, and where something is wrong with them, which planning says best.
pub fn constant_rows(state: &SessionState, plan: &LogicalPlan) -> Option<RecordBatch> {
    values_of(plan).and_then(|_| computed(state, plan).ok()?)
}

fn computed(state: &SessionState, plan: &LogicalPlan) -> Result<Option<RecordBatch>> {
    // The rules that make expressions mean what they do in SQL; those that make plans fast have nothing to do here.
    let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let Some((projection, values)) = values_of(&analyzed) else { return Ok(None) };
    let props = props(state);
    let context = PhysicalPlanningContext::default();
    let nothing = DFSchema::empty();
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one_row)?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(values.schema.fields().len());
    for column in 0..values.schema.fields().len() {
        let cell = |row: &Vec<Expr>| {
            let value = create_physical_expr(&row[column], &nothing, &props, &context)?.evaluate(&one_row)?;
            ScalarValue::try_from_array(&value.into_array(1)?, 0)
        };
        let cells = values.values.iter().map(cell).collect::<Result<Vec<_>>>()?;
        columns.push(ScalarValue::iter_to_array(cells)?);
    }
    let given: SchemaRef = Arc::clone(values.schema.inner());
    let count = RecordBatchOptions::new().with_row_count(Some(values.values.len()));
    let given = RecordBatch::try_new_with_options(given, columns, &count)?;
    evaluated(&assigned(state, projection, values)?, &given, projection.schema.inner()).map(Some)
}

fn props(state: &SessionState) -> ExecutionProps {
    ExecutionProps { config_options: Some(Arc::clone(state.config_options())), ..ExecutionProps::new() }
}

/// What fills the columns of the table, computed from the columns of the values.
pub(super) fn assigned(
    state: &SessionState,
    projection: &Projection,
    values: &Values,
) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let (props, context) = (props(state), PhysicalPlanningContext::default());
    projection.expr.iter().map(|expr| create_physical_expr(expr, &values.schema, &props, &context)).collect()
}

/// The rows that expressions make of the given ones.
pub(super) fn evaluated(
    exprs: &[Arc<dyn PhysicalExpr>],
    given: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = given.num_rows();
    let columns = exprs.iter().map(|expr| expr.evaluate(given)?.into_array(rows)).collect::<Result<_>>()?;
    let count = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &count)?)
}

/// A projection of a few rows that are written out.
pub(super) fn values_of(plan: &LogicalPlan) -> Option<(&Projection, &Values)> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    let LogicalPlan::Values(values) = projection.input.as_ref() else { return None };
    let exprs = || values.values.iter().flatten().chain(&projection.expr);
    let consists = |expr: &Expr| !expr.exists(|node| Ok(!is_written_out(node))).unwrap_or(true);
    (values.values.len() <= ROWS_MAX && exprs().all(consists)).then_some((projection, values))
}

/// Whether a node stands for a constant, a column or a conversion. Functions that the user calls may be such as only the
/// optimizer makes something of.
fn is_written_out(node: &Expr) -> bool {
    match node {
        Expr::Literal(..) | Expr::Column(_) | Expr::Alias(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
        Expr::ScalarFunction(call) => is_vector_cast(call.func.name()),
        _ => false,
    }
}
