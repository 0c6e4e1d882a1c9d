//! The columns of a new table: declared, or those of a query.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use volley_executor::segment_set::ROW_ADDRESS_COLUMN;
use volley_executor::types::vector_type;
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::sql;
use volley_storage::ErrorKind;
use volley_storage::ids::{FieldId, SchemaId};
use volley_storage::schema::{FIELD_ID_KEY, TableSchema, VECTOR_DIMENSIONS_MAX, vector_dimension};
use volley_storage::segment::ROW_ID_COLUMN;

use super::prepared::folded;
use crate::error::Result;

/// Columns a table has at most.
const COLUMNS_MAX: usize = 1_600;

/// The table schema of declared columns.
pub(super) fn declared_schema(
    state: &SessionState,
    columns: Vec<sql::ColumnDefinition>,
    primary_key: &[String],
) -> Result<TableSchema> {
    let mut defaults = BTreeMap::new();
    let mut fields = Vec::with_capacity(columns.len());
    let time_zone = state.config_options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
    for (position, column) in columns.into_iter().enumerate() {
        let data_type = sql::column_type(&column.sql_type, &time_zone)?;
        if let Some(text) = column.default {
            // A DEFAULT that cannot be computed is refused here, not at the first INSERT.
            folded(state, sql::parse_expression(&text)?, Some(&data_type))?;
            defaults.insert(FieldId(position as i32 + 1), text);
        }
        fields.push(Field::new(column.name, data_type, !column.not_null));
    }
    table_schema(fields, primary_key, defaults)
}

/// The table schema of a query's columns.
pub(super) fn schema_of_plan(plan: &LogicalPlan) -> Result<TableSchema> {
    let mut fields = Vec::new();
    for field in plan.schema().fields() {
        let data_type = match field.data_type() {
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
            DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => match vector_dimension(other) {
                Some(dimension) => vector_type(dimension)?,
                None => other.clone(),
            },
        };
        fields.push(Field::new(field.name(), data_type, true));
    }
    table_schema(fields, &[], BTreeMap::new())
}

/// Numbers the columns, checks names and counts, and applies the primary key.
fn table_schema(
    fields: Vec<Field>,
    primary_key: &[String],
    defaults: BTreeMap<FieldId, String>,
) -> Result<TableSchema> {
    if fields.is_empty() || fields.len() > COLUMNS_MAX {
        let sentence = format!("a table has 1 to {COLUMNS_MAX} columns, not {}", fields.len());
        return Err(PlannerError::invalid(ErrorKind::LimitExceeded, sentence).into());
    }
    let mut key = Vec::with_capacity(primary_key.len());
    for name in primary_key {
        let Some(position) = fields.iter().position(|f| f.name() == name) else {
            return Err(PlannerError::undefined(ObjectKind::Column, name, fields.iter().map(|f| f.name())).into());
        };
        let data_type = fields[position].data_type();
        if data_type.is_nested() || data_type.is_floating() {
            let sentence = format!(
                "column \"{name}\" of type {} cannot be part of a primary key; use an integer, text, date or timestamp",
                sql::type_name(data_type)
            );
            return Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence).into());
        }
        key.push(FieldId(position as i32 + 1));
    }
    let mut numbered: Vec<Field> = Vec::with_capacity(fields.len());
    for (position, field) in fields.into_iter().enumerate() {
        if matches!(field.name().as_str(), ROW_ADDRESS_COLUMN | ROW_ID_COLUMN) {
            let sentence = format!("column name \"{}\" is reserved; choose another", field.name());
            return Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence).into());
        }
        if numbered.iter().any(|other| other.name() == field.name()) {
            let sentence = format!("column \"{}\" is named twice", field.name());
            return Err(PlannerError::invalid(ErrorKind::DuplicateColumn, sentence).into());
        }
        if let DataType::FixedSizeList(_, n) = field.data_type()
            && (*n < 1 || *n as usize > VECTOR_DIMENSIONS_MAX)
        {
            let sentence = format!("a vector has 1 to {VECTOR_DIMENSIONS_MAX} dimensions, not {n}");
            return Err(PlannerError::invalid(ErrorKind::LimitExceeded, sentence).into());
        }
        let id = position as i32 + 1;
        let nullable = field.is_nullable() && !key.contains(&FieldId(id));
        let metadata = HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]);
        numbered.push(field.with_nullable(nullable).with_metadata(metadata));
    }
    let arrow: SchemaRef = Arc::new(Schema::new(numbered));
    Ok(TableSchema { id: SchemaId(0), arrow, primary_key: key, defaults })
}
