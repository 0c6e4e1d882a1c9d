//! What an engine keeps, and what it tells of itself in the schema `volley`.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryPool;
use volley_executor::hot_columns::HotColumns;
use volley_executor::kept::KeptStatistics;
use volley_executor::search::LocalSearcher;
use volley_planner::system_tables::{CachedPlan, EngineReport, ExecutorCalls, ExecutorReport, Placement, RunningQuery};
use volley_storage::cache::{CachedFile, DiskCache};

use crate::cluster::Members;
use crate::memory::MemoryLedger;
use crate::plan_cache::PlanCache;
use crate::queries::Queries;

/// What an engine keeps in memory for later queries, and what it reports of itself.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) plans: PlanCache,
    pub(super) columns: HotColumns,
    pub(super) searcher: LocalSearcher,
    queries: Arc<Queries>,
    copies: Option<Arc<DiskCache>>,
    members: Option<Arc<Members>>,
}

impl Caches {
    pub(super) fn new(
        memory: &Arc<MemoryLedger>,
        threads: usize,
        queries: Arc<Queries>,
        copies: Option<Arc<DiskCache>>,
        members: Option<Arc<Members>>,
    ) -> Self {
        let pool = Arc::clone(memory) as Arc<dyn MemoryPool>;
        let (plans, columns) = (PlanCache::new(&pool), HotColumns::new(&pool));
        let searcher = LocalSearcher::new(threads, &pool);
        // What is cheapest to have again goes first.
        memory.add_cache(searcher.reclaimable());
        memory.add_cache(columns.reclaimable());
        memory.add_cache(plans.reclaimable());
        Self { plans, columns, searcher, queries, copies, members }
    }
}

impl EngineReport for Caches {
    fn plans(&self) -> Vec<CachedPlan> {
        self.plans.report()
    }

    fn caches(&self) -> Vec<KeptStatistics> {
        vec![self.columns.statistics(), self.searcher.statistics(), self.plans.statistics()]
    }

    fn queries(&self) -> Vec<RunningQuery> {
        self.queries.report()
    }

    fn cached_files(&self) -> Vec<CachedFile> {
        self.copies.as_ref().map(|copies| copies.files()).unwrap_or_default()
    }

    fn executors(&self) -> Vec<ExecutorReport> {
        self.members.as_ref().map(|members| members.executors()).unwrap_or_default()
    }

    fn executor_calls(&self) -> Vec<ExecutorCalls> {
        self.members.as_ref().map(|members| members.executor_calls()).unwrap_or_default()
    }

    fn placements(&self) -> Vec<Placement> {
        self.members.as_ref().map(|members| members.placements()).unwrap_or_default()
    }
}
