//! What makes the sessions of a coordinator read by way of its executors.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use volley_executor::search::{LocalSearcher, Searcher};
use volley_planner::session::{LastRule, session_state};

use super::Members;
use super::asking::Asker;
use super::remote_search::RemoteSearcher;
use super::small_scans::SmallScans;
use crate::error::Result;

/// The configuration for sessions whose searches and small scans go to these executors. What none of them does, this process
/// does, by `local`.
pub(crate) fn by_executors(
    base: SessionConfig,
    runtime: &Arc<RuntimeEnv>,
    members: &Arc<Members>,
    local: LocalSearcher,
) -> Result<SessionConfig> {
    let functions = TaskContext::from(&session_state(base.clone(), Arc::clone(runtime), true)?);
    let asker = Arc::new(Asker::new(Arc::clone(members)));
    let small_scans = SmallScans::new(Arc::clone(&asker), Arc::new(functions));
    Ok(base
        .with_extension(Arc::new(Searcher(Arc::new(RemoteSearcher::new(asker, local)))))
        .with_extension(Arc::new(LastRule(Arc::new(small_scans)))))
}
