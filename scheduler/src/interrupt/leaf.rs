//! [`StoppableLeaf`].

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use volley_planner::damaged_files::{contain_stream, foreign_files};

use crate::error::Error;

/// A leaf that fails once its query is stopped, and where the reader of a file panics. In everything else it is the leaf
/// inside: in what plans show, in what it counts and in what it is taken for.
#[derive(Debug)]
pub(super) struct StoppableLeaf {
    pub(super) inner: Arc<dyn ExecutionPlan>,
    pub(super) stopped: CancellationToken,
}

impl DisplayAs for StoppableLeaf {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.inner.fmt_as(format, f)
    }
}

impl ExecutionPlan for StoppableLeaf {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.inner.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// A recursive query starts its leaves again in every round.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = Arc::clone(&self.inner).reset_state()?;
        Ok(Arc::new(Self { inner, stopped: self.stopped.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stopped = self.stopped.clone();
        let mut batches = self.inner.execute(partition, context)?;
        if let Some(files) = foreign_files(self.inner.as_ref(), partition) {
            batches = contain_stream(files, batches);
        }
        let batches = batches.map(move |batch| match stopped.is_cancelled() {
            true => Err(Error::Cancelled.into()),
            false => batch,
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.inner.metrics()
    }
}
