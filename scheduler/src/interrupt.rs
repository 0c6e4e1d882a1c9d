//! Makes plans stop soon after their query is stopped.
//!
//! DataFusion's leaves yield to the runtime every 128 batches, which is where a stopped query ends. Rows may be expensive,
//! so that this takes long, and between two polls of its leaves a join can be busy for longer: one batch of a hash
//! join's probe side may match millions of rows, and a nested loop that finds no match does not come back before it has
//! compared every pair. So
//!
//! ```text
//! DataSourceExec, generate_series       becomes   a leaf that fails once the query is stopped
//! HashJoinExec, CrossJoinExec, …        becomes   CooperativeExec ← HashJoinExec …
//! NestedLoopJoinExec filter=f(a, b)     becomes   CooperativeExec ← NestedLoopJoinExec filter=checked(f(a, b))
//! ```
//! where `checked` fails in the same way. None of it changes a result. It happens to the finished plan, just before
//! it runs, because it belongs to one execution.

mod leaf;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, PiecewiseMergeJoinExec,
    SortMergeJoinExec, SymmetricHashJoinExec,
};
use datafusion::physical_plan::memory::LazyMemoryExec;
use tokio_util::sync::CancellationToken;

use self::leaf::StoppableLeaf;
use crate::cluster::RemoteScanExec;
use crate::error::Error;

/// The plan with leaves and joins that stop when `stopped` is cancelled.
pub(crate) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    stopped: &CancellationToken,
) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let filter = join.filter().map(|filter| checked(filter, stopped));
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
            return Ok(Transformed::yes(Arc::new(CooperativeExec::new(Arc::new(join))) as _));
        }
        if is_leaf(node.as_ref()) {
            return Ok(Transformed::yes(Arc::new(StoppableLeaf { inner: node, stopped: stopped.clone() }) as _));
        }
        match is_join(node.as_ref()) {
            true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as _)),
            false => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// Whether a node brings rows in. Others without children are small, or are looked for by the operator above them.
fn is_leaf(node: &dyn ExecutionPlan) -> bool {
    node.is::<DataSourceExec>() || node.is::<LazyMemoryExec>() || node.is::<RemoteScanExec>()
}

fn is_join(node: &dyn ExecutionPlan) -> bool {
    node.is::<HashJoinExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<SymmetricHashJoinExec>()
        || node.is::<PiecewiseMergeJoinExec>()
}

fn checked(filter: &JoinFilter, stopped: &CancellationToken) -> JoinFilter {
    let inner = Arc::clone(filter.expression());
    let expression = Arc::new(Checked { inner, stopped: stopped.clone() });
    JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// An expression that fails once its query is stopped, and is another expression until then.
#[derive(Debug, Clone)]
struct Checked {
    inner: Arc<dyn PhysicalExpr>,
    stopped: CancellationToken,
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        // Within one plan there is one token.
        self.inner.eq(&other.inner)
    }
}

impl Eq for Checked {}

impl Hash for Checked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Checked {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.inner.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.inner.nullable(input_schema)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.stopped.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Checked { inner, stopped: self.stopped.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
