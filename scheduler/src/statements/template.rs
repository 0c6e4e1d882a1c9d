//! Queries that are kept planned: see [`crate::plan_cache`].

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, execute_stream};
use datafusion::sql::sqlparser::ast;
use volley_executor::interrupt::Interrupt;
use volley_executor::vector_topk::unusable_indexes;
use volley_planner::catalog::QueryCatalog;
use volley_planner::resolve::plan_statement;
use volley_planner::template::{Planned, Template, lift};
use volley_storage::store::Consistency;

use super::query::highest_placeholder;
use super::{Running, plain};
use crate::error::Result;
use crate::plan_cache::{CachedTemplate, Lookup, PlanKey};
use crate::request::{Parameters, QueryResult};

/// Longer statements are not looked for: they are writes, or come once.
const TEXT_MAX: usize = 64 << 10;
/// Answers of up to so many rows are computed at once, without a task and a channel of their own.
const ROWS_AT_ONCE: usize = 1024;

impl Running {
    /// The template that is kept of the statement with this text; `None` where it has to be planned.
    pub(crate) fn look_up(&mut self) -> Option<Arc<CachedTemplate>> {
        let text = &self.request.sql;
        let is_several = matches!(self.request.parameters, Parameters::Rows(_));
        if is_several || text.len() > TEXT_MAX || !self.current.settings.plan_cache() {
            return None;
        }
        let values = self.request.parameters.values();
        let key = PlanKey::new(text, values, self.current.fingerprint);
        let plans = &self.shared.plans;
        match plans.look_up(&key, values) {
            Lookup::Found(cached) => {
                self.plan = Some(key);
                return Some(cached);
            }
            Lookup::Wanted => self.plan = Some(key),
            Lookup::New => plans.saw(key),
            Lookup::Without => {}
        }
        None
    }

    /// Runs the template that was kept of the statement; `None` where it has to be planned.
    pub(crate) async fn by_template(&mut self, tag: &str, cached: &Arc<CachedTemplate>) -> Result<Option<QueryResult>> {
        let key = self.plan.take();
        if !self.is_current(cached).await? {
            if let Some(key) = key {
                self.shared.plans.outdated(&key, cached);
                self.plan = Some(key);
            }
            return Ok(None);
        }
        // Values that do not fit are for planning to judge; another template would not take them either.
        self.run(tag, cached).await
    }

    /// The same for a statement with literals, of which those that can be are taken for parameters.
    pub(super) async fn by_lifted(&self, tag: &str, query: &ast::Query) -> Result<Option<QueryResult>> {
        if !self.request.parameters.values().is_empty() || !self.current.settings.plan_cache() {
            return Ok(None);
        }
        let Some((query, values)) = lift(query) else { return Ok(None) };
        let mut lifted = self.clone();
        lifted.request.sql = query.to_string();
        lifted.request.parameters = Parameters::Positional(values);
        if let Some(cached) = lifted.look_up()
            && let Some(result) = lifted.by_template(tag, &cached).await?
        {
            return Ok(Some(result));
        }
        let Some(key) = lifted.plan.clone() else { return Ok(None) };
        let catalog = self.catalog().await?;
        let statement = plain(ast::Statement::Query(Box::new(query)));
        match plan_statement(&catalog.state(), statement, &lifted.parameter_fields(), &[]).await {
            Ok(plan) => lifted.by_new_template(tag, &catalog, &plan).await,
            // Said better about the statement as it was written.
            Err(_) => {
                self.shared.plans.has_none(key);
                Ok(None)
            }
        }
    }

    /// Plans a template where one is worth it, keeps it and runs it; `None` where there is none.
    pub(super) async fn by_new_template(
        &self,
        tag: &str,
        catalog: &Arc<QueryCatalog>,
        plan: &LogicalPlan,
    ) -> Result<Option<QueryResult>> {
        let Some(key) = self.plan.clone() else { return Ok(None) };
        let plans = &self.shared.plans;
        let values = self.request.parameters.values();
        // What is wrong with a statement is for planning it as ever to say.
        if highest_placeholder(plan)? != values.len() {
            return Ok(None);
        }
        // Names that planning makes up are counted by the state, so that this one is not used twice.
        let state = catalog.state();
        let config = state.config().clone();
        match Template::plan(state, plan, values).await {
            Ok(Planned::Template(template)) => {
                let names = catalog.names().version;
                let cached = plans.keep(key, &self.request.sql, template, names, config);
                self.run(tag, &cached).await
            }
            Ok(Planned::NotNow) => Ok(None),
            Ok(Planned::Never) | Err(_) => {
                plans.has_none(key);
                Ok(None)
            }
        }
    }

    /// Whether names and tables are still those that a template was planned with: one look at the head of each log.
    pub(super) async fn is_current(&self, cached: &CachedTemplate) -> Result<bool> {
        if self.shared.database.catalog().snapshot().await?.version != cached.names {
            return Ok(false);
        }
        for (table, version) in cached.template.tables() {
            if self.shared.store.snapshot(*table, Consistency::Strong).await?.version != *version {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Binds the values and runs; `None` where the values do not fit, so that planning says what is wrong with them.
    async fn run(&self, tag: &str, cached: &CachedTemplate) -> Result<Option<QueryResult>> {
        let template = &cached.template;
        let Some(plan) = template.bind(self.request.parameters.values()) else { return Ok(None) };
        cached.used();
        let task = self.task(cached);
        let notices = if cached.is_sound() { Vec::new() } else { unusable_indexes(&plan, &task).await? };
        if notices.is_empty() {
            cached.found_sound();
        }
        let result = if template.rows_max() <= ROWS_AT_ONCE {
            QueryResult::batches(tag, plan.schema(), collect(plan, task).await?)
        } else {
            let stream = execute_stream(plan, task)?;
            QueryResult::rows(tag, self.limits.clone().stream(&self.shared.runtimes.cpu(), stream))
        };
        Ok(Some(QueryResult { notices, ..result }))
    }

    /// The surroundings of one execution. Functions are part of the plan, so that none has to be found by name.
    pub(super) fn task(&self, cached: &CachedTemplate) -> Arc<TaskContext> {
        let interrupt = Arc::new(Interrupt(self.limits.stopped().clone()));
        let config = cached.config.clone().with_extension(interrupt);
        let runtime = Arc::clone(self.current.template.runtime_env());
        let session = self.current.template.session_id().to_owned();
        let (scalar, higher, aggregate, window) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Arc::new(TaskContext::new(None, session, config, scalar, higher, aggregate, window, runtime))
    }
}
