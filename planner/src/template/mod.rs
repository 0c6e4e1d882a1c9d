//! Templates: physical plans of statements that are asked again and again, with slots where their parameters stand.
//!
//! ```text
//! SELECT id FROM t WHERE tenant = $2 ORDER BY embedding <=> $1 LIMIT 10
//!   planned once, with `$1` and `$2` as they are           Template::plan
//!   per execution: slots become the values                 Template::bind
//! ```
//!
//! Statements that differ in nothing but literals share one ([`lift`]).
//!
//! DataFusion optimizes plans with placeholders but refuses them in physical plans, so behind the optimizer they become
//! calls of functions that nobody can evaluate ([`slot`]). Only a plan whose every node is known to be rebuilt cheaply
//! becomes a template: a vector search with what stands above it. Whatever would make a bound template mean something else
//! than the statement (a function of the time, a subquery, a bound that is a parameter) makes it none.

mod lift;
mod scan;
mod slot;
#[cfg(test)]
mod tests;

pub use lift::lift;

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Volatility};
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use volley_executor::fetch_rows::FetchRowsExec;
use volley_executor::functions::metric_of;
use volley_executor::vector_topk::{Bind, Query, VectorTopKExec};
use volley_storage::ids::{TableId, Version};
use volley_storage::snapshot::Snapshot;

use self::scan::{Scan, without_open_filters};
use self::slot::{has_slot, value_of, with_slots, with_values};
use crate::table::VolleyTable;
use crate::vector_topk::VectorTopK;

/// Tables of fewer segments are not worth pruning for each execution.
const PRUNED_MIN: usize = 4;
/// Searches of more segments are not [short](Template::is_short).
const SHORT_SEGMENTS_MAX: usize = 64;
/// The same for searches of more rows.
const SHORT_ROWS_MAX: usize = 1024;
/// The same for expressions that are nested deeper.
const SHORT_DEPTH_MAX: usize = 8;

/// What came of planning a template.
#[derive(Debug)]
pub enum Planned {
    /// The template.
    Template(Box<Template>),
    /// There is none with these values; with others there may be one.
    NotNow,
    /// There is none.
    Never,
}

/// A physical plan with slots; see the [module](self).
#[derive(Debug)]
pub struct Template {
    plan: Arc<dyn ExecutionPlan>,
    rows_max: usize,
    segments: usize,
    is_short: bool,
    /// Whether its values may leave some of the segments out.
    is_pruned: bool,
    scan: Scan,
    fixed: Vec<(usize, ScalarValue)>,
    parameters: usize,
}

impl Template {
    /// The template of a query.
    ///
    /// `plan` is not optimized and has placeholders, whose values now are `values`: limits are part of the plan, so they
    /// are [fixed](Self::fits).
    pub async fn plan(mut state: SessionState, plan: &LogicalPlan, values: &[ScalarValue]) -> Result<Planned> {
        // A search works on many threads by itself; what stands above it has few rows, which are not worth dealing out.
        state.config_mut().options_mut().execution.target_partitions = 1;
        let state = &state;
        if !is_of_one_table(plan)? {
            return Ok(Planned::Never);
        }
        let (plan, fixed) = with_fixed_limits(plan.clone(), values)?;
        if !orders_by_distance(&plan)? {
            return Ok(Planned::Never);
        }
        let optimized = state.optimize(&plan)?;
        if has_open_bound(&optimized)? {
            return Ok(Planned::Never);
        }
        let (optimized, scan) = without_open_filters(optimized)?;
        let Some(scan) = scan else { return Ok(Planned::Never) };
        let Some(slotted) = with_slots(optimized)? else { return Ok(Planned::Never) };
        let plan = state.query_planner().create_physical_plan(&slotted, state).await?;
        let none = if fixed.is_empty() { Planned::Never } else { Planned::NotNow };
        let template = Self::over(scan, plan, fixed, values.len());
        Ok(template.map_or(none, |template| Planned::Template(Box::new(template))))
    }

    /// The template whose plan stands over this scan; `None` where that is no search.
    fn over(
        scan: Scan,
        plan: Arc<dyn ExecutionPlan>,
        fixed: Vec<(usize, ScalarValue)>,
        parameters: usize,
    ) -> Option<Self> {
        let search = search_of(&plan)?;
        let (rows_max, segments) = (search.topk().k, search.segments().len());
        // A filter may have to look at every row first.
        let is_plain = search.topk().filter.is_none() && is_shallow(&plan, search);
        let is_short = is_plain && segments <= SHORT_SEGMENTS_MAX && rows_max <= SHORT_ROWS_MAX;
        let is_pruned = segments >= PRUNED_MIN && scan.is_open();
        Some(Self { plan, rows_max, segments, is_short, is_pruned, scan, fixed, parameters })
    }

    /// The same template over another version of its table; `None` where more has changed than planning looks away from, so
    /// that it has to plan anew. Names and settings have to be those that there were; `options` are the session's.
    ///
    /// # Errors
    /// What planning would fail with: deletion vectors that cannot be read.
    pub async fn at(
        &self,
        snapshot: Arc<Snapshot>,
        runtime: &RuntimeEnv,
        options: &ConfigOptions,
    ) -> Result<Option<Self>> {
        if !search_of(&self.plan).is_some_and(|search| self.scan.has_one_way(search.topk())) {
            return Ok(None);
        }
        let Some(scan) = self.scan.at(snapshot, runtime).await? else { return Ok(None) };
        let plan = scan.below(&self.plan, options)?;
        Ok(Self::over(scan, plan, self.fixed.clone(), self.parameters))
    }

    /// No answer has more rows.
    pub fn rows_max(&self) -> usize {
        self.rows_max
    }

    /// How many segments its table has.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Whether an execution takes no more than about a millisecond of its thread and little of its stack, once what it reads
    /// is in memory: searches that take longer move to other threads by themselves.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The table that it reads, and the version.
    pub fn table(&self) -> (TableId, Version) {
        self.scan.table()
    }

    /// Whether the values are those that the plan depends on.
    pub fn fits(&self, values: &[ScalarValue]) -> bool {
        self.fixed.iter().all(|(index, value)| values.get(*index) == Some(value))
    }

    /// The plan with its slots filled, to be executed once. `None` where planning has to have the word: with a query vector
    /// that is NULL, of another dimension or not finite, and with values that cannot be converted.
    pub fn bind(&self, values: &[ScalarValue]) -> Option<Arc<dyn ExecutionPlan>> {
        let segments = self.left(values).ok()?;
        rebuilt(&self.plan, values, segments.as_deref()).ok()?
    }

    /// One plan that executes the template for each of several rows of values, and puts out a batch for each. `None` where
    /// they differ in more than the query vector, or one of them cannot be [bound](Self::bind).
    pub fn bind_all(&self, rows: &[&[ScalarValue]]) -> Option<Arc<dyn ExecutionPlan>> {
        let first = rows.first()?;
        let segments = self.left(first).ok()?;
        if !rows.iter().all(|values| self.fits(values)) {
            return None;
        }
        rebuilt_for_all(&self.plan, rows, segments.as_deref()).ok()?
    }

    /// The segments that the values leave, where some may be left out.
    fn left(&self, values: &[ScalarValue]) -> Result<Option<Arc<[u32]>>> {
        self.is_pruned.then(|| self.scan.segments(values)).transpose()
    }
}

/// Whether a query may become a template: over one of Volley's tables, by expressions that mean the same at any time.
fn is_of_one_table(plan: &LogicalPlan) -> Result<bool> {
    let mut may = true;
    plan.apply(|node| {
        may &= match node {
            LogicalPlan::TableScan(scan) => {
                source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<VolleyTable>())
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_) => true,
            _ => false,
        };
        for expr in node.expressions() {
            expr.apply(|expr| {
                may &= is_timeless(expr);
                Ok(if may { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })?;
        }
        Ok(if may { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(may)
}

/// Whether the outermost node of an expression means the same at any time, and stands for no other plan.
fn is_timeless(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
        // A parameter whose type is not known gets one from its value.
        Expr::Placeholder(placeholder) => placeholder.field.is_some(),
        Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::ScalarSubquery(_)
        | Expr::SetComparison(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::ScalarVariable(..) => false,
        _ => true,
    }
}

/// The plan with the values of those parameters that limit rows, and which those are.
fn with_fixed_limits(plan: LogicalPlan, values: &[ScalarValue]) -> Result<(LogicalPlan, Vec<(usize, ScalarValue)>)> {
    let mut fixed = Vec::new();
    let mut fix = |expr: Box<Expr>| -> Result<Box<Expr>> {
        let transformed = expr.transform_up(|expr| {
            let Some((index, value)) = value_of(&expr, values) else { return Ok(Transformed::no(expr)) };
            fixed.push((index, value.clone()));
            Ok(Transformed::yes(Expr::Literal(value.clone(), None)))
        });
        Ok(Box::new(transformed.data()?))
    };
    let plan = plan.transform_up(|node| {
        let LogicalPlan::Limit(Limit { skip, fetch, input }) = node else { return Ok(Transformed::no(node)) };
        let (skip, fetch) = (skip.map(&mut fix).transpose()?, fetch.map(&mut fix).transpose()?);
        Ok(Transformed::yes(LogicalPlan::Limit(Limit { skip, fetch, input })))
    });
    Ok((plan.data()?, fixed))
}

/// Whether a query sorts by a distance: others have no search.
fn orders_by_distance(plan: &LogicalPlan) -> Result<bool> {
    // The distance may be a column of what is sorted.
    let mentions = plan.exists(|node| {
        let mut found = false;
        for expr in node.expressions() {
            found |= expr.exists(is_distance)?;
        }
        Ok(found)
    })?;
    Ok(mentions && plan.exists(|node| Ok(matches!(node, LogicalPlan::Sort(_))))?)
}

fn is_distance(expr: &Expr) -> Result<bool> {
    Ok(matches!(expr, Expr::ScalarFunction(call) if metric_of(call.func.name()).is_some()))
}

/// Whether a distance is compared with a parameter: with its value that is the search's own bound, and without it a filter
/// that reads every vector.
fn has_open_bound(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let LogicalPlan::Extension(extension) = node else { return Ok(false) };
        let Some(search) = extension.node.as_any().downcast_ref::<VectorTopK>() else { return Ok(false) };
        search.search.filter.as_ref().map_or(Ok(false), |filter| filter.exists(is_distance))
    })
}

/// The search of a plan, if that and what is known to stand above one is all there is.
fn search_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&VectorTopKExec> {
    if let Some(search) = plan.downcast_ref::<VectorTopKExec>() {
        return Some(search);
    }
    let is_known = plan.is::<FetchRowsExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<ProjectionExec>();
    match plan.children().as_slice() {
        [child] if is_known => search_of(child),
        _ => None,
    }
}

/// Whether all that a plan computes, the query vector included, is nested so little that any stack is large enough.
fn is_shallow(plan: &Arc<dyn ExecutionPlan>, search: &VectorTopKExec) -> bool {
    fn is_within(expr: &Arc<dyn PhysicalExpr>, depth: usize) -> bool {
        depth > 0 && expr.children().into_iter().all(|child| is_within(child, depth - 1))
    }
    fn projects(plan: &Arc<dyn ExecutionPlan>) -> bool {
        let is_within_here = plan.downcast_ref::<ProjectionExec>().is_none_or(|projection| {
            projection.expr().iter().all(|projected| is_within(&projected.expr, SHORT_DEPTH_MAX))
        });
        is_within_here && plan.children().into_iter().all(projects)
    }
    let is_query_within = match &search.topk().query {
        Query::Expression(expr) => is_within(expr, SHORT_DEPTH_MAX),
        Query::Constant(_) | Query::Several(_) => true,
    };
    is_query_within && projects(plan)
}

/// The nodes anew, with values in their slots and no memory of earlier executions.
fn rebuilt(
    plan: &Arc<dyn ExecutionPlan>,
    values: &[ScalarValue],
    segments: Option<&[u32]>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let bind = |expr: &Arc<dyn PhysicalExpr>| with_values(Arc::clone(expr), values);
    if let Some(search) = plan.downcast_ref::<VectorTopKExec>() {
        return Ok(search.bound(&bind, segments)?.map(|search| Arc::new(search) as _));
    }
    let mut children = Vec::with_capacity(1);
    for child in plan.children() {
        match rebuilt(child, values, segments)? {
            Some(child) => children.push(child),
            None => return Ok(None),
        }
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>()
        && projection.expr().iter().any(|projected| has_slot(&projected.expr))
        && let Some(input) = children.pop()
    {
        let exprs = projection
            .expr()
            .iter()
            .map(|projected| Ok(ProjectionExpr { expr: bind(&projected.expr)?, alias: projected.alias.clone() }));
        return Ok(Some(Arc::new(ProjectionExec::try_new(exprs.collect::<Result<Vec<_>>>()?, input)?)));
    }
    let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(plan).replace_children(children, keep).map(Some)
}

/// The same for several rows of values. Nodes that take the first rows of an answer are left out: there are several answers,
/// and the search gives no more of each than are wanted.
fn rebuilt_for_all(
    plan: &Arc<dyn ExecutionPlan>,
    rows: &[&[ScalarValue]],
    segments: Option<&[u32]>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(search) = plan.downcast_ref::<VectorTopKExec>() {
        let binds: Vec<_> = rows
            .iter()
            .map(|values| move |expr: &Arc<dyn PhysicalExpr>| with_values(Arc::clone(expr), values))
            .collect();
        let binds: Vec<&Bind<'_>> = binds.iter().map(|bind| bind as _).collect();
        return Ok(search.bound_to_all(&binds, segments)?.map(|search| Arc::new(search) as _));
    }
    let children = plan.children();
    let &[child] = children.as_slice() else { return Ok(None) };
    let Some(input) = rebuilt_for_all(child, rows, segments)? else { return Ok(None) };
    let wanted = search_of(plan).map_or(0, |search| search.topk().k);
    if let Some(fetch) = plan.downcast_ref::<FetchRowsExec>() {
        return Ok(Some(Arc::new(fetch.of_each_batch(input))));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let is_all = limit.skip() == 0 && limit.fetch().is_none_or(|fetch| fetch >= wanted);
        return Ok(is_all.then_some(input));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Ok((limit.fetch() >= wanted).then_some(input));
    }
    if plan.is::<SortPreservingMergeExec>() {
        let is_one = input.properties().partitioning.partition_count() == 1;
        return Ok((is_one && plan.fetch().is_none_or(|fetch| fetch >= wanted)).then_some(input));
    }
    let depends = |projection: &ProjectionExec| projection.expr().iter().any(|projected| has_slot(&projected.expr));
    if plan.downcast_ref::<ProjectionExec>().is_some_and(depends) {
        return Ok(None);
    }
    let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(plan).replace_children(vec![input], keep).map(Some)
}
