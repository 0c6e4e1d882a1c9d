//! Rows of any plan to rows of a table: columns matched, defaults filled in, types converted as assignment does.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, lit};
use volley_executor::functions::to_vector_expr;
use volley_storage::schema::{TableSchema, field_id, vector_dimension};

use volley_storage::ErrorKind;

use crate::error::Error;
use crate::resolve::plan_constant;
use crate::sql;

/// How far types may differ between the rows and the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignmentMode {
    /// SQL's assignment: any cast, checked value by value.
    Cast,
    /// A file that states its types: only conversions that keep what the values mean.
    SameMeaning,
}

/// Projects `input` to the columns of `schema`.
///
/// `sources[i]` is the column of `input` that fills column `i` of the table; without one its DEFAULT or NULL does.
pub fn assign_columns(
    state: &SessionState,
    input: LogicalPlan,
    schema: &TableSchema,
    sources: &[Option<usize>],
    mode: AssignmentMode,
) -> Result<LogicalPlan> {
    let mut exprs = Vec::with_capacity(schema.arrow.fields().len());
    for (field, source) in schema.arrow.fields().iter().zip(sources) {
        let expr = match source {
            Some(source) => {
                let (qualifier, input_field) = input.schema().qualified_field(*source);
                let column = Expr::Column(Column::new(qualifier.cloned(), input_field.name()));
                if mode == AssignmentMode::SameMeaning && !same_meaning(input_field.data_type(), field.data_type()) {
                    return Err(Error::invalid(
                        ErrorKind::DatatypeMismatch,
                        format!(
                            "column \"{}\" is of type {} but the file's column is of type {}; convert it first",
                            field.name(),
                            sql::type_name(field.data_type()),
                            sql::type_name(input_field.data_type())
                        ),
                    )
                    .into());
                }
                convert(column, input.schema(), field)?
            }
            None => convert(default_of(state, schema, field)?, &DFSchema::empty(), field)?,
        };
        exprs.push(expr.alias(field.name()));
    }
    LogicalPlanBuilder::from(input).project(exprs)?.build()
}

/// The DEFAULT of a column, or NULL.
fn default_of(state: &SessionState, schema: &TableSchema, field: &Field) -> Result<Expr> {
    match field_id(field).and_then(|id| schema.defaults.get(&id)) {
        Some(text) => plan_constant(state, sql::parse_expression(text)?),
        None => Ok(lit(ScalarValue::Null)),
    }
}

/// Converts an expression to a column's type.
fn convert(expr: Expr, input: &DFSchema, field: &Field) -> Result<Expr> {
    let from = expr.get_type(input)?;
    if &from == field.data_type() {
        return Ok(expr);
    }
    match vector_dimension(field.data_type()) {
        // Text, arrays of any number type and vectors of an unknown dimension become vectors in one place.
        Some(dimension) if from != DataType::Null => Ok(to_vector_expr(expr, dimension)),
        _ => Ok(cast(expr, field.data_type().clone())),
    }
}

/// Whether a file's values of one type can stand in a column of another without changing what they mean.
fn same_meaning(file: &DataType, table: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    let number = |t: &DataType| t.is_numeric();
    match (file, table) {
        (Dictionary(_, value), other) => same_meaning(value, other),
        (Null, _) => true,
        (List(a) | LargeList(a) | FixedSizeList(a, _) | ListView(a), List(b) | LargeList(b) | FixedSizeList(b, _)) => {
            same_meaning(a.data_type(), b.data_type())
        }
        (Timestamp(_, a), Timestamp(_, b)) => a.is_some() == b.is_some(),
        (Date32 | Date64, Date32 | Date64) => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        (a, b) => a == b || (text(a) && text(b)) || (bytes(a) && bytes(b)) || (number(a) && number(b)),
    }
}
