//! Why an ORDER BY distance is not a search: one line each, for EXPLAIN.

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Sort};
use volley_executor::functions::metric_of;

use super::distance::distance_of;
use super::node::VectorTopK;
use super::rule::K_MAX;
use super::trace::{Trace, needs_context};
use crate::table::VolleyTable;

/// The reasons, of an optimized plan: one for each sort by a distance that looks at every row.
pub fn why_exact(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Sort(sort) = node
            && let Some(reason) = reason(sort)?
        {
            reasons.push(format!("the vector search is exact: {reason}"));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reasons)
}

fn reason(sort: &Sort) -> Result<Option<String>> {
    let Some(first) = sort.expr.first() else { return Ok(None) };
    let Some(trace) = Trace::of(&sort.input)? else {
        // The rule's own work looks like this as well: a Sort over the node.
        let is_search = has_distance(&first.expr)? && !has_search(&sort.input)?;
        return Ok(
            is_search.then(|| "below its ORDER BY is more than one table, its filters and its columns".to_owned())
        );
    };
    let Ok(provider) = source_as_provider(&trace.scan.source) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<VolleyTable>() else { return Ok(None) };
    let Some(key) = trace.resolve(&first.expr, sort.input.schema())? else { return Ok(None) };
    if distance_of(&key, &table.snapshot().schema).is_none() {
        let is_near = has_distance(&key)?;
        return Ok(
            is_near.then(|| "its ORDER BY is not just the distance between a vector column and one vector".to_owned())
        );
    }
    Ok(Some(match sort.fetch {
        _ if !first.asc => "ORDER BY … DESC wants the farthest rows".to_owned(),
        _ if first.nulls_first => "NULLS FIRST wants the rows without a distance".to_owned(),
        None => "there is no LIMIT".to_owned(),
        Some(k) if k > K_MAX => format!("LIMIT and OFFSET are {k} rows, more than {K_MAX}"),
        Some(_) if trace.filters.iter().any(needs_context) => "a subquery decides which rows count".to_owned(),
        Some(_) => "what follows the distance in its ORDER BY is no plain column".to_owned(),
    }))
}

fn has_distance(expr: &Expr) -> Result<bool> {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarFunction(call) if metric_of(call.func.name()).is_some())))
}

fn has_search(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| match node {
        LogicalPlan::Extension(extension) => Ok(extension.node.as_any().is::<VectorTopK>()),
        _ => Ok(false),
    })
}
