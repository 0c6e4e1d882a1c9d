//! CREATE and DROP of schemas, tables, views and external tables: changes of names, each one commit of the catalog's log.

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use ulid::Ulid;
use volley_planner::catalog::{DEFAULT_SCHEMA, QueryCatalog, is_relation};
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::system_tables::SYSTEM_SCHEMA;
use volley_planner::table::VolleyTable;
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogAction, CatalogEntry, CatalogSnapshot};
use volley_storage::ids::TableId;
use volley_storage::schema::TableSchema;
use volley_storage::snapshot::{Snapshot, TableProperties};

use super::Running;
use super::indexes::undefined_index;
use crate::error::Result;
use crate::request::QueryResult;

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
        let table = catalog.volley_table(schema, name).await?;
        table.ok_or_else(|| no_own_table(catalog, schema, name, done).into())
    }

    /// The version of a table to which a statement adds rows without reading any; errors as of [`writable`](Self::writable).
    pub(super) async fn appendable(&self, catalog: &QueryCatalog, schema: &str, name: &str) -> Result<Arc<Snapshot>> {
        let base = catalog.snapshot(schema, name).await?;
        base.ok_or_else(|| no_own_table(catalog, schema, name, "written to").into())
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

/// Why nothing can be done to what a name stands for as to a table.
fn no_own_table(catalog: &QueryCatalog, schema: &str, name: &str, done: &str) -> PlannerError {
    let kind = match catalog.entry(schema, name) {
        Some(CatalogEntry::View { .. }) => "a view",
        Some(CatalogEntry::Index { .. }) => "an index",
        Some(CatalogEntry::External { .. }) => "an external table",
        _ if schema == SYSTEM_SCHEMA => "a system table",
        _ => return undefined_table(catalog.names(), schema, name),
    };
    let sentence = format!("\"{name}\" is {kind} and cannot be {done}");
    PlannerError::invalid(ErrorKind::WrongObjectType, sentence)
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
