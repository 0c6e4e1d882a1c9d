//! A chain of plan nodes over one scan, each output column written in the table's own columns.
//!
//! `SELECT e AS v, t FROM (SELECT emb AS e, tenant AS t FROM docs) s WHERE t = 7` traces to the columns
//! `[docs.emb, docs.tenant]` and the filter `docs.tenant = 7`, whatever the chain looked like.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

/// What a chain of Projection, SubqueryAlias and Filter nodes computes over one scan.
pub struct Trace<'a> {
    /// The scan at the bottom. It has no row limit of its own.
    pub scan: &'a TableScan,
    /// The chain's output columns in order, over the scan's columns.
    pub columns: Vec<Expr>,
    /// What every output row satisfies, over the scan's columns: the chain's filters and the scan's own. Some may need more
    /// than a row of the table: see [`needs_context`].
    pub filters: Vec<Expr>,
}

impl<'a> Trace<'a> {
    /// Traces a plan down to its scan.
    ///
    /// `None` if anything else stands in between, or if a volatile expression would be evaluated another number of times
    /// than the query says.
    pub fn of(plan: &'a LogicalPlan) -> Result<Option<Self>> {
        // Walks to the scan first and applies the nodes on the way back up, so that no recursion follows the plan.
        let mut chain = Vec::new();
        let mut node = plan;
        let scan = loop {
            node = match node {
                LogicalPlan::Projection(projection) => {
                    chain.push(node);
                    &projection.input
                }
                LogicalPlan::Filter(filter) => {
                    chain.push(node);
                    &filter.input
                }
                // An alias renames the columns and leaves their order; names are looked up by position below.
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::TableScan(scan) if scan.fetch.is_none() => break scan,
                _ => return Ok(None),
            };
        };
        let columns = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
        let mut trace = Trace { scan, columns, filters: Vec::new() };
        for filter in &scan.filters {
            if !trace.absorb(filter.clone()) {
                return Ok(None);
            }
        }
        for node in chain.into_iter().rev() {
            if !trace.apply(node)? {
                return Ok(None);
            }
        }
        Ok(Some(trace))
    }

    /// An expression over the output of the chain, written over the scan's columns. `schema` is the output's schema.
    ///
    /// `None` if it names a column that the chain does not have, or a volatile one: naming it twice must not evaluate
    /// it twice.
    pub fn resolve(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let mut found = true;
        let resolved = expr.clone().unalias_nested().data.transform_down(|expr| match &expr {
            Expr::Column(column) => {
                match schema.maybe_index_of_column(column).and_then(|i| self.columns.get(i)) {
                    // What replaces a column is over the scan already: not to be looked into again.
                    Some(base) if !base.is_volatile() => {
                        Ok(Transformed::new(base.clone(), true, TreeNodeRecursion::Jump))
                    }
                    _ => {
                        found = false;
                        Ok(Transformed::new(expr, false, TreeNodeRecursion::Stop))
                    }
                }
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(found.then_some(resolved.data))
    }

    /// Puts one node of the chain on top; false if it cannot be part of one.
    fn apply(&mut self, node: &LogicalPlan) -> Result<bool> {
        match node {
            LogicalPlan::Projection(projection) => {
                let mut columns = Vec::with_capacity(projection.expr.len());
                for expr in &projection.expr {
                    match self.resolve(expr, projection.input.schema())? {
                        Some(column) => columns.push(column),
                        None => return Ok(false),
                    }
                }
                self.columns = columns;
                Ok(true)
            }
            LogicalPlan::Filter(filter) => match self.resolve(&filter.predicate, filter.input.schema())? {
                Some(predicate) => Ok(split_conjunction(&predicate).into_iter().all(|p| self.absorb(p.clone()))),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    /// Takes a filter over the scan's columns; false if it must stay where it is.
    fn absorb(&mut self, filter: Expr) -> bool {
        if filter.is_volatile() {
            return false;
        }
        // Filters that were pushed into the scan still stand above it as well.
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
        }
        true
    }
}

/// Whether an expression needs more than a row of the table and what is the same for all rows: subqueries, outer columns.
pub fn needs_context(expr: &Expr) -> bool {
    let mut found = false;
    // The closure never fails, so neither does the walk.
    let _ = expr.apply(|e| {
        found |= matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarVariable(..)
        );
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}
