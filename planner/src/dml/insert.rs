//! INSERT: its source planned as a query, then assigned to the table's columns.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, Statement, UnaryOperator, Value, Values, visit_expressions_mut,
};
use volley_storage::schema::{TableSchema, field_id, vector_dimension};

use super::{AssignmentMode, assign_columns};
use volley_storage::ErrorKind;

use crate::error::{Error, ObjectKind};
use crate::resolve::plan_statement;
use crate::sql;

/// Plans an INSERT into a table of this schema; the plan's rows are the new rows.
///
/// `columns` is the statement's column list, empty for "the first columns, in order"; without a `source` it is DEFAULT VALUES. Untyped parameters in VALUES take
/// the type of the column they fill.
pub async fn plan_insert(
    state: &SessionState,
    table: &str,
    schema: &TableSchema,
    columns: &[String],
    source: Option<Box<Query>>,
    parameters: &[Option<FieldRef>],
) -> Result<LogicalPlan> {
    let targets = target_columns(table, schema, columns)?;
    let Some(mut source) = source else {
        // DEFAULT VALUES: one row in which every column takes its default.
        let one_row = LogicalPlanBuilder::empty(true).build()?;
        let sources = vec![None; schema.arrow.fields().len()];
        return assign_columns(state, one_row, schema, &sources, AssignmentMode::Cast);
    };
    let mut parameters = parameters.to_vec();
    prepare_values(schema, &targets, columns.is_empty(), &mut source, &mut parameters)?;
    let query = AstStatement::Statement(Box::new(Statement::Query(source)));
    let input = plan_statement(state, query, &parameters, &[]).await?;
    assign_to_targets(state, input, schema, &targets, columns.is_empty())
}

/// Plans an INSERT of one row of VALUES for many rows of parameters at once; `None` where the statement has another form.
///
/// The parameters come as a table whose columns are called `$1`, `$2` …, so that one plan computes all rows.
pub async fn plan_insert_many(
    state: &SessionState,
    table: &str,
    schema: &TableSchema,
    columns: &[String],
    mut source: Box<Query>,
    parameters: Arc<dyn TableProvider>,
) -> Result<Option<LogicalPlan>> {
    let targets = target_columns(table, schema, columns)?;
    prepare_values(schema, &targets, columns.is_empty(), &mut source, &mut Vec::new())?;
    let is_plain = source.with.is_none() && source.order_by.is_none() && source.limit_clause.is_none();
    let SetExpr::Values(Values { rows, .. }) = source.body.as_mut() else { return Ok(None) };
    let [row] = rows.as_mut_slice() else { return Ok(None) };
    if !is_plain || row.content.iter_mut().any(has_query) {
        return Ok(None);
    }
    let (expected, given) = (highest_parameter(&mut row.content), parameters.schema().fields().len());
    if expected != given {
        let sentence = format!("the statement takes {expected} parameters but {given} were given");
        return Err(Error::invalid(ErrorKind::InvalidStatement, sentence).into());
    }
    let cells = std::mem::take(&mut row.content).into_iter().enumerate().map(|(position, mut cell)| {
        name_parameters(&mut cell);
        // Named, because two columns may take the same value.
        SelectItem::ExprWithAlias { expr: cell, alias: Ident::with_quote('"', format!("c{position}")) }
    });
    let mut statement = sql::parse_query(&format!("SELECT 1 FROM {PARAMETERS}"))?;
    if let AstStatement::Statement(statement) = &mut statement
        && let Statement::Query(query) = statement.as_mut()
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        select.projection = cells.collect();
    }
    let input = plan_statement(state, statement, &[], &[(PARAMETERS, parameters)]).await?;
    assign_to_targets(state, input, schema, &targets, columns.is_empty()).map(Some)
}

/// The name under which a statement sees its rows of parameters.
const PARAMETERS: &str = "__volley_parameters";

fn has_query(cell: &mut Expr) -> bool {
    let found = visit_expressions_mut(cell, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn highest_parameter(cells: &mut [Expr]) -> usize {
    let mut highest = 0;
    for cell in cells {
        let _ = visit_expressions_mut(cell, |expr| {
            if let Expr::Value(value) = expr
                && let Value::Placeholder(name) = &value.value
            {
                let number = name.strip_prefix('$').and_then(|number| number.parse().ok());
                highest = highest.max(number.unwrap_or(0));
            }
            ControlFlow::<()>::Continue(())
        });
    }
    highest
}

/// Turns `$n` into the column of that name.
fn name_parameters(cell: &mut Expr) {
    let _ = visit_expressions_mut(cell, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            let column = Ident::with_quote('"', name.clone());
            *expr = Expr::CompoundIdentifier(vec![Ident::new(PARAMETERS), column]);
        }
        ControlFlow::<()>::Continue(())
    });
}

/// What VALUES of an INSERT mean that VALUES elsewhere do not.
pub(super) fn prepare_values(
    schema: &TableSchema,
    targets: &[usize],
    whole_table: bool,
    source: &mut Query,
    parameters: &mut Vec<Option<FieldRef>>,
) -> Result<(), Error> {
    if let SetExpr::Values(values) = source.body.as_mut() {
        if let Some(row) = values.rows.iter().find(|row| row.content.len() > targets.len()) {
            return Err(count_mismatch(row.content.len(), targets.len(), whole_table));
        }
        replace_defaults(schema, targets, values)?;
        keep_decimals_exact(schema, targets, values);
        write_vectors_as_text(schema, targets, values);
        type_parameters(schema, targets, values, parameters);
    }
    Ok(())
}

/// The rows of `input` as rows of the table: its columns fill the targets in order.
fn assign_to_targets(
    state: &SessionState,
    input: LogicalPlan,
    schema: &TableSchema,
    targets: &[usize],
    whole_table: bool,
) -> Result<LogicalPlan> {
    let given = input.schema().fields().len();
    // As in PostgreSQL, columns left out at the end take their defaults when there is no column list.
    if given > targets.len() || (given < targets.len() && !whole_table) {
        return Err(count_mismatch(given, targets.len(), whole_table).into());
    }
    let mut sources = vec![None; schema.arrow.fields().len()];
    for (position, target) in targets.iter().take(given).enumerate() {
        sources[*target] = Some(position);
    }
    assign_columns(state, input, schema, &sources, AssignmentMode::Cast)
}

/// Positions in the table of the columns a statement names.
pub(super) fn target_columns(table: &str, schema: &TableSchema, columns: &[String]) -> Result<Vec<usize>, Error> {
    if columns.is_empty() {
        return Ok((0..schema.arrow.fields().len()).collect());
    }
    let mut targets = Vec::with_capacity(columns.len());
    for name in columns {
        let Ok(position) = schema.arrow.index_of(name) else {
            let known = schema.arrow.fields().iter().map(|f| f.name());
            return Err(Error::undefined(
                ObjectKind::Column,
                &format!("{table}.{name}"),
                known.map(|n| format!("{table}.{n}")),
            ));
        };
        if targets.contains(&position) {
            return Err(Error::invalid(
                ErrorKind::DuplicateColumn,
                format!("column \"{name}\" is named twice in the column list"),
            ));
        }
        targets.push(position);
    }
    Ok(targets)
}

fn count_mismatch(given: usize, wanted: usize, whole_table: bool) -> Error {
    let wanted_by = if whole_table { "the table has" } else { "the column list names" };
    Error::invalid(
        ErrorKind::InvalidStatement,
        format!("the rows have {given} values but {wanted_by} {wanted} columns"),
    )
}

/// The keyword DEFAULT in VALUES becomes the column's default expression.
fn replace_defaults(schema: &TableSchema, targets: &[usize], values: &mut Values) -> Result<(), Error> {
    for row in &mut values.rows {
        for (cell, target) in row.content.iter_mut().zip(targets) {
            if sql::is_default(cell) {
                let default = field_id(schema.arrow.field(*target)).and_then(|id| schema.defaults.get(&id));
                *cell = match default {
                    Some(text) => sql::parse_expression(text)?,
                    None => Expr::value(Value::Null),
                };
            }
        }
    }
    Ok(())
}

/// Number literals for decimal columns travel as text, because the planner reads them as 64-bit floats, which would
/// round a value of more than 15 digits.
fn keep_decimals_exact(schema: &TableSchema, targets: &[usize], values: &mut Values) {
    for (position, target) in targets.iter().enumerate() {
        let decimal = matches!(
            schema.arrow.field(*target).data_type(),
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
        );
        let literal = |row: &[Expr]| row.get(position).is_some_and(|e| number_text(e).is_some() || is_null(e));
        if !decimal || !values.rows.iter().all(|row| literal(&row.content)) {
            continue;
        }
        for row in &mut values.rows {
            if let Some(text) = number_text(&row.content[position]) {
                row.content[position] = Expr::value(Value::SingleQuotedString(text));
            }
        }
    }
}

/// Arrays of number literals for vector columns travel as text, because planning an expression for each element makes
/// loading megabytes of them thirty times slower.
fn write_vectors_as_text(schema: &TableSchema, targets: &[usize], values: &mut Values) {
    for (position, target) in targets.iter().enumerate() {
        if vector_dimension(schema.arrow.field(*target).data_type()).is_none() {
            continue;
        }
        let plain =
            |row: &[Expr]| row.get(position).is_some_and(|e| array_text(e).is_some() || is_text(e) || is_null(e));
        if !values.rows.iter().all(|row| plain(&row.content)) {
            continue;
        }
        for row in &mut values.rows {
            if let Some(text) = array_text(&row.content[position]) {
                row.content[position] = Expr::value(Value::SingleQuotedString(text));
            }
        }
    }
}

/// The vector's text of an array of plain number literals.
fn array_text(expr: &Expr) -> Option<String> {
    let Expr::Array(array) = expr else { return None };
    let numbers: Option<Vec<_>> = array.elem.iter().map(number_text).collect();
    Some(format!("[{}]", numbers?.join(",")))
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if matches!(v.value, Value::SingleQuotedString(_)))
}

/// The text of a plain number literal, with its sign; none for one in scientific notation.
fn number_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(v) => match &v.value {
            Value::Number(text, _) if !text.contains(['e', 'E']) => Some(text.to_string()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(format!("-{}", number_text(expr)?)),
        _ => None,
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(v) if v.value == Value::Null)
}

/// A parameter that stands alone in VALUES and has no type yet takes its column's.
fn type_parameters(schema: &TableSchema, targets: &[usize], values: &Values, parameters: &mut Vec<Option<FieldRef>>) {
    for row in &values.rows {
        for (cell, target) in row.content.iter().zip(targets) {
            let Expr::Value(value) = cell else { continue };
            let Value::Placeholder(name) = &value.value else { continue };
            let Some(number) = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0) else {
                continue;
            };
            if parameters.len() < number {
                parameters.resize(number, None);
            }
            parameters[number - 1]
                .get_or_insert_with(|| Arc::new(schema.arrow.field(*target).clone().with_nullable(true)));
        }
    }
}
