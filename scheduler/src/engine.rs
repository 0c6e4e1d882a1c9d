//! The engine: one data directory, its runtimes, its memory and its catalog.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use futures::future::BoxFuture;
use volley_executor::hot_columns::HotColumns;
use volley_executor::kept::KeptStatistics;
use volley_executor::search::{LocalSearcher, Searcher};
use volley_executor::segment_source;
use volley_planner::session::{session_config, session_state};
use volley_planner::sql::settings::Settings;
use volley_planner::system_tables::{CachedPlan, EngineReport, EngineReportHandle};
use volley_storage::store::TableStore;
use volley_storage::verify::VerifyReport;
use volley_storage::{Database, local_env, memory_env};

use crate::drive::Limits;
use crate::error::{Error, Result};
use crate::indexing::Indexer;
use crate::memory::MemoryLedger;
use crate::plan_cache::PlanCache;
use crate::request::{QueryRequest, QueryResult};
use crate::runtimes::{IoStore, Runtimes};
use crate::session::{self, Session};
use crate::statements::Running;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataLocation {
    /// A directory of this machine, created when it does not exist. Other processes may use it at the same time.
    Local(PathBuf),
    /// Memory of this process, gone with the engine.
    Memory,
}

/// How to start an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where the data is.
    pub data: DataLocation,
    /// Bytes of memory that queries and caches may hold; 70 % of the machine's when `None`.
    pub memory_limit: Option<usize>,
    /// CPU threads; one per core when `None`.
    pub threads: Option<usize>,
}

impl EngineConfig {
    /// Defaults for this location.
    pub fn new(data: DataLocation) -> Self {
        Self { data, memory_limit: None, threads: None }
    }
}

/// What all sessions of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) store: Arc<dyn TableStore>,
    pub(crate) memory: Arc<MemoryLedger>,
    pub(crate) data: DataLocation,
    pub(crate) indexer: Arc<Indexer>,
    pub(crate) plans: PlanCache,
    /// Held for the sessions that report of them.
    _caches: Arc<Caches>,
    pub(crate) runtimes: Runtimes,
}

/// What an engine keeps in memory for later queries.
#[derive(Debug)]
struct Caches {
    plans: PlanCache,
    columns: HotColumns,
    searcher: LocalSearcher,
}

impl Caches {
    fn new(memory: &Arc<MemoryLedger>, threads: usize) -> Self {
        let pool = Arc::clone(memory) as Arc<dyn MemoryPool>;
        let (plans, columns) = (PlanCache::new(&pool), HotColumns::new(&pool));
        let searcher = LocalSearcher::new(threads, &pool);
        // What is cheapest to have again goes first.
        memory.add_cache(searcher.reclaimable());
        memory.add_cache(columns.reclaimable());
        memory.add_cache(plans.reclaimable());
        Self { plans, columns, searcher }
    }
}

impl EngineReport for Caches {
    fn plans(&self) -> Vec<CachedPlan> {
        self.plans.report()
    }

    fn caches(&self) -> Vec<KeptStatistics> {
        vec![self.columns.statistics(), self.searcher.statistics(), self.plans.statistics()]
    }
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

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        let mut env = match &config.data {
            DataLocation::Local(path) => local_env(path)?,
            DataLocation::Memory => memory_env(),
        };
        env.store = Arc::new(IoStore::new(env.store, runtimes.io()));
        let memory = Arc::new(MemoryLedger::new(config.memory_limit));
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&memory) as Arc<dyn MemoryPool>).build_arc()?;
        segment_source::register(&runtime, &env)?;
        // Opening reads logs: that is work of the engine's own threads, whichever runtime the caller has.
        let opening = Database::open(env);
        let database = runtimes
            .cpu()
            .spawn(opening)
            .await
            .map_err(|fault| Error::Internal { detail: format!("opening the data directory failed: {fault}") })??;
        let store: Arc<dyn TableStore> = Arc::new(database.clone());
        let caches = Arc::new(Caches::new(&memory, runtimes.cpu_threads()));
        let plans = caches.plans.clone();
        let report: Weak<dyn EngineReport> = Arc::downgrade(&caches) as _;
        let base = session_config(Arc::clone(&store), runtimes.cpu_threads())
            .with_extension(Arc::new(Searcher(Arc::new(caches.searcher.clone()))))
            .with_extension(Arc::new(caches.columns.clone()))
            .with_extension(Arc::new(EngineReportHandle(report)));
        let template = session_state(base.clone(), runtime, true)?;
        let indexer = Indexer::new(database.clone(), Arc::clone(&memory), runtimes.cpu(), runtimes.cpu_threads());
        let shared =
            Arc::new(Shared { database, store, memory, data: config.data, indexer, plans, _caches: caches, runtimes });
        let fingerprint = session::fingerprint(&base, &Settings::default());
        Ok(Arc::new(Engine { shared, base, template, fingerprint }))
    }

    /// A new session with default settings.
    pub fn session(self: &Arc<Self>) -> Arc<Session> {
        Arc::new(Session::new(self.base.clone(), self.template.clone(), self.fingerprint))
    }

    /// Executes one statement.
    ///
    /// Changes are committed when the call returns; rows stream. Fails with [`Error::StatementCount`] when the text
    /// holds more than one statement.
    pub fn execute(&self, request: QueryRequest) -> BoxFuture<'_, Result<QueryResult>> {
        Box::pin(async move {
            let current = request.session.current();
            let deadline = earliest(request.deadline, current.settings.statement_timeout());
            let limits = Limits::new(request.cancel.clone(), deadline);
            let mut running = Running::new(Arc::clone(&self.shared), limits.clone(), request, current);
            let cpu = self.shared.runtimes.cpu();
            let mut cached = running.look_up();
            if let Some(short) = cached.take_if(|cached| cached.is_short()) {
                let by_template = async move {
                    let result = running.by_template("SELECT", &short).await?;
                    Ok((running, result))
                };
                let (left, result) = limits.run_here(&cpu, by_template).await?;
                match result {
                    Some(result) => return Ok(result),
                    None => running = left,
                }
            }
            limits.run(&cpu, running.execute(cached)).await
        })
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

fn earliest(deadline: Option<Instant>, timeout: Option<Duration>) -> Option<Instant> {
    let by_timeout = timeout.map(|timeout| Instant::now() + timeout);
    match (deadline, by_timeout) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
