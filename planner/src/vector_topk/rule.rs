//! The optimizer rule that turns `ORDER BY distance LIMIT k` over a Volley table into a [`VectorTopK`].
//!
//! It fires only on a proven shape, and every other plan keeps its exact scan and sort:
//!
//! - a Sort with a row limit of 1 to [`K_MAX`];
//! - whose first key is, ascending with NULL last, the distance between a vector column and one vector for
//!   all rows: a constant, or a subquery that depends on no row;
//! - whose further keys are plain columns of the table;
//! - over Projections, SubqueryAliases and deterministic Filters down to one scan of a Volley table.
//!
//! It runs last of the logical rules: limits have been merged into sorts, filters have reached the scan and constants
//! are folded. A later pass of the optimizer narrows the scan below the node to the columns that are still wanted.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, TableReference};
use datafusion::logical_expr::logical_plan::{Limit, TableScanBuilder};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, FetchType, LogicalPlan, Operator, Projection, SkipType, Sort, SortExpr, TableScan,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use volley_executor::functions::{Contract, contract};
use volley_executor::vector_topk::{DISTANCE_COLUMN, ExactReason};
use volley_storage::schema::{TableSchema, field_id};

use super::distance::{Distance, distance_of};
use super::node::{Bits, Bound, Demanded, TableColumn, TieBreak, TopKSearch, VectorTopK};
use super::trace::{Trace, needs_context};
use crate::table::{TableIndex, VolleyTable};

/// The largest LIMIT (with OFFSET) that becomes a search. Above it, a scan and a sort are the better plan.
pub const K_MAX: usize = 16_384;

/// Rewrites `ORDER BY distance LIMIT k`; see the [module](self).
#[derive(Debug, Default)]
pub struct VectorTopKRule {}

impl VectorTopKRule {
    /// The rule. It belongs behind all of DataFusion's own.
    pub fn new() -> Self {
        Self {}
    }
}

impl OptimizerRule for VectorTopKRule {
    fn name(&self) -> &str {
        "vector_topk"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let rewritten = match &plan {
            LogicalPlan::Sort(sort) => rewrite_sort(sort, sort.fetch)?,
            LogicalPlan::Limit(limit) => rewrite_limit(limit)?,
            _ => None,
        };
        Ok(rewritten.map_or_else(|| Transformed::no(plan), Transformed::yes))
    }
}

/// A Limit directly over a Sort that does not know of it.
fn rewrite_limit(limit: &Limit) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Sort(sort) = limit.input.as_ref() else { return Ok(None) };
    let (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) = (limit.get_skip_type()?, limit.get_fetch_type()?)
    else {
        return Ok(None);
    };
    if sort.fetch.is_some() {
        return Ok(None);
    }
    let input = rewrite_sort(sort, skip.checked_add(fetch))?;
    Ok(input.map(|input| LogicalPlan::Limit(Limit { input: Arc::new(input), ..limit.clone() })))
}

/// The Sort over a [`VectorTopK`], with the schema it had; `None` if the shape is not proven.
fn rewrite_sort(sort: &Sort, fetch: Option<usize>) -> Result<Option<LogicalPlan>> {
    let Some(k) = fetch.filter(|k| (1..=K_MAX).contains(k)) else { return Ok(None) };
    let Some((first, rest)) = sort.expr.split_first() else { return Ok(None) };
    if !first.asc || first.nulls_first || sort.input.schema().has_column_with_unqualified_name(DISTANCE_COLUMN) {
        return Ok(None);
    }
    let Some(trace) = Trace::of(&sort.input)? else { return Ok(None) };
    let Ok(provider) = source_as_provider(&trace.scan.source) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<VolleyTable>() else { return Ok(None) };
    let schema = &table.snapshot().schema;
    // A table may have a column of this name; its queries are scanned.
    if schema.arrow.field_with_name(DISTANCE_COLUMN).is_ok() {
        return Ok(None);
    }

    let Some(key) = trace.resolve(&first.expr, sort.input.schema())? else { return Ok(None) };
    let Some(distance) = distance_of(&key, schema) else { return Ok(None) };
    let Some(ties) = tie_breaks(rest, sort, &trace, schema)? else { return Ok(None) };
    if !trace.filters.iter().all(|filter| filter.column_refs().into_iter().all(|c| table_column(c, schema).is_some())) {
        return Ok(None);
    }
    // A bound may hold the very subquery that gives the vector. What else a subquery says about rows is not the search's.
    let (bound, filters) = split_bound(&trace.filters, &distance);
    if filters.iter().any(needs_context) {
        return Ok(None);
    }
    let search = TopKSearch {
        column: distance.column.clone(),
        metric: distance.metric,
        query: distance.query.clone(),
        dimension: distance.dimension,
        k,
        ties,
        filter: conjunction(filters),
        bound,
        precision: precision(&distance, table),
    };
    build(sort, k, &trace, &key, &distance, search).map(Some)
}

/// The filters that bound the distance itself, as the largest distance they leave, and the other ones.
fn split_bound(filters: &[Expr], distance: &Distance) -> (Option<Bound>, Vec<Expr>) {
    // A volatile subquery gives another vector each time that the query mentions it.
    if distance.query.is_volatile() {
        return (None, filters.to_vec());
    }
    let mut least: Option<f32> = None;
    let mut others = Vec::with_capacity(filters.len());
    for filter in filters {
        match bound_of(filter, &distance.call) {
            Some(bound) => least = Some(least.map_or(bound, |least| least.min(bound))),
            None => others.push(filter.clone()),
        }
    }
    (least.map(Bits), others)
}

/// The largest distance for which a filter is true, if it says no more than that a distance is below some number.
fn bound_of(filter: &Expr, call: &Expr) -> Option<f32> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let (op, number) = match (left.as_ref(), right.as_ref()) {
        (distance, Expr::Literal(number, _)) if is_distance(distance, call) => (*op, number),
        (Expr::Literal(number, _), distance) if is_distance(distance, call) => (op.swap()?, number),
        _ => return None,
    };
    let ScalarValue::Float64(Some(number)) = number else { return None };
    // Distances are f32 inside: the largest one whose value is still (at most, or below) the number.
    let nearest = *number as f32;
    let is_within = |distance: f32| match op {
        Operator::Lt => f64::from(distance) < *number,
        _ => f64::from(distance) <= *number,
    };
    match op {
        // Infinity leaves every row that has a distance; a bound like that could not be told from none.
        Operator::Lt | Operator::LtEq if !nearest.is_finite() => None,
        Operator::Lt | Operator::LtEq if is_within(nearest) => Some(nearest),
        Operator::Lt | Operator::LtEq => Some(nearest.next_down()),
        _ => None,
    }
}

/// Whether an expression is the distance, whatever contract is stated around it.
fn is_distance(expr: &Expr, call: &Expr) -> bool {
    expr == call || contract(expr).is_some_and(|(_, inner)| is_distance(inner, call))
}

/// Whether an index may answer, and if not, why.
fn precision(distance: &Distance, table: &VolleyTable) -> Demanded {
    let recall = match distance.contract {
        // There is no recall above 1 to be had: it means all.
        Some(Contract::Exact) => return Demanded::Exact(ExactReason::Asked),
        Some(Contract::Approximate(recall)) => recall.map(|recall| Bits((recall as f32).max(f32::MIN_POSITIVE))),
        None => None,
    };
    let on_column = |index: &&TableIndex| index.definition.columns == [distance.column.field];
    let mut indexes = table.indexes().iter().filter(on_column).peekable();
    if indexes.peek().is_none() {
        return Demanded::Exact(ExactReason::NoIndex);
    }
    let metric = distance.metric.name();
    // Of several the one that covers most rows: another may still be building. The first by name of those that cover as many.
    let covered = |index: &&TableIndex| {
        let segments = table.snapshot().segments.iter();
        let rows = segments.filter(|segment| index.definition.index_of(segment).is_some()).map(|segment| segment.rows);
        Reverse(rows.sum::<u64>())
    };
    match indexes.filter(|index| index.definition.parameter("metric") == Some(metric)).min_by_key(covered) {
        Some(index) => Demanded::Approximate { index: index.clone(), recall },
        None => Demanded::Exact(ExactReason::OtherMetric),
    }
}

/// The further sort keys as columns of the table; `None` if one is anything else.
fn tie_breaks(
    keys: &[SortExpr],
    sort: &Sort,
    trace: &Trace<'_>,
    schema: &TableSchema,
) -> Result<Option<Vec<TieBreak>>> {
    let mut ties: Vec<TieBreak> = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(Expr::Column(name)) = trace.resolve(&key.expr, sort.input.schema())? else { return Ok(None) };
        let Some(column) = table_column(&name, schema) else { return Ok(None) };
        let sortable = schema.index_of(column.field).map(|i| !schema.arrow.field(i).data_type().is_nested());
        if sortable != Some(true) {
            return Ok(None);
        }
        // The second mention of a column decides nothing.
        if ties.iter().all(|tie| tie.column.field != column.field) {
            ties.push(TieBreak { column, asc: key.asc, nulls_first: key.nulls_first });
        }
    }
    Ok(Some(ties))
}

/// A column of the scan as a column of the table; `None` for hidden columns.
pub(super) fn table_column(name: &Column, schema: &TableSchema) -> Option<TableColumn> {
    let field = schema.arrow.field_with_name(&name.name).ok()?;
    Some(TableColumn { field: field_id(field)?, name: name.clone() })
}

/// Puts the new plan together.
///
/// The Projection computes the Sort's input columns from the winners, taking the distance from the node wherever the
/// query asks for it. If no column of the Sort's input is the distance, it is carried beside them and cut off above.
fn build(
    sort: &Sort,
    k: usize,
    trace: &Trace<'_>,
    key: &Expr,
    distance: &Distance,
    search: TopKSearch,
) -> Result<LogicalPlan> {
    let schema = sort.input.schema();
    let found = Expr::Column(Column::new_unqualified(DISTANCE_COLUMN));
    let mut columns = Vec::with_capacity(trace.columns.len() + 1);
    for ((qualifier, field), expr) in schema.iter().zip(&trace.columns) {
        let expr = replace(expr.clone(), key, &distance.call, &found)?;
        columns.push(named(expr, qualifier, field.name()));
    }
    let position = trace.columns.iter().position(|expr| expr == key || expr == &distance.call);
    let first = match position {
        Some(i) => Expr::Column(Column::from(schema.qualified_field(i))),
        None => found.clone(),
    };
    if position.is_none() {
        columns.push(found);
    }

    let node = VectorTopK::try_new(search, LogicalPlan::TableScan(narrow(trace.scan, &columns)?))?;
    let input = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    let input = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?);
    let mut keys = sort.expr.clone();
    keys[0].expr = first;
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input), fetch: Some(k) });
    if position.is_some() {
        return Ok(sorted);
    }
    let wanted = schema.iter().map(|field| Expr::Column(Column::from(field))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(wanted, Arc::new(sorted))?))
}

/// Every occurrence of the sort key and of the distance within it, taken from the node instead.
fn replace(expr: Expr, key: &Expr, call: &Expr, found: &Expr) -> Result<Expr> {
    let replaced = expr.transform_down(|e| match &e == key || &e == call {
        true => Ok(Transformed::new(found.clone(), true, TreeNodeRecursion::Jump)),
        false => Ok(Transformed::no(e)),
    })?;
    Ok(replaced.data)
}

/// The expression under the name it had.
fn named(expr: Expr, qualifier: Option<&TableReference>, name: &str) -> Expr {
    match &expr {
        Expr::Column(column) if column.relation.as_ref() == qualifier && column.name == name => expr,
        _ => expr.alias_qualified(qualifier.cloned(), name),
    }
}

/// The scan, naming only the columns that the expressions use.
fn narrow(scan: &TableScan, exprs: &[Expr]) -> Result<TableScan> {
    let table = scan.source.schema();
    let used: BTreeSet<usize> = exprs
        .iter()
        .flat_map(|expr| expr.column_refs())
        .filter(|column| column.name != DISTANCE_COLUMN)
        .filter_map(|column| table.index_of(&column.name).ok())
        .collect();
    TableScanBuilder::from(scan.clone()).with_projection(Some(used.into_iter().collect())).build()
}
