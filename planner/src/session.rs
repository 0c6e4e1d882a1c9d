//! The one function that builds a session state: functions, operators, rules in their order, query planner.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::prelude::SessionConfig;
use volley_executor::functions;
use volley_executor::segment_set::StorageHandle;
use volley_storage::store::TableStore;

use crate::catalog::{CATALOG, DEFAULT_SCHEMA};
use crate::decimal_literals::DecimalLiterals;
use crate::vector_topk::{VectorTopKRule, VolleyQueryPlanner};

/// What `current_user` says in sessions of the process itself, which belong to no user.
pub const EMBEDDED_USER: &str = functions::EMBEDDED_USER;

/// Whose session it is, as a session extension. Sessions without it are the process's own and may do everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUser(pub Arc<str>);

/// A rule behind all other rules for physical plans, as a session extension.
#[derive(Debug, Clone)]
pub struct LastRule(pub Arc<dyn PhysicalOptimizerRule + Send + Sync>);

/// Gives a session to a user: what is planned in it knows whose it is.
pub fn set_user(state: &mut SessionState, user: SessionUser) -> Result<()> {
    for function in functions::of_user(&user.0) {
        state.register_udf(Arc::new(function))?;
    }
    state.config_mut().set_extension(Arc::new(user));
    Ok(())
}

/// The configuration every session starts from.
pub fn session_config(store: Arc<dyn TableStore>, target_partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(target_partitions)
        .with_extension(Arc::new(StorageHandle(store)));
    let options = config.options_mut();
    // Row filters inside the Parquet reader pay off for selective predicates and lose for others; the FilterExec above
    // is needed either way, because a scan's rows may come from a commit instead of a file.
    options.execution.parquet.pushdown_filters = false;
    // What the setting `timezone` is without SET: a timestamptz always has a zone.
    options.execution.time_zone = Some("UTC".to_owned());
    config
}

/// A session state without a catalog, from which every query's own state is cloned.
///
/// `runtime` brings memory, spill directories and object stores; `config` comes from [`session_config`], with the
/// session's settings applied. Without `vector_topk` every top-k is a scan and a sort: the oracle of the rule's tests.
pub fn session_state(config: SessionConfig, runtime: Arc<RuntimeEnv>, vector_topk: bool) -> Result<SessionState> {
    let user = config.get_extension::<SessionUser>();
    let last = config.get_extension::<LastRule>();
    let mut rules = Optimizer::new().rules;
    if vector_topk {
        // Last: it wants constants folded, filters pushed to the scan and LIMIT merged into the Sort.
        rules.push(Arc::new(VectorTopKRule::new()));
    }
    let mut planners = functions::expr_planners();
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_query_planner(Arc::new(VolleyQueryPlanner::new()));
    if let Some(last) = last {
        builder = builder.with_physical_optimizer_rule(Arc::clone(&last.0));
    }
    // Ours come first: the first planner that knows an operator wins.
    planners.extend(builder.expr_planners().take().unwrap_or_default());
    let mut state = builder.with_expr_planners(planners).build();
    functions::register(&mut state)?;
    if let Some(user) = user {
        set_user(&mut state, user.as_ref().clone())?;
    }
    state.register_function_rewrite(Arc::new(DecimalLiterals))?;
    // Segment scans use it inside; rows that came with a commit have no file to count in.
    state.deregister_udf("file_row_index")?;
    Ok(state)
}
