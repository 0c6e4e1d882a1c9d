//! Statements on tables: what the text says turned into the calls of [`super::ddl`], [`super::write`] and
//! [`super::delete`].

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::sql::sqlparser::ast;
use volley_planner::dml::{AssignmentMode, assign_columns, first_file, plan_copy_from};
use volley_planner::error::Error as PlannerError;
use volley_planner::resolve::{open_external, plan_statement};
use volley_planner::sql::{CopyFrom, CreateExternal, CreateTable, CreateView, Delete, Drop, TableOptions};
use volley_storage::ErrorKind;
use volley_storage::catalog::CatalogEntry;
use volley_storage::snapshot::TableProperties;

use super::columns::{declared_schema, schema_of_plan};
use super::ddl::Qualified;
use super::{Running, plain};
use crate::error::Result;
use crate::request::QueryResult;

/// Shards a table has at most.
const SHARDS_MAX: u32 = 4_096;

impl Running {
    pub(super) async fn run_create_table(&self, create: CreateTable) -> Result<QueryResult> {
        let name = self.qualify(&create.name)?;
        let catalog = self.catalog().await?;
        let tag = if create.as_query.is_some() { "CREATE TABLE AS" } else { "CREATE TABLE" };
        if !self.may_create(&catalog, &name, create.if_not_exists)? {
            return Ok(exists_already(tag, &name));
        }
        let properties = properties(&create.options)?;
        let state = catalog.state();
        let Some(query) = create.as_query else {
            let schema = declared_schema(&state, create.columns, &create.primary_key)?;
            let created = self.create_table(&name, schema, properties, create.if_not_exists, None).await?;
            return Ok(match created {
                Some(_) => QueryResult::done(tag),
                None => exists_already(tag, &name),
            });
        };
        if !create.columns.is_empty() || !create.primary_key.is_empty() {
            let sentence = "CREATE TABLE … AS takes its columns from the query; create the table first, then INSERT";
            return Err(PlannerError::unsupported(sentence).into());
        }
        let statement = plain(ast::Statement::Query(query));
        let plan = plan_statement(&state, statement, &self.parameter_fields(), &[])
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let plan = self.bind(plan)?;
        let schema = schema_of_plan(&plan)?;
        let sources: Vec<_> = (0..schema.arrow.fields().len()).map(Some).collect();
        let rows = assign_columns(&state, plan, &schema, &sources, AssignmentMode::Cast)?;
        let made = self.create_table(&name, schema, properties, create.if_not_exists, Some((&state, &rows))).await?;
        Ok(match made {
            Some(count) => QueryResult::affected(format!("SELECT {count}"), count),
            None => exists_already(tag, &name),
        })
    }

    pub(super) async fn run_drop(&self, drop: Drop, sort: &str, tag: &str) -> Result<QueryResult> {
        let names = drop.names.iter().map(|name| self.qualify(name)).collect::<Result<Vec<_>>>()?;
        let missing = self.drop_entries(&names, sort, drop.if_exists).await?;
        let notices = missing.into_iter().map(|name| format!("{sort} {name} does not exist, skipping"));
        let mut result = QueryResult::done(tag);
        result.notices.extend(notices);
        Ok(result)
    }

    pub(super) async fn run_create_view(&self, create: CreateView) -> Result<QueryResult> {
        let name = self.qualify(&create.name)?;
        let catalog = self.catalog().await?;
        // Planned once, so that a view that cannot work is refused when it is made.
        let plan = volley_planner::resolve::plan_view(&catalog, &create.text, &create.columns).await;
        let plan = plan.map_err(|error| self.explain_error(&catalog.state(), error))?;
        let width = plan.schema().fields().len();
        if create.columns.len() > width {
            let sentence = format!("view {name} names {} columns but its query has {width}", create.columns.len());
            return Err(PlannerError::invalid(ErrorKind::InvalidStatement, sentence).into());
        }
        let search_path = self.current.settings.search_path().to_owned();
        let entry = CatalogEntry::View { sql: create.text.clone(), columns: create.columns.clone(), search_path };
        if create.or_replace && matches!(catalog.entry(&name.schema, &name.name), Some(CatalogEntry::View { .. })) {
            // Once more among the names as they will be: a view that would stand on itself must not replace the one it reads.
            let catalog = self.catalog_with(&catalog, &name, entry.clone());
            let plan = volley_planner::resolve::plan_view(&catalog, &create.text, &create.columns).await;
            plan.map_err(|error| self.explain_error(&catalog.state(), error))?;
        }
        match self.create_entry(&name, entry, create.if_not_exists, create.or_replace).await? {
            true => Ok(QueryResult::done("CREATE VIEW")),
            false => Ok(exists_already("CREATE VIEW", &name)),
        }
    }

    pub(super) async fn run_create_external(&self, create: CreateExternal) -> Result<QueryResult> {
        let tag = "CREATE EXTERNAL TABLE";
        let name = self.qualify(&create.name)?;
        let catalog = self.catalog().await?;
        if !create.or_replace && !self.may_create(&catalog, &name, create.if_not_exists)? {
            return Ok(exists_already(tag, &name));
        }
        for location in &create.statement.locations {
            self.may_use(location)?;
            let url = ListingTableUrl::parse(location)?;
            first_file(&catalog.state(), &url, location).await?;
        }
        // Opened once, so that missing files and unreadable ones are found when the table is made.
        let table = open_external(&catalog, &create.text).await;
        let table = table.map_err(|error| self.explain_error(&catalog.state(), error))?;
        if table.schema().fields().is_empty() {
            let location = create.statement.locations.join(", ");
            let sentence = format!("no file with columns matches \"{location}\"; check the path");
            return Err(PlannerError::invalid(ErrorKind::UndefinedFile, sentence).into());
        }
        let entry = CatalogEntry::External { definition: create.text };
        match self.create_entry(&name, entry, create.if_not_exists, create.or_replace).await? {
            true => Ok(QueryResult::done(tag)),
            false => Ok(exists_already(tag, &name)),
        }
    }

    pub(super) async fn run_delete(&self, delete: Delete) -> Result<QueryResult> {
        let name = self.qualify(&delete.table)?;
        let alias = delete.alias.unwrap_or_else(|| name.name.clone());
        let count = self.delete_rows(&name.schema, &name.name, &alias, delete.predicate).await?;
        Ok(match delete.truncate {
            true => QueryResult::done("TRUNCATE TABLE"),
            false => QueryResult::affected(format!("DELETE {count}"), count),
        })
    }

    pub(super) async fn run_copy_from(&self, copy: CopyFrom) -> Result<QueryResult> {
        let name = self.qualify(&copy.table)?;
        self.may_use(&copy.path)?;
        let catalog = self.catalog().await?;
        let base = self.appendable(&catalog, &name.schema, &name.name).await?;
        let state = catalog.state();
        let plan = plan_copy_from(&state, &name.name, &base.schema, &copy.columns, &copy.path, &copy.options)
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let count = self.append(&state, &base, &plan, "COPY").await?;
        Ok(QueryResult::affected(format!("COPY {count}"), count))
    }
}

fn exists_already(tag: &str, name: &Qualified) -> QueryResult {
    QueryResult::done(tag).with_notice(format!("{name} exists already, skipping"))
}

fn properties(options: &TableOptions) -> Result<TableProperties> {
    let mut properties = TableProperties::default();
    if let Some(shards) = options.shards {
        if !(1..=SHARDS_MAX).contains(&shards) {
            let sentence = format!("shards = {shards} is out of range; a table has 1 to {SHARDS_MAX} shards");
            return Err(PlannerError::invalid(ErrorKind::InvalidValue, sentence).into());
        }
        properties.shards = shards;
    }
    Ok(properties)
}
