//! Queries that are kept planned: see [`crate::plan_cache`].

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, execute_stream};
use datafusion::sql::sqlparser::ast;
use volley_executor::vector_topk::unusable_indexes;
use volley_planner::catalog::QueryCatalog;
use volley_planner::resolve::plan_statement;
use volley_planner::template::{Planned, Template, lift};
use volley_storage::snapshot::Snapshot;

use super::query::highest_placeholder;
use super::{Running, plain};
use crate::error::Result;
use crate::plan_cache::{CachedTemplate, Found, Lookup, PlanKey};
use crate::request::{Parameters, QueryResult};

/// Longer statements are not looked for: they are writes, or come once.
const TEXT_MAX: usize = 64 << 10;
/// Answers of up to so many rows are computed at once, without a task and a channel of their own.
const ROWS_AT_ONCE: usize = 1024;

impl Running {
    /// The template that is kept of the statement with this text; `None` where it has to be planned.
    pub(crate) fn look_up(&mut self) -> Option<Found> {
        if matches!(self.request.parameters, Parameters::Rows(_)) {
            return None;
        }
        let values = self.request.parameters.values();
        let key = self.key(&self.request.sql, values)?;
        let plans = &self.shared.plans;
        match plans.look_up(&key, values) {
            Lookup::Found(found) => {
                self.plan = Some(key);
                return Some(found);
            }
            Lookup::Wanted => self.plan = Some(key),
            Lookup::New => plans.saw(key),
            Lookup::Without => {}
        }
        None
    }

    /// What a statement with this text is known by; `None` if nothing is kept of it.
    fn key(&self, text: &str, values: &[ScalarValue]) -> Option<PlanKey> {
        let is_kept = text.len() <= TEXT_MAX && self.current.settings.plan_cache();
        is_kept.then(|| PlanKey::new(text, values, self.current.fingerprint))
    }

    /// The statement under which the template is kept that a query would run by, which was written like this.
    pub(super) async fn kept_as(&self, text: &str, query: &ast::Query) -> Result<Option<String>> {
        let given = self.request.parameters.values();
        // As a client sends it, as PREPARE keeps it, and with parameters for its literals.
        let mut known = vec![(text.to_owned(), given.to_vec()), (query.to_string(), given.to_vec())];
        known.extend(lift(query, given).map(|(query, values)| (query.to_string(), values)));
        for (text, values) in known {
            let Some(key) = self.key(&text, &values) else { continue };
            if let Lookup::Found(found) = self.shared.plans.look_up(&key, &values)
                && self.is_current(&found.cached).await?
                && found.cached.template.bind(&found.values(&values)).is_some()
            {
                return Ok(Some(found.cached.statement().to_owned()));
            }
        }
        Ok(None)
    }

    /// Runs the template that was kept of the statement, as it is; `None` where it is out of date or the statement has to be
    /// planned.
    pub(crate) async fn by_current_template(&mut self, tag: &str, found: &Found) -> Result<Option<QueryResult>> {
        match self.is_current(&found.cached).await? {
            true => self.by(tag, found, &found.cached).await,
            false => Ok(None),
        }
    }

    /// Runs the template that was kept of the statement, over the newest version of its table; `None` where it has to be planned.
    pub(super) async fn by_template(&mut self, tag: &str, found: &Found) -> Result<Option<QueryResult>> {
        match self.current(found).await? {
            Some(cached) => self.by(tag, found, &cached).await,
            None => {
                self.shared.plans.outdated(found);
                Ok(None)
            }
        }
    }

    async fn by(&mut self, tag: &str, found: &Found, cached: &CachedTemplate) -> Result<Option<QueryResult>> {
        // Values that do not fit are for planning to judge; another template would not take them either.
        self.plan = None;
        self.run(tag, cached, &found.values(self.request.parameters.values())).await
    }

    /// The same for a statement with literals, of which those that can be are taken for parameters.
    pub(super) async fn by_lifted(&self, tag: &str, query: &ast::Query) -> Result<Option<QueryResult>> {
        let given = self.request.parameters.values();
        if !self.current.settings.plan_cache() {
            return Ok(None);
        }
        let Some((query, values)) = lift(query, given) else { return Ok(None) };
        let mut lifted = self.clone();
        lifted.plan = None;
        lifted.request.sql = query.to_string();
        lifted.request.parameters = Parameters::Positional(values);
        let found = lifted.look_up();
        let Some(key) = lifted.plan.clone() else { return Ok(None) };
        let mut result = match &found {
            Some(found) => lifted.by_template(tag, found).await?,
            None => None,
        };
        if result.is_none() && lifted.plan.is_some() {
            result = lifted.as_new_template(tag, query).await?;
        }
        // Asked again as it was written, it need not be read again.
        if result.is_some()
            && let Some(written) = self.plan.clone()
        {
            self.shared.plans.lifted(written, key, &lifted.request.parameters.values()[given.len()..]);
        }
        Ok(result)
    }

    /// Plans a template of a statement whose literals have become parameters, and runs it; `None` where there is none.
    async fn as_new_template(&self, tag: &str, query: ast::Query) -> Result<Option<QueryResult>> {
        let catalog = self.catalog().await?;
        let statement = plain(ast::Statement::Query(Box::new(query)));
        match plan_statement(&catalog.state(), statement, &self.parameter_fields(), &[]).await {
            Ok(plan) => self.by_new_template(tag, &catalog, &plan).await,
            // Said better about the statement as it was written.
            Err(_) => {
                self.plan.clone().into_iter().for_each(|key| self.shared.plans.has_none(key));
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
                self.run(tag, &cached, values).await
            }
            Ok(Planned::NotNow) => Ok(None),
            Ok(Planned::Never) | Err(_) => {
                plans.has_none(key);
                Ok(None)
            }
        }
    }

    /// The newest version of a template's table, if the names are still those that it was planned with: one look at the head of
    /// each log, where the session wants it.
    async fn newest(&self, cached: &CachedTemplate) -> Result<Option<Arc<Snapshot>>> {
        if self.names().await?.version != cached.names {
            return Ok(None);
        }
        let (table, _) = cached.template.table();
        Ok(Some(self.shared.store.snapshot(table, self.consistency()).await?))
    }

    /// Whether a template is of the newest names and of its table's newest version.
    pub(super) async fn is_current(&self, cached: &CachedTemplate) -> Result<bool> {
        let newest = self.newest(cached).await?;
        Ok(newest.is_some_and(|newest| newest.version == cached.template.table().1))
    }

    /// The template of the table's newest version, which is kept from now on; `None` where that has to be planned.
    async fn current(&self, found: &Found) -> Result<Option<Arc<CachedTemplate>>> {
        let cached = &found.cached;
        let Some(newest) = self.newest(cached).await? else { return Ok(None) };
        if newest.version == cached.template.table().1 {
            return Ok(Some(Arc::clone(cached)));
        }
        let runtime = self.current.template.runtime_env();
        // What is wrong with a version is for planning to say.
        let template = cached.template.at(newest, runtime, cached.config.options()).await.ok().flatten();
        Ok(template.map(|template| self.shared.plans.renew(found, template)))
    }

    /// Binds the values and runs; `None` where the values do not fit, so that planning says what is wrong with them.
    async fn run(&self, tag: &str, cached: &CachedTemplate, values: &[ScalarValue]) -> Result<Option<QueryResult>> {
        let template = &cached.template;
        let Some(plan) = template.bind(values) else { return Ok(None) };
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
        let config = self.limited(cached.config.clone());
        let runtime = Arc::clone(self.current.template.runtime_env());
        let session = self.current.template.session_id().to_owned();
        let (scalar, higher, aggregate, window) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Arc::new(TaskContext::new(None, session, config, scalar, higher, aggregate, window, runtime))
    }
}
