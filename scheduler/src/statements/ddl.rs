//! CREATE and DROP of schemas, tables, views and external tables: changes of names, each one commit of the catalog's log.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use ulid::Ulid;
use volley_executor::segment_set::ROW_ADDRESS_COLUMN;
use volley_executor::types::vector_type;
use volley_planner::catalog::{DEFAULT_SCHEMA, QueryCatalog, is_relation};
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::sql;
use volley_planner::system_tables::SYSTEM_SCHEMA;
use volley_planner::table::VolleyTable;
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogAction, CatalogEntry, CatalogSnapshot};
use volley_storage::ids::{FieldId, SchemaId, TableId};
use volley_storage::schema::{FIELD_ID_KEY, TableSchema, VECTOR_DIMENSIONS_MAX, vector_dimension};
use volley_storage::segment::ROW_ID_COLUMN;
use volley_storage::snapshot::TableProperties;

use super::Running;
use super::indexes::undefined_index;
use super::prepared::folded;
use crate::error::Result;
use crate::request::QueryResult;

/// Columns a table has at most.
const COLUMNS_MAX: usize = 1_600;

/// A name and the schema it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Qualified {
    pub(super) schema: String,
    pub(super) name: String,
}

impl std::fmt::Display for Qualified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.schema == DEFAULT_SCHEMA {
            true => write!(f, "\"{}\"", self.name),
            false => write!(f, "\"{}\".\"{}\"", self.schema, self.name),
        }
    }
}

impl Running {
    /// The pinned table a statement writes to; a clear error for views, external and system tables.
    pub(super) async fn writable(
        &self,
        catalog: &Arc<QueryCatalog>,
        schema: &str,
        name: &str,
    ) -> Result<Arc<VolleyTable>> {
        self.own_table(catalog, schema, name, "written to").await
    }

    /// The pinned table to which something is done; a clear error for views, indexes, external and system tables.
    pub(super) async fn own_table(
        &self,
        catalog: &Arc<QueryCatalog>,
        schema: &str,
        name: &str,
        done: &str,
    ) -> Result<Arc<VolleyTable>> {
        if let Some(table) = catalog.volley_table(schema, name).await? {
            return Ok(table);
        }
        let kind = match catalog.entry(schema, name) {
            Some(CatalogEntry::View { .. }) => "a view",
            Some(CatalogEntry::Index { .. }) => "an index",
            Some(CatalogEntry::External { .. }) => "an external table",
            _ if schema == SYSTEM_SCHEMA => "a system table",
            _ => return Err(undefined_table(catalog.names(), schema, name).into()),
        };
        let sentence = format!("\"{name}\" is {kind} and cannot be {done}");
        Err(PlannerError::invalid(ErrorKind::WrongObjectType, sentence).into())
    }

    /// Gives a name to something, once the catalog agrees; `false` when `if_not_exists` found the name taken.
    pub(super) async fn create_entry(
        &self,
        name: &Qualified,
        entry: CatalogEntry,
        if_not_exists: bool,
        or_replace: bool,
    ) -> Result<bool> {
        let created = std::sync::atomic::AtomicBool::new(true);
        self.limits.begin_commit()?;
        let outcome = self
            .shared
            .database
            .catalog()
            .apply_with(|names| {
                created.store(true, std::sync::atomic::Ordering::Relaxed);
                let taken = lookup(names, name)?;
                match taken {
                    None => Ok(vec![CatalogAction::Create {
                        schema: name.schema.clone(),
                        name: name.name.clone(),
                        entry: entry.clone(),
                    }]),
                    Some(old) if or_replace && same_sort(old, &entry) => Ok(vec![CatalogAction::Replace {
                        schema: name.schema.clone(),
                        name: name.name.clone(),
                        entry: entry.clone(),
                    }]),
                    Some(_) if if_not_exists => {
                        created.store(false, std::sync::atomic::Ordering::Relaxed);
                        Ok(Vec::new())
                    }
                    Some(taken) => Err(duplicate(name, taken)),
                }
            })
            .await;
        outcome?;
        Ok(created.into_inner())
    }

    /// Takes names away, all or none; returns those that `if_exists` did not find.
    pub(super) async fn drop_entries(&self, drop: &[Qualified], sort: &str, if_exists: bool) -> Result<Vec<Qualified>> {
        let missing = parking_lot::Mutex::new(Vec::new());
        self.limits.begin_commit()?;
        let outcome = self
            .shared
            .database
            .catalog()
            .apply_with(|names| {
                let mut missing = missing.lock();
                missing.clear();
                let mut actions: Vec<CatalogAction> = Vec::new();
                for name in drop {
                    let action = CatalogAction::Drop { schema: name.schema.clone(), name: name.name.clone() };
                    let Some(entry) = names.entry(&name.schema, &name.name) else {
                        if !if_exists {
                            return Err(match sort {
                                "index" => undefined_index(names, name),
                                _ => undefined_table(names, &name.schema, &name.name),
                            });
                        }
                        missing.push(name.clone());
                        continue;
                    };
                    let is = sort_of(entry);
                    if is != sort {
                        let (is_a, sort) = (with_article(is), with_article(sort));
                        let sentence = format!("{name} is {is_a}, not {sort}; use DROP {}", is.to_uppercase());
                        return Err(PlannerError::invalid(ErrorKind::WrongObjectType, sentence));
                    }
                    if !actions.contains(&action) {
                        actions.push(action);
                    }
                }
                Ok(actions)
            })
            .await;
        outcome?;
        Ok(missing.into_inner())
    }

    /// CREATE SCHEMA.
    pub(super) async fn create_schema(&self, name: &str, if_not_exists: bool) -> Result<QueryResult> {
        let taken = std::sync::atomic::AtomicBool::new(false);
        self.limits.begin_commit()?;
        let outcome = self
            .shared
            .database
            .catalog()
            .apply_with(|names| {
                let exists = names.schemas.contains_key(name) || is_reserved(name);
                taken.store(exists, std::sync::atomic::Ordering::Relaxed);
                match (exists, if_not_exists) {
                    (false, _) => Ok(vec![CatalogAction::CreateSchema { name: name.to_owned() }]),
                    (true, true) => Ok(Vec::new()),
                    (true, false) => Err(PlannerError::invalid(
                        ErrorKind::DuplicateSchema,
                        format!("schema \"{name}\" exists already"),
                    )),
                }
            })
            .await;
        outcome?;
        let result = QueryResult::done("CREATE SCHEMA");
        Ok(match taken.into_inner() {
            true => result.with_notice(format!("schema \"{name}\" exists already, skipping")),
            false => result,
        })
    }

    /// DROP SCHEMA: all or none; returns the names that `if_exists` did not find.
    pub(super) async fn drop_schemas(&self, drop: &[String], if_exists: bool, cascade: bool) -> Result<Vec<String>> {
        let missing = parking_lot::Mutex::new(Vec::new());
        self.limits.begin_commit()?;
        let outcome = self
            .shared
            .database
            .catalog()
            .apply_with(|names| {
                let mut missing = missing.lock();
                missing.clear();
                let mut actions: Vec<CatalogAction> = Vec::new();
                for name in drop {
                    let action = CatalogAction::DropSchema { name: name.clone() };
                    if is_reserved(name) || name == DEFAULT_SCHEMA {
                        let sentence = format!("schema \"{name}\" belongs to Volley and cannot be dropped");
                        return Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence));
                    }
                    let Some(entries) = names.schemas.get(name) else {
                        if !if_exists {
                            return Err(PlannerError::undefined(ObjectKind::Schema, name, names.schemas.keys()));
                        }
                        missing.push(name.clone());
                        continue;
                    };
                    if !entries.is_empty() && !cascade {
                        let sentence =
                            format!("schema \"{name}\" is not empty; drop what is in it, or use DROP SCHEMA … CASCADE");
                        return Err(PlannerError::invalid(ErrorKind::DependentObjects, sentence));
                    }
                    if !actions.contains(&action) {
                        actions.push(action);
                    }
                }
                Ok(actions)
            })
            .await;
        outcome?;
        Ok(missing.into_inner())
    }

    /// Fails early, before rows are computed, when a name cannot be given. `true` when it may be.
    pub(super) fn may_create(&self, catalog: &QueryCatalog, name: &Qualified, if_not_exists: bool) -> Result<bool> {
        match lookup(catalog.names(), name)? {
            None => Ok(true),
            Some(_) if if_not_exists => Ok(false),
            Some(taken) => Err(duplicate(name, taken).into()),
        }
    }

    /// Makes a table at version 0 and, with a plan, fills it; then gives it its name. A name that somebody else took in
    /// the meantime leaves an unnamed table behind, which garbage collection removes.
    pub(super) async fn create_table(
        &self,
        name: &Qualified,
        schema: TableSchema,
        properties: TableProperties,
        if_not_exists: bool,
        rows: Option<(&SessionState, &LogicalPlan)>,
    ) -> Result<Option<u64>> {
        let id = TableId(Ulid::generate());
        let base = self.shared.store.create_table(id, schema, properties).await?;
        let mut count = 0;
        if let Some((state, plan)) = rows {
            count = self.append(state, &base, plan, "CREATE TABLE AS").await?;
        }
        let created = self.create_entry(name, CatalogEntry::Table { id }, if_not_exists, false).await?;
        Ok(created.then_some(count))
    }
}

/// Every table that can be opened, with its name: a damaged one does not hide the others.
pub(super) async fn every_table(catalog: &Arc<QueryCatalog>) -> Vec<(Qualified, Arc<VolleyTable>)> {
    let mut tables = Vec::new();
    for (schema, names) in &catalog.names().schemas {
        for (name, entry) in names {
            if matches!(entry, CatalogEntry::Table { .. })
                && let Ok(Some(table)) = catalog.volley_table(schema, name).await
            {
                tables.push((Qualified { schema: schema.clone(), name: name.clone() }, table));
            }
        }
    }
    tables
}

/// What stands under a name; errors when its schema does not exist or belongs to Volley.
pub(super) fn lookup<'a>(
    names: &'a CatalogSnapshot,
    name: &Qualified,
) -> Result<Option<&'a CatalogEntry>, PlannerError> {
    if is_reserved(&name.schema) {
        let sentence = format!("schema \"{}\" belongs to Volley; choose another", name.schema);
        return Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence));
    }
    match names.schemas.get(&name.schema) {
        Some(entries) => Ok(entries.get(&name.name)),
        None => Err(PlannerError::undefined(ObjectKind::Schema, &name.schema, names.schemas.keys())),
    }
}

/// Whether one entry may take another's place: a view a view's, an external table an external table's.
fn same_sort(old: &CatalogEntry, new: &CatalogEntry) -> bool {
    matches!(
        (old, new),
        (CatalogEntry::View { .. }, CatalogEntry::View { .. })
            | (CatalogEntry::External { .. }, CatalogEntry::External { .. })
    )
}

fn is_reserved(schema: &str) -> bool {
    matches!(schema, SYSTEM_SCHEMA | "information_schema" | "pg_catalog")
}

/// The error of a name that is taken.
pub(super) fn duplicate(name: &Qualified, taken: &CatalogEntry) -> PlannerError {
    PlannerError::invalid(ErrorKind::DuplicateTable, format!("{} {name} exists already", sort_of(taken)))
}

/// What DROP calls an entry.
pub(super) fn sort_of(entry: &CatalogEntry) -> &'static str {
    match entry {
        CatalogEntry::View { .. } => "view",
        CatalogEntry::Index { .. } => "index",
        CatalogEntry::Table { .. } | CatalogEntry::External { .. } => "table",
    }
}

pub(super) fn with_article(sort: &str) -> String {
    match sort {
        "index" => format!("an {sort}"),
        _ => format!("a {sort}"),
    }
}

pub(super) fn undefined_table(names: &CatalogSnapshot, schema: &str, name: &str) -> PlannerError {
    match names.schemas.get(schema) {
        Some(entries) => {
            let relations = entries.iter().filter(|(_, entry)| is_relation(entry));
            PlannerError::undefined(ObjectKind::Table, name, relations.map(|(known, _)| known))
        }
        None => PlannerError::undefined(ObjectKind::Schema, schema, names.schemas.keys()),
    }
}

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
