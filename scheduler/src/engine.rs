//! The engine: one data directory, its runtimes, its memory and its catalog.

mod caches;
mod config;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use futures::future::BoxFuture;
use volley_executor::search::Searcher;
use volley_executor::segment_source;
use volley_planner::session::{SessionUser, session_config, session_state, set_user};
use volley_planner::sql::settings::Settings;
use volley_planner::system_tables::{EngineReport, EngineReportHandle};
use volley_storage::catalog::{CatalogEntry, CatalogSnapshot};
use volley_storage::store::{Consistency, TableStore};
use volley_storage::verify::VerifyReport;
use volley_storage::{Database, Error as StorageError, ErrorKind};

use crate::allowed_paths::{AllowedFiles, AllowedPaths};
use crate::cluster::{ClusterRole, Helpers, Members, RemoteTables, by_executors};
use crate::drive::Limits;
use crate::error::{Error, Result};
use crate::indexing::Indexer;
use crate::memory::MemoryLedger;
use crate::plan_cache::{Found, PlanCache};
use crate::queries::Queries;
use crate::request::{CancellationToken, Described, QueryId, QueryRequest, QueryResult};
use crate::runtimes::{IoStore, Runtimes};
use crate::session::{self, Session};
use crate::statements::{Ingest, Opened, Running};
use crate::users::{Authenticator, Identity};
use caches::Caches;
pub use config::{DataLocation, EngineConfig};

/// Who a caller is asks for no newer names than these: it is asked with every call.
pub const USERS_AGE_MAX_MS: i64 = 100;
/// The same where each look is a trip over a network.
const REMOTE_USERS_AGE_MAX_MS: i64 = 1_000;

/// What all sessions of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) store: Arc<dyn TableStore>,
    pub(crate) memory: Arc<MemoryLedger>,
    pub(crate) data: DataLocation,
    pub(crate) indexer: Arc<Indexer>,
    pub(crate) plans: PlanCache,
    pub(crate) queries: Arc<Queries>,
    pub(crate) authenticator: Authenticator,
    pub(crate) allowed_paths: Option<AllowedPaths>,
    /// The executors, on a coordinator.
    pub(crate) members: Option<Arc<Members>>,
    /// Held for the sessions that report of them.
    _caches: Arc<Caches>,
    pub(crate) runtimes: Runtimes,
}

/// A data directory, open for SQL.
///
/// Every front door, the shell, tests and benches talk to this type: open it, make a [`Session`], execute statements.
///
/// Its futures are boxed, so that what they do is compiled once, here, and not in every program that waits for one.
pub struct Engine {
    shared: Arc<Shared>,
    base: SessionConfig,
    template: SessionState,
    /// That of the default settings.
    fingerprint: u64,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("data", &self.shared.data).finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.indexer.stop();
    }
}

impl Engine {
    /// Opens a data directory, creating it when it does not exist.
    pub fn open(config: EngineConfig) -> BoxFuture<'static, Result<Arc<Engine>>> {
        Box::pin(Self::open_unboxed(config))
    }

    async fn open_unboxed(config: EngineConfig) -> Result<Arc<Engine>> {
        let runtimes = Runtimes::start(config.threads).map_err(|source| Error::Start { detail: source.to_string() })?;
        let mut env = config.env()?;
        env.store = Arc::new(IoStore::new(env.store, runtimes.io(), env.local_root.is_some()));
        let memory = Arc::new(MemoryLedger::new(config.memory_limit));
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&memory) as Arc<dyn MemoryPool>).build_arc()?;
        segment_source::register(&runtime, &env)?;
        let allowed_paths = config.allowed_paths.map(AllowedPaths::new).transpose()?;
        if let Some(allowed) = &allowed_paths {
            let files = Arc::new(AllowedFiles::new(allowed.clone()));
            runtime.register_object_store(ObjectStoreUrl::local_filesystem().as_ref(), files);
        }
        let queries = Arc::new(Queries::new(Arc::clone(&env.clock)));
        let authenticator = Authenticator::new(&*env.rng);
        let copies = env.disk_cache.clone();
        // Opening reads logs: that is work of the engine's own threads, whichever runtime the caller has.
        let (create, data) = (config.create, config.data.clone());
        let opening = async move {
            if !create && !Database::exists(&env).await? {
                let detail = format!("there is no data directory at {data}");
                return Err(StorageError::Location { kind: ErrorKind::UndefinedFile, detail });
            }
            Database::open(env).await
        };
        let database = runtimes
            .cpu()
            .spawn(opening)
            .await
            .map_err(|fault| Error::Internal { detail: format!("opening the data directory failed: {fault}") })??;
        let members = match &config.cluster {
            Some(ClusterRole::Coordinator { secret, replicas }) => {
                Some(Arc::new(Members::new(secret.clone(), *replicas, runtimes.io())))
            }
            Some(ClusterRole::Executor) | None => None,
        };
        let local: Arc<dyn TableStore> = Arc::new(database.clone());
        let store: Arc<dyn TableStore> = match &members {
            Some(members) => Arc::new(RemoteTables::new(local, Arc::clone(members), Arc::clone(&memory) as _)),
            None => local,
        };
        let caches =
            Arc::new(Caches::new(&memory, runtimes.cpu_threads(), Arc::clone(&queries), copies, members.clone()));
        let plans = caches.plans.clone();
        let report: Weak<dyn EngineReport> = Arc::downgrade(&caches) as _;
        let base = session_config(Arc::clone(&store), runtimes.cpu_threads())
            .with_extension(Arc::new(Searcher(Arc::new(caches.searcher.clone()))))
            .with_extension(Arc::new(caches.columns.clone()))
            .with_extension(Arc::new(EngineReportHandle(report)));
        let base = match &members {
            Some(members) => by_executors(base, &runtime, members, caches.searcher.clone())?,
            None => base,
        };
        let template = session_state(base.clone(), runtime, true)?;
        let helpers = members.clone().map(Helpers::new);
        let indexer =
            Indexer::new(database.clone(), Arc::clone(&memory), runtimes.cpu(), runtimes.cpu_threads(), helpers);
        // An executor changes nothing of its own accord.
        indexer.set_active(!matches!(config.cluster, Some(ClusterRole::Executor)));
        let shared = Arc::new(Shared {
            database,
            store,
            memory,
            data: config.data,
            indexer,
            plans,
            queries,
            authenticator,
            allowed_paths,
            members,
            _caches: caches,
            runtimes,
        });
        let fingerprint = session::fingerprint(&base, &Settings::default());
        Ok(Arc::new(Engine { shared, base, template, fingerprint }))
    }

    /// A new session with default settings. It belongs to no user: it is the process's own, which may do everything.
    pub fn session(self: &Arc<Self>) -> Arc<Session> {
        Arc::new(Session::new(None, self.base.clone(), self.template.clone(), self.fingerprint))
    }

    /// A new session of a user with default settings.
    pub fn session_of(self: &Arc<Self>, identity: Arc<Identity>) -> Arc<Session> {
        let user = SessionUser(identity.name.as_str().into());
        let base = self.base.clone().with_extension(Arc::new(user.clone()));
        let mut template = self.template.clone();
        if let Err(error) = set_user(&mut template, user) {
            // A session that does not know its user may do nothing that takes a superuser, so this is safe.
            tracing::error!(%error, "current_user cannot be defined");
        }
        let fingerprint = session::fingerprint(&base, &Settings::default());
        Arc::new(Session::new(Some(identity), base, template, fingerprint))
    }

    /// Whether there are users; without any, nobody can log in. Changes by other processes are seen within
    /// [`USERS_AGE_MAX_MS`], within a second over an object store.
    pub fn has_users(&self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move { Ok(!self.recent_names().await?.users.is_empty()) })
    }

    /// The user whose name and password these are. It takes tens of milliseconds the first time, however many come at the
    /// same time.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], which does not say what is wrong and takes the same time whatever it is.
    pub fn authenticate(&self, user: &str, password: &str) -> BoxFuture<'_, Result<Arc<Identity>>> {
        let (user, password) = (user.to_owned(), password.to_owned());
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            let checking = async move {
                let names = shared.database.catalog().snapshot().await?;
                let identity = shared.authenticator.check(&user, names.users.get(&user), &password).await?;
                Ok(Arc::new(identity))
            };
            self.unlimited().run_here(&self.shared.runtimes.cpu(), checking).await
        })
    }

    /// The user of this name as they are now; `None` when there is none. What was given out to an identity is void when this
    /// one has another generation.
    pub fn identity(&self, user: &str) -> BoxFuture<'_, Result<Option<Arc<Identity>>>> {
        let name = user.to_owned();
        Box::pin(async move {
            let names = self.recent_names().await?;
            Ok(names.users.get(&name).map(|user| Arc::new(Identity::of(&name, user))))
        })
    }

    /// Cancels a query that is being executed: any of them for the process itself (`None`) and superusers, their own for
    /// others. `false` when there is none of this id, or none that may be cancelled.
    pub fn cancel(&self, id: QueryId, by: Option<&Identity>) -> bool {
        let of = by.filter(|identity| !identity.is_superuser).map(|identity| identity.name.as_str());
        self.shared.queries.cancel(id, of)
    }

    /// The executors of the cluster, where this engine is a coordinator's.
    pub fn members(&self) -> Option<&Arc<Members>> {
        self.shared.members.as_ref()
    }

    /// What all sessions share, for the roles of a cluster.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The state of a session with default settings, for tasks of other nodes.
    pub(crate) fn state(&self) -> SessionState {
        self.template.clone()
    }

    #[cfg(test)]
    pub(crate) fn registry(&self) -> &Arc<Queries> {
        &self.shared.queries
    }

    async fn recent_names(&self) -> Result<Arc<CatalogSnapshot>> {
        let shared = Arc::clone(&self.shared);
        let age_max_ms = if shared.store.is_remote() { REMOTE_USERS_AGE_MAX_MS } else { USERS_AGE_MAX_MS };
        let reading = async move { Ok(shared.database.catalog().recent_snapshot(age_max_ms).await?) };
        self.unlimited().run_here(&self.shared.runtimes.cpu(), reading).await
    }

    fn unlimited(&self) -> Limits {
        Limits::new(CancellationToken::new(), None)
    }

    /// Executes one statement.
    ///
    /// Changes are committed when the call returns; rows stream. Fails with [`Error::StatementCount`] when the text
    /// holds more than one statement.
    pub fn execute(&self, request: QueryRequest) -> BoxFuture<'_, Result<QueryResult>> {
        Box::pin(async move {
            let registered = self.shared.queries.register(&request);
            let (limits, mut running) = self.start(request);
            let cached = running.look_up();
            let result = match self.run_short(&limits, running, cached).await? {
                Ok(result) => result,
                Err((running, cached)) => limits.run(&self.shared.runtimes.cpu(), running.execute(cached)).await?,
            };
            Ok(registered.streaming(result))
        })
    }

    /// Executes one statement like [`execute`](Self::execute), but hands a query whose rows may be many back planned, so that
    /// it can be read when somebody asks for its rows, and again.
    pub fn open_query(&self, request: QueryRequest) -> BoxFuture<'_, Result<Opened>> {
        Box::pin(async move {
            let registered = self.shared.queries.register(&request);
            let (limits, mut running) = self.start(request);
            let cached = running.look_up();
            let opened = match self.run_short(&limits, running, cached).await? {
                Ok(result) => Opened::Done(result),
                Err((running, cached)) => limits.run(&self.shared.runtimes.cpu(), running.open(cached)).await?,
            };
            Ok(match opened {
                Opened::Done(result) => Opened::Done(registered.streaming(result)),
                Opened::Query(query) => Opened::Query(Box::new(query.registered(registered))),
            })
        })
    }

    /// What a statement takes and gives, without running it. Its parameters need no values yet.
    pub fn describe(&self, request: QueryRequest) -> BoxFuture<'_, Result<Described>> {
        Box::pin(async move {
            let (limits, running) = self.start(request);
            limits.run(&self.shared.runtimes.cpu(), running.describe()).await
        })
    }

    /// Writes a stream of rows into a table, all or none; returns how many there were.
    pub fn ingest(&self, ingest: Ingest) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async move {
            let request = ingest.request();
            let _registered = self.shared.queries.register(&request);
            let (limits, running) = self.start(request);
            limits.run(&self.shared.runtimes.cpu(), running.ingest(ingest)).await
        })
    }

    /// The columns of a table's primary key in the key's order; none where there is no such table or it has no key.
    pub fn primary_key<'a>(&'a self, schema: &'a str, table: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let names = self.shared.database.catalog().snapshot().await?;
            let Some(CatalogEntry::Table { id }) = names.entry(schema, table) else { return Ok(Vec::new()) };
            let schema = &self.shared.store.snapshot(*id, Consistency::Strong).await?.schema;
            let columns = schema.primary_key.iter().filter_map(|id| schema.index_of(*id));
            Ok(columns.map(|at| schema.arrow.field(at).name().clone()).collect())
        })
    }

    fn start(&self, request: QueryRequest) -> (Limits, Running) {
        let current = request.session.current();
        let deadline = earliest(request.deadline, current.settings.statement_timeout());
        let limits = Limits::new(request.cancel.clone(), deadline);
        (limits.clone(), Running::new(Arc::clone(&self.shared), limits, request, current))
    }

    /// Runs a statement of which a short template is kept, on the caller's thread; hands it back where there is none.
    async fn run_short(&self, limits: &Limits, mut running: Running, mut cached: Kept) -> Result<ShortRun> {
        let Some(short) = cached.take_if(|found| found.cached.is_short()) else { return Ok(Err((running, cached))) };
        let by_template = async move {
            let result = running.by_current_template("SELECT", &short).await?;
            Ok((running, short, result))
        };
        let (running, short, result) = limits.run_here(&self.shared.runtimes.cpu(), by_template).await?;
        Ok(result.ok_or((running, Some(short))))
    }

    /// Checks every log, file and checksum; `progress` hears the path of each file.
    pub fn verify(&self, progress: Arc<dyn Fn(&str) + Send + Sync>) -> BoxFuture<'_, Result<VerifyReport>> {
        Box::pin(async move {
            let database = self.shared.database.clone();
            let checking = self.shared.runtimes.cpu().spawn(async move { database.verify(&*progress).await });
            checking.await.map_err(|fault| Error::Internal { detail: format!("verify failed: {fault}") })
        })
    }

    /// Waits for what commits left to do in the background (checkpoints, folding of inline rows, indexing of new
    /// segments). Call it before the process ends; without it nothing is lost, a later write or REINDEX does the work.
    pub fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (database, indexer) = (self.shared.database.clone(), Arc::clone(&self.shared.indexer));
            let settling = self.shared.runtimes.cpu().spawn(async move {
                indexer.idle().await;
                // Last, because indexing commits too.
                database.settle().await;
            });
            // A fault of background work has no one to go to; the data is as it was.
            let _ = settling.await;
        })
    }

    /// Bytes held now, most bytes ever held, and the limit.
    pub fn memory(&self) -> (usize, usize, usize) {
        let memory = &self.shared.memory;
        (memory.reserved(), memory.peak(), memory.limit())
    }
}

/// The template that is kept of a statement.
type Kept = Option<Found>;
/// The result, or the statement as it was.
type ShortRun = std::result::Result<QueryResult, (Running, Kept)>;

fn earliest(deadline: Option<Instant>, timeout: Option<Duration>) -> Option<Instant> {
    let by_timeout = timeout.map(|timeout| Instant::now() + timeout);
    match (deadline, by_timeout) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
