//! DELETE: the addresses of the rows its predicate keeps.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Statement};
use volley_executor::segment_set::ROW_ADDRESS_COLUMN;

use crate::error::Error;
use crate::resolve::plan_statement;
use crate::sql;
use crate::table::VolleyTable;

/// The name under which the statement's target is scanned. Subqueries that name the same table see it as it is for
/// everybody, without the hidden column.
const TARGET: &str = "__volley_delete_target";

/// Plans a DELETE; the plan's one column `_rowaddr` (UInt64) addresses the rows within `table.set()`.
///
/// `alias` is the name by which the predicate calls the table.
pub async fn plan_delete(
    state: &SessionState,
    table: &VolleyTable,
    alias: &str,
    predicate: Option<Expr>,
    parameters: &[Option<FieldRef>],
) -> Result<LogicalPlan> {
    let alias = alias.replace('"', "\"\"");
    let mut statement = sql::parse_query(&format!("SELECT {ROW_ADDRESS_COLUMN} FROM {TARGET} AS \"{alias}\""))?;
    let select = match &mut statement {
        AstStatement::Statement(statement) => match statement.as_mut() {
            Statement::Query(query) => match query.body.as_mut() {
                SetExpr::Select(select) => Some(select),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let Some(select) = select else {
        return Err(Error::internal("a DELETE did not become a SELECT").into());
    };
    select.selection = predicate;
    let target = Arc::new(table.with_row_address());
    plan_statement(state, statement, parameters, &[(TARGET, target)]).await
}
