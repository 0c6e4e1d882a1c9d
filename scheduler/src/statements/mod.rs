//! Statements, one file per family. [`Running`] is one statement on its way through the engine.

mod cancel;
mod columns;
mod copy_to;
mod ddl;
mod delete;
mod describe;
mod explain;
mod indexes;
mod ingest;
mod measure;
mod open;
mod paths;
mod prepared;
mod query;
mod rows;
mod settings;
mod show;
mod tables;
mod template;
mod users;
mod vacuum;
mod write;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::sqlparser::ast;
use volley_planner::catalog::{CATALOG, QueryCatalog};
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::sql::{self, Statement};
use volley_storage::catalog::CatalogEntry;

use crate::drive::Limits;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::plan_cache::{Found, PlanKey};
use crate::request::{Parameters, QueryRequest, QueryResult};
use crate::session::Current;

use ddl::Qualified;
pub use ingest::{Ingest, IngestMode};
pub use open::{OpenQuery, Opened};
pub(crate) use prepared::Prepared;
pub(crate) use write::transaction;

/// One statement on its way through the engine.
#[derive(Clone)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    limits: Limits,
    request: QueryRequest,
    current: Current,
    /// What the statement is known by, if a template of it is worth planning.
    plan: Option<PlanKey>,
}

impl Running {
    pub(crate) fn new(shared: Arc<Shared>, limits: Limits, request: QueryRequest, current: Current) -> Self {
        Self { shared, limits, request, current, plan: None }
    }

    /// Parses the text and executes the one statement in it, of which this template may be kept.
    pub(crate) async fn execute(mut self, found: Option<Found>) -> Result<QueryResult> {
        match self.begin(found).await? {
            ControlFlow::Break(result) => Ok(result),
            ControlFlow::Continue(statement) => self.statement(statement).await,
        }
    }

    /// The answer, where the statement need not be read as a whole: several rows of parameters go their own way, and a template
    /// may be kept. Otherwise the statement.
    async fn begin(&mut self, found: Option<Found>) -> Result<ControlFlow<QueryResult, Statement>> {
        if let Parameters::Rows(rows) = &self.request.parameters {
            return Ok(ControlFlow::Break(self.execute_rows(Arc::clone(rows)).await?));
        }
        if let Some(found) = found
            && let Some(result) = self.by_template("SELECT", &found).await?
        {
            return Ok(ControlFlow::Break(result));
        }
        Ok(ControlFlow::Continue(self.one_statement()?))
    }

    /// The one statement in the text.
    fn one_statement(&self) -> Result<Statement> {
        match sql::split_statements(&self.request.sql).len() {
            0 | 1 => Ok(sql::parse_statement(&self.request.sql)?),
            count => Err(Error::StatementCount { count }),
        }
    }

    /// Executes a statement.
    async fn statement(&self, statement: Statement) -> Result<QueryResult> {
        let tag = statement.tag();
        match statement {
            Statement::Query(query) => self.query(tag, plain(ast::Statement::Query(query))).await,
            Statement::DataFusion(statement) => self.query(tag, plain(*statement)).await,
            Statement::Explain(explain) => self.explain(explain).await,
            Statement::CreateTable(create) => self.run_create_table(create).await,
            Statement::DropTable(drop) => self.run_drop(drop, "table", tag).await,
            Statement::CreateSchema { name, if_not_exists } => self.create_schema(&name, if_not_exists).await,
            Statement::DropSchema { names, if_exists, cascade } => {
                let missing = self.drop_schemas(&names, if_exists, cascade).await?;
                let notices = missing.into_iter().map(|name| format!("schema \"{name}\" does not exist, skipping"));
                let mut result = QueryResult::done(tag);
                result.notices.extend(notices);
                Ok(result)
            }
            Statement::CreateView(create) => self.run_create_view(create).await,
            Statement::DropView(drop) => self.run_drop(drop, "view", tag).await,
            Statement::CreateExternalTable(create) => self.run_create_external(*create).await,
            Statement::CreateIndex(create) => self.run_create_index(create).await,
            Statement::DropIndex(drop) => self.run_drop_index(drop).await,
            Statement::Reindex(what) => self.run_reindex(what).await,
            Statement::Insert(insert) => self.run_insert(insert).await,
            Statement::Delete(delete) => self.run_delete(delete).await,
            Statement::CopyFrom(copy) => self.run_copy_from(copy).await,
            Statement::CopyTo(copy) => self.run_copy_to(copy).await,
            Statement::Set { name, value } => self.set(&name, &value).await,
            Statement::Reset { name } => self.reset(name.as_deref()).await,
            Statement::Show(show) => self.show(show).await,
            Statement::Prepare(prepare) => self.prepare(prepare).await,
            Statement::Execute { name, parameters } => Box::pin(self.execute_prepared(&name, parameters)).await,
            Statement::Deallocate { name } => {
                self.request.session.deallocate(name.as_deref())?;
                Ok(QueryResult::done(tag))
            }
            Statement::Vacuum { table } => self.vacuum(table).await,
            Statement::Analyze { table, using } => self.analyze(table, using).await,
            Statement::CreateUser(create) => self.create_user(create).await,
            Statement::AlterUser(alter) => self.alter_user(alter).await,
            Statement::DropUser(drop) => self.drop_users(drop).await,
            Statement::CancelQuery { id } => self.cancel_query(&id).await,
            Statement::Nothing { tag, notice } => {
                let mut result = QueryResult::done(tag);
                result.notices.extend(notice);
                Ok(result)
            }
        }
    }

    /// The names this statement sees, read now.
    async fn catalog(&self) -> Result<Arc<QueryCatalog>> {
        let names = self.shared.database.catalog().snapshot().await?;
        let store = Arc::clone(&self.shared.store);
        let settings = Arc::clone(&self.current.settings);
        Ok(QueryCatalog::new(names, store, Arc::clone(&self.current.template), settings))
    }

    /// The same names, one of which stands for something else.
    fn catalog_with(&self, catalog: &QueryCatalog, name: &Qualified, entry: CatalogEntry) -> Arc<QueryCatalog> {
        let mut names = (**catalog.names()).clone();
        if let Some(schema) = names.schemas.get_mut(&name.schema) {
            schema.insert(name.name.clone(), entry);
        }
        let settings = Arc::clone(&self.current.settings);
        QueryCatalog::new(Arc::new(names), Arc::clone(&self.shared.store), Arc::clone(&self.current.template), settings)
    }

    /// A name with its schema; names of other catalogs do not exist.
    fn qualify(&self, name: &TableReference) -> Result<Qualified> {
        if let Some(catalog) = name.catalog().filter(|catalog| *catalog != CATALOG) {
            let shown = format!("{catalog}.{}", name.schema().unwrap_or_default());
            return Err(PlannerError::undefined(ObjectKind::Schema, &shown, [CATALOG]).into());
        }
        let schema = name.schema().map_or_else(|| self.current.settings.search_path().to_owned(), str::to_owned);
        Ok(Qualified { schema, name: name.table().to_owned() })
    }

    /// A planning error with what the catalog knows about it.
    fn explain_error(&self, _state: &SessionState, error: DataFusionError) -> Error {
        Error::from(error)
    }
}

/// A statement as DataFusion's planner takes it.
fn plain(statement: ast::Statement) -> AstStatement {
    AstStatement::Statement(Box::new(statement))
}
