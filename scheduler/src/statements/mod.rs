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
mod insert;
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
use volley_planner::sql::settings::Settings;
use volley_planner::sql::{self, Statement};
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogEntry, CatalogSnapshot};
use volley_storage::store::Consistency;

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
            ControlFlow::Continue(statement) => {
                let again = self.again(&statement);
                let answer = self.statement(statement).await;
                match again {
                    Some(statement) if self.names_may_be_old(answer.as_ref().err()).await? => {
                        self.statement(statement).await
                    }
                    _ => answer,
                }
            }
        }
    }

    /// A statement for a second try, where its names may be old.
    fn again(&self, statement: &Statement) -> Option<Statement> {
        let may_be_old = self.consistency() != Consistency::Strong && is_content_with_less(statement);
        may_be_old.then(|| statement.clone())
    }

    /// Whether a statement failed because of a name that another process may have made since the names were read, which are read
    /// anew then.
    async fn names_may_be_old(&self, error: Option<&Error>) -> Result<bool> {
        let is_unknown =
            error.is_some_and(|error| matches!(error.kind(), ErrorKind::UndefinedTable | ErrorKind::UndefinedSchema));
        if is_unknown && self.consistency() != Consistency::Strong {
            self.shared.database.catalog().snapshot().await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The answer, where the statement need not be read as a whole: several rows of parameters go their own way, and a template
    /// may be kept. Otherwise the statement.
    async fn begin(&mut self, found: Option<Found>) -> Result<ControlFlow<QueryResult, Statement>> {
        if let Parameters::Rows(rows) = &self.request.parameters {
            // Rows may be done one by one, so that there is no second try.
            return Ok(ControlFlow::Break(self.strong()?.execute_rows(Arc::clone(rows)).await?));
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
        if !is_content_with_less(&statement) && self.consistency() != Consistency::Strong {
            return Box::pin(self.strong()?.statement(statement)).await;
        }
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

    /// How fresh what this statement sees has to be.
    fn consistency(&self) -> Consistency {
        self.current.settings.consistency(self.shared.store.is_remote())
    }

    /// The names, as fresh as the session wants them.
    async fn names(&self) -> Result<Arc<CatalogSnapshot>> {
        Ok(self.shared.database.catalog().at(self.consistency()).await?)
    }

    /// The statement as one that sees names and rows as they are now, whatever the session is content with.
    fn strong(&self) -> Result<Self> {
        let mut strong = self.clone();
        let mut settings = Settings::clone(&self.current.settings);
        settings.set("volley.consistency", "strong")?;
        strong.current.settings = Arc::new(settings);
        Ok(strong)
    }

    /// The names this statement sees, with what they stand for.
    async fn catalog(&self) -> Result<Arc<QueryCatalog>> {
        let names = self.names().await?;
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

/// Whether a statement only reads, so that it may see what the session is content with. One that changes something has to see what
/// is there: rows for a table that was dropped would be lost, and rows that were not seen would not be deleted.
fn is_content_with_less(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Query(_)
            | Statement::DataFusion(_)
            | Statement::Explain(_)
            | Statement::CopyTo(_)
            | Statement::Set { .. }
            | Statement::Reset { .. }
            | Statement::Show(_)
            | Statement::Prepare(_)
            | Statement::Execute { .. }
            | Statement::Deallocate { .. }
            | Statement::CancelQuery { .. }
            | Statement::Nothing { .. }
    )
}

/// A statement as DataFusion's planner takes it.
fn plain(statement: ast::Statement) -> AstStatement {
    AstStatement::Statement(Box::new(statement))
}
