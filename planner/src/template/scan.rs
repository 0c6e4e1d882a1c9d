//! What a template's search stands over: its table at one version, and the filters that leave segments out.

use std::sync::Arc;

use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use parking_lot::Mutex;
use volley_executor::fetch_rows::FetchRowsExec;
use volley_executor::vector_topk::{TopK, VectorTopKExec};
use volley_storage::ids::{TableId, Version};
use volley_storage::snapshot::Snapshot;

use super::slot::{value_of, with_literals};
use crate::table::VolleyTable;
use crate::vector_topk::lower::in_one_partition;

/// Values of the filters, and the segments that they leave.
type Left = (Vec<ScalarValue>, Arc<[u32]>);

/// The scan below a search. The filters say which segments are left; those with parameters only once there are values.
#[derive(Debug)]
pub(super) struct Scan {
    table: VolleyTable,
    projection: Option<Vec<usize>>,
    filters: Vec<Expr>,
    /// The values that the filters had last, and the segments that were left: often they come again beside another vector.
    last: Mutex<Option<Left>>,
}

impl Scan {
    /// The table, and its version.
    pub(super) fn table(&self) -> (TableId, Version) {
        let snapshot = self.table.snapshot();
        (snapshot.table, snapshot.version)
    }

    /// Whether it takes values to say which segments are left.
    pub(super) fn is_open(&self) -> bool {
        self.filters.iter().any(is_open)
    }

    /// The segments that the filters leave with these values.
    pub(super) fn segments(&self, values: &[ScalarValue]) -> Result<Arc<[u32]>> {
        let mut given = Vec::new();
        for filter in &self.filters {
            filter.apply(|expr| {
                given.extend(value_of(expr, values).map(|(_, value)| value.clone()));
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        if let Some((known, left)) = self.last.lock().as_ref()
            && *known == given
        {
            return Ok(Arc::clone(left));
        }
        let filters = self.filters.iter().map(|filter| with_literals(filter.clone(), values));
        let left: Arc<[u32]> = self.table.prune(&filters.collect::<Result<Vec<_>>>()?)?.into();
        *self.last.lock() = Some((given, Arc::clone(&left)));
        Ok(left)
    }

    /// The same scan of another version; `None` where the table has changed in more than its rows.
    pub(super) async fn at(&self, snapshot: Arc<Snapshot>, runtime: &RuntimeEnv) -> Result<Option<Self>> {
        let known = self.table.snapshot();
        if known.table != snapshot.table || known.schema != snapshot.schema {
            return Ok(None);
        }
        let table = self.table.at(snapshot, runtime).await?;
        let (projection, filters) = (self.projection.clone(), self.filters.clone());
        Ok(Some(Self { table, projection, filters, last: Mutex::default() }))
    }

    /// Whether another version of the table would be searched by the same index: of several, that depends on the segments.
    pub(super) fn has_one_way(&self, search: &TopK) -> bool {
        let indexes = self.table.indexes().iter();
        indexes.filter(|index| index.definition.columns.contains(&search.column)).count() <= 1
    }

    /// A plan over an earlier version as planning would make it over this one.
    pub(super) fn below(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(search) = plan.downcast_ref::<VectorTopKExec>() {
            let filters: Vec<_> = self.filters.iter().filter(|filter| !is_open(filter)).cloned().collect();
            let scan = self.table.scan_in(1, self.projection.as_ref(), &filters, None, options)?;
            return Ok(Arc::new(VectorTopKExec::try_new(search.topk().clone(), in_one_partition(&scan)?)?));
        }
        let children = plan.children();
        let &[child] = children.as_slice() else { return internal_err!("{} is in no template", plan.name()) };
        let input = self.below(child, options)?;
        if let Some(fetch) = plan.downcast_ref::<FetchRowsExec>() {
            let (order, set, columns) = (fetch.order().clone(), Arc::clone(self.table.set()), fetch.columns().to_vec());
            return Ok(Arc::new(FetchRowsExec::try_new(input, order, set, columns, fetch.k())?));
        }
        let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        Arc::clone(plan).replace_children(vec![input], keep)
    }
}

/// The plan with a scan that is not pruned by filters with parameters, and the scan with all of them; `None` where it scans
/// none of Volley's tables.
pub(super) fn without_open_filters(plan: LogicalPlan) -> Result<(LogicalPlan, Option<Scan>)> {
    let mut found = None;
    let plan = plan.transform_up(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        if let Some(table) = source_as_provider(&scan.source)?.downcast_ref::<VolleyTable>() {
            let (projection, filters) = (scan.projection.clone(), scan.filters.clone());
            found = Some(Scan { table: table.clone(), projection, filters, last: Mutex::default() });
        }
        scan.filters.retain(|filter| !is_open(filter));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    Ok((plan.data()?, found))
}

fn is_open(filter: &Expr) -> bool {
    // Looking for something cannot fail; a filter that could not be looked at would be none to prune by.
    filter.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_)))).unwrap_or(true)
}
