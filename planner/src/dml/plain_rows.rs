//! INSERTs of plain values: how they become rows of the table is planned once for all statements of one shape.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{self, Query, SetExpr, UnaryOperator, Value};
use volley_storage::schema::TableSchema;

use super::constant::{ROWS_MAX, assigned, evaluated, values_of};
use super::insert::{prepare_values, target_columns};

/// The values of an INSERT that has nothing but literals and parameters: column by column, each of one type.
#[derive(Debug)]
pub struct PlainRows {
    types: Vec<DataType>,
    columns: Vec<Vec<ScalarValue>>,
}

impl PlainRows {
    /// Those of an INSERT into a table of this schema, which takes just the `given` parameters; `None` where it has another form.
    /// What DEFAULT and literals of certain columns stand for is written into `source`, as planning would.
    pub fn of(schema: &TableSchema, columns: &[String], source: &mut Query, given: &[ScalarValue]) -> Option<Self> {
        let is_plain = source.with.is_none()
            && source.order_by.is_none()
            && source.limit_clause.is_none()
            && source.fetch.is_none();
        let SetExpr::Values(values) = source.body.as_ref() else { return None };
        let width = values.rows.first()?.content.len();
        if !is_plain || values.rows.len() > ROWS_MAX || values.rows.iter().any(|row| row.content.len() != width) {
            return None;
        }
        // What is wrong with the columns is for planning to say.
        let targets = target_columns("", schema, columns).ok()?;
        prepare_values(schema, &targets, columns.is_empty(), source, &mut Vec::new()).ok()?;
        let SetExpr::Values(values) = source.body.as_ref() else { return None };
        let mut taken = vec![false; given.len()];
        let mut plain = Self { types: vec![DataType::Null; width], columns: vec![Vec::new(); width] };
        for row in &values.rows {
            for (position, cell) in row.content.iter().enumerate() {
                let value = value_of(cell, given, &mut taken)?;
                let known = &mut plain.types[position];
                match value.data_type() {
                    DataType::Null => {}
                    other if *known == DataType::Null => *known = other,
                    other if *known == other => {}
                    _ => return None,
                }
                plain.columns[position].push(value);
            }
        }
        taken.into_iter().all(|taken| taken).then_some(plain)
    }

    /// The type of each column; that of NULL where it has no other value.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }
}

/// The value of a literal or a parameter, of the type that planning gives it.
fn value_of(cell: &ast::Expr, given: &[ScalarValue], taken: &mut [bool]) -> Option<ScalarValue> {
    match cell {
        ast::Expr::Value(value) => match &value.value {
            Value::Number(text, _) => number(text.to_string()),
            Value::SingleQuotedString(text) => Some(ScalarValue::from(text.as_str())),
            Value::Boolean(value) => Some(ScalarValue::from(*value)),
            Value::Null => Some(ScalarValue::Null),
            Value::Placeholder(name) => {
                let position = name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)?;
                *taken.get_mut(position)? = true;
                given.get(position).cloned()
            }
            _ => None,
        },
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                Value::Number(text, _) => number(format!("-{text}")),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// A whole number of 64 bits, or a fraction; larger numbers have types of their own.
fn number(text: String) -> Option<ScalarValue> {
    match text.parse::<i64>() {
        Ok(whole) => Some(ScalarValue::from(whole)),
        Err(_) if text.contains(['.', 'e', 'E']) => text.parse::<f64>().ok().map(ScalarValue::from),
        Err(_) => None,
    }
}

/// How plain values become rows of a table. It depends on their types, on the table's schema and on the session's settings.
#[derive(Debug)]
pub struct PlainInsert {
    given: SchemaRef,
    assigned: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl PlainInsert {
    /// How an INSERT with this plan makes rows of these values; `None` where it does more than convert and assign them.
    pub fn of(state: &SessionState, plan: &LogicalPlan, rows: &PlainRows) -> Option<Self> {
        values_of(plan)?;
        let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {}).ok()?;
        let (projection, values) = values_of(&analyzed)?;
        let given = values.schema.inner();
        let has_types = given.fields().iter().map(|field| field.data_type()).eq(&rows.types);
        if !has_types || !values.values.iter().flatten().all(|cell| matches!(cell, Expr::Literal(..))) {
            return None;
        }
        let assigned = assigned(state, projection, values).ok()?;
        Some(Self { given: Arc::clone(given), assigned, schema: Arc::clone(projection.schema.inner()) })
    }

    /// The rows of the table.
    ///
    /// # Errors
    /// Values that do not fit; planning the statement says it best.
    pub fn rows(&self, rows: &PlainRows) -> Result<RecordBatch> {
        let columns = rows.columns.iter().zip(&rows.types).map(|(cells, data_type)| {
            let null = ScalarValue::try_from(data_type)?;
            let typed = |cell: &ScalarValue| if cell.is_null() { null.clone() } else { cell.clone() };
            ScalarValue::iter_to_array(cells.iter().map(typed))
        });
        let given = RecordBatch::try_new(Arc::clone(&self.given), columns.collect::<Result<_>>()?)?;
        evaluated(&self.assigned, &given, &self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_types_that_planning_gives_them() {
        for (text, wanted) in [
            ("7", Some(ScalarValue::from(7i64))),
            ("-9223372036854775808", Some(ScalarValue::from(i64::MIN))),
            ("1.5", Some(ScalarValue::from(1.5f64))),
            ("1e3", Some(ScalarValue::from(1000f64))),
            ("9223372036854775808", None),
            ("abc", None),
        ] {
            assert_eq!(number(text.to_owned()), wanted, "{text}");
        }
    }
}
