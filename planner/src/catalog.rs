//! The names that one query sees, each table pinned at one version for the query's whole life.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;
use parking_lot::Mutex;
use volley_executor::search::FilterStrategy;
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogEntry, CatalogSnapshot};
use volley_storage::ids::TableId;
use volley_storage::snapshot::Snapshot;
use volley_storage::store::TableStore;

use crate::error::Error;
use crate::session::SessionUser;
use crate::sql::settings::Settings;
use crate::system_tables::{self, EngineReport, EngineReportHandle, SYSTEM_SCHEMA};
use crate::table::{TableIndex, VolleyTable};
use crate::vector_topk::settings::SearchSettings;

/// The one catalog of a data directory, as clients see it.
pub const CATALOG: &str = "volley";
/// The schema of names without one.
pub const DEFAULT_SCHEMA: &str = "public";
/// Views that stand on views, at most.
const VIEW_DEPTH_MAX: usize = 32;

/// The names of one query.
///
/// Names and tables are read once and stay as they were: a query that names a table twice, or reads it through a view,
/// sees one version.
#[derive(Debug)]
pub struct QueryCatalog {
    names: Arc<CatalogSnapshot>,
    store: Arc<dyn TableStore>,
    template: Arc<SessionState>,
    settings: Arc<Settings>,
    user: Option<Arc<str>>,
    pinned: Mutex<HashMap<TableId, Arc<VolleyTable>>>,
    /// The versions that tables are pinned at.
    versions: Mutex<HashMap<TableId, Arc<Snapshot>>>,
    external: Mutex<HashMap<(String, String), Arc<dyn TableProvider>>>,
    /// Why tables could not be opened, by schema and name.
    failures: Mutex<HashMap<(String, String), DataFusionError>>,
    view_depth: usize,
}

impl QueryCatalog {
    /// The names of a query that starts now. `template` is a session state without a catalog, made with `settings`.
    pub fn new(
        names: Arc<CatalogSnapshot>,
        store: Arc<dyn TableStore>,
        template: Arc<SessionState>,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        let user = template.config().get_extension::<SessionUser>().map(|user| Arc::clone(&user.0));
        Arc::new(Self {
            names,
            store,
            template,
            settings,
            user,
            pinned: Mutex::default(),
            versions: Mutex::default(),
            external: Mutex::default(),
            failures: Mutex::default(),
            view_depth: 0,
        })
    }

    /// The session state in which the query is planned.
    pub fn state(self: &Arc<Self>) -> SessionState {
        let mut state = SessionState::clone(&self.template);
        state.register_catalog_list(Arc::new(CatalogList(Arc::clone(self))));
        let search = SearchSettings {
            recall_target: self.settings.recall_target(),
            strategy: FilterStrategy::of_name(self.settings.filter_strategy()).unwrap_or_default(),
            ef: self.settings.ef_search(),
        };
        state.config_mut().set_extension(Arc::new(search));
        state.mark_start_execution();
        state
    }

    /// The names and what they stand for.
    pub fn names(&self) -> &Arc<CatalogSnapshot> {
        &self.names
    }

    /// The store behind the tables.
    pub fn store(&self) -> &Arc<dyn TableStore> {
        &self.store
    }

    /// What the engine knows of itself.
    pub fn engine(&self) -> Option<Arc<dyn EngineReport>> {
        let handle = self.template.config().get_extension::<EngineReportHandle>()?;
        handle.0.upgrade()
    }

    /// Whose session the query runs in; `None` for the process's own.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the session may do everything: it belongs to a superuser, or to the process itself.
    pub fn is_superuser(&self) -> bool {
        self.user().is_none_or(|user| self.names.users.get(user).is_some_and(|user| user.is_superuser))
    }

    /// The session's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What a name stands for.
    pub fn entry(&self, schema: &str, name: &str) -> Option<&CatalogEntry> {
        self.names.schemas.get(schema)?.get(name)
    }

    /// The table behind a name, pinned; `None` when the name is unknown or not a Volley table.
    pub async fn volley_table(&self, schema: &str, name: &str) -> Result<Option<Arc<VolleyTable>>, Error> {
        match self.entry(schema, name) {
            Some(CatalogEntry::Table { id }) => Ok(Some(self.pin(*id).await?)),
            _ => Ok(None),
        }
    }

    /// The version at which the table behind a name is pinned, for who adds rows and reads none; `None` when the name is unknown
    /// or not a Volley table.
    pub async fn snapshot(&self, schema: &str, name: &str) -> Result<Option<Arc<Snapshot>>, Error> {
        match self.entry(schema, name) {
            Some(CatalogEntry::Table { id }) => Ok(Some(self.version(*id).await?)),
            _ => Ok(None),
        }
    }

    /// A table's newest version, as fresh as the session wants it, looked for once per query.
    async fn version(&self, id: TableId) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.versions.lock().get(&id) {
            return Ok(Arc::clone(snapshot));
        }
        let consistency = self.settings.consistency(self.store.is_remote());
        let snapshot = self.store.snapshot(id, consistency).await?;
        // Two parts of a query may race here; the first one's stands for both.
        Ok(Arc::clone(self.versions.lock().entry(id).or_insert(snapshot)))
    }

    /// Pins a table at its newest version, once per query.
    async fn pin(&self, id: TableId) -> Result<Arc<VolleyTable>, Error> {
        if let Some(table) = self.pinned.lock().get(&id) {
            return Ok(Arc::clone(table));
        }
        let snapshot = self.version(id).await?;
        let indexes = self.names.indexes(id);
        let indexes =
            indexes.map(|(_, name, definition)| TableIndex { name: name.to_owned(), definition: definition.clone() });
        let runtime = self.template.runtime_env();
        let table = VolleyTable::pin(Arc::clone(&self.store), runtime, snapshot, indexes.collect()).await?;
        let table = Arc::new(table);
        // Two parts of a query may race here; the first pin stands for both.
        Ok(Arc::clone(self.pinned.lock().entry(id).or_insert(table)))
    }

    /// A view's query, planned against the names this query sees.
    async fn view(
        self: &Arc<Self>,
        name: &str,
        sql: &str,
        columns: &[String],
        search_path: &str,
    ) -> Result<Arc<dyn TableProvider>> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(Error::invalid(
                ErrorKind::TooComplex,
                format!("view \"{name}\" stands on itself or on more than {VIEW_DEPTH_MAX} other views; redefine it"),
            )
            .into());
        }
        // A view means what it meant when it was made, whatever the reader's search path.
        let mut template = SessionState::clone(&self.template);
        template.config_mut().options_mut().catalog.default_schema = search_path.to_owned();
        let inner = Arc::new(Self {
            names: Arc::clone(&self.names),
            store: Arc::clone(&self.store),
            template: Arc::new(template),
            settings: Arc::clone(&self.settings),
            user: self.user.clone(),
            pinned: Mutex::new(self.pinned.lock().clone()),
            versions: Mutex::new(self.versions.lock().clone()),
            external: Mutex::default(),
            failures: Mutex::default(),
            view_depth: self.view_depth + 1,
        });
        let plan = Box::pin(crate::resolve::plan_view(&inner, sql, columns)).await?;
        // What the view pinned is pinned for the whole query.
        for (id, table) in inner.pinned.lock().iter() {
            self.pinned.lock().entry(*id).or_insert_with(|| Arc::clone(table));
            self.versions.lock().entry(*id).or_insert_with(|| Arc::clone(table.snapshot()));
        }
        Ok(Arc::new(ViewTable::new(plan, Some(sql.to_owned()))))
    }

    /// An external table: its files are listed and their schema read when the query first names it.
    async fn external(self: &Arc<Self>, schema: &str, name: &str, definition: &str) -> Result<Arc<dyn TableProvider>> {
        let key = (schema.to_owned(), name.to_owned());
        if let Some(table) = self.external.lock().get(&key) {
            return Ok(Arc::clone(table));
        }
        let table = crate::resolve::open_external(self, definition).await?;
        Ok(Arc::clone(self.external.lock().entry(key).or_insert(table)))
    }
}

/// Opens a table that a statement names; `None` when the name stands for nothing.
pub async fn open_table(schema: &Arc<dyn SchemaProvider>, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let table = schema.table(name).await?;
    if table.is_none()
        && let Some(schema) = schema.downcast_ref::<Schema>()
        && let Some(error) = schema.catalog.failures.lock().remove(&(schema.name.clone(), name.to_owned()))
    {
        return Err(error);
    }
    Ok(table)
}

/// DataFusion's list of catalogs: one.
#[derive(Debug)]
struct CatalogList(Arc<QueryCatalog>);

impl CatalogProviderList for CatalogList {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(Catalog(Arc::clone(&self.0))) as Arc<dyn CatalogProvider>)
    }
}

#[derive(Debug)]
struct Catalog(Arc<QueryCatalog>);

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.names.schemas.keys().cloned().chain([SYSTEM_SCHEMA.to_owned()]).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let known = name == SYSTEM_SCHEMA || self.0.names.schemas.contains_key(name);
        known.then(|| {
            Arc::new(Schema { catalog: Arc::clone(&self.0), name: name.to_owned() }) as Arc<dyn SchemaProvider>
        })
    }
}

#[derive(Debug)]
struct Schema {
    catalog: Arc<QueryCatalog>,
    name: String,
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        if self.name == SYSTEM_SCHEMA {
            return system_tables::NAMES.iter().map(|name| (*name).to_owned()).collect();
        }
        let names = self.catalog.names.schemas.get(&self.name);
        let relations = names.into_iter().flatten().filter(|(_, entry)| is_relation(entry));
        relations.map(|(name, _)| name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.open(name).await {
            Ok(table) => Ok(table),
            Err(error) => {
                // One table that cannot be opened must not hide the others from information_schema; who names it hears
                // of it from [`open_table`].
                let key = (self.name.clone(), name.to_owned());
                self.catalog.failures.lock().insert(key, error);
                Ok(None)
            }
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        if self.name == SYSTEM_SCHEMA {
            return Ok(system_tables::NAMES.contains(&name).then_some(TableType::Base));
        }
        Ok(self.catalog.entry(&self.name, name).and_then(|entry| match entry {
            CatalogEntry::View { .. } => Some(TableType::View),
            CatalogEntry::External { .. } | CatalogEntry::Table { .. } => Some(TableType::Base),
            CatalogEntry::Index { .. } => None,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        match self.name.as_str() {
            SYSTEM_SCHEMA => system_tables::NAMES.contains(&name),
            schema => self.catalog.entry(schema, name).is_some_and(is_relation),
        }
    }
}

/// Whether a name stands for rows, so that it can be selected from.
pub fn is_relation(entry: &CatalogEntry) -> bool {
    match entry {
        CatalogEntry::Table { .. } | CatalogEntry::View { .. } | CatalogEntry::External { .. } => true,
        CatalogEntry::Index { .. } => false,
    }
}

impl Schema {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if self.name == SYSTEM_SCHEMA {
            return system_tables::table(&self.catalog, name).await;
        }
        let table: Arc<dyn TableProvider> = match self.catalog.entry(&self.name, name) {
            None => return Ok(None),
            Some(CatalogEntry::Table { id }) => self.catalog.pin(*id).await?,
            Some(CatalogEntry::View { sql, columns, search_path }) => {
                self.catalog.view(name, sql, columns, search_path).await?
            }
            Some(CatalogEntry::External { definition }) => self.catalog.external(&self.name, name, definition).await?,
            Some(CatalogEntry::Index { .. }) => {
                let sentence = format!("\"{name}\" is an index; select from its table, the planner uses the index");
                return Err(Error::invalid(ErrorKind::WrongObjectType, sentence).into());
            }
        };
        Ok(Some(table))
    }
}
