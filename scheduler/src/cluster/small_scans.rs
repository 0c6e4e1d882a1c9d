//! The optimizer rule that has small scans done by the executors that own the segments.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use volley_executor::codec::{PartScan, PartTask, part_scan};
use volley_executor::vector_topk::VectorTopKExec;
use volley_storage::schema::{field_id, vector_dimension};
use volley_storage::segment::SegmentData;

use super::Members;
use super::asking::Asker;
use super::batches::is_plain;
use super::remote_scan::RemoteScanExec;

/// Scans of more rows are done by this process, which reads the store itself.
const ROWS_MAX: u64 = 100_000;
/// The same for what may be more bytes: an answer is held in memory until it is whole.
const BYTES_MAX: u64 = 64 << 20;
/// What a value without a fixed width takes, about.
const VALUE_BYTES: u64 = 64;

/// Replaces what stands over a small scan, as far as it works on single rows or partitions, by a [`RemoteScanExec`]. It belongs
/// behind all other rules: they know what they see.
#[derive(Debug)]
pub(crate) struct SmallScans {
    asker: Arc<Asker>,
    /// The functions that every node has.
    functions: Arc<TaskContext>,
}

impl SmallScans {
    /// The rule; parts are sent by this asker if they use no functions but these.
    pub(crate) fn new(asker: Arc<Asker>, functions: Arc<TaskContext>) -> Self {
        Self { asker, functions }
    }

    /// The node that has a plan done elsewhere; `None` where it is no part of a plan, or none that is worth it.
    fn remote(&self, plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
        let scan = part_scan(plan)?;
        let is_small = is_lookup(plan, &scan) || scan.rows < ROWS_MAX && bytes_of(&plan.schema(), &scan) <= BYTES_MAX;
        if scan.ordinals.is_empty() || !is_small || !is_plain(&plan.schema()) || !limits_again(plan) {
            return None;
        }
        // What cannot be sent stays where it is.
        let task = PartTask::of(plan, &scan, &self.functions).ok()?;
        Some(Arc::new(RemoteScanExec::new(Arc::clone(plan), scan, task, Arc::clone(&self.asker))))
    }
}

impl PhysicalOptimizerRule for SmallScans {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if self.asker.members().is_alone() {
            return Ok(plan);
        }
        let rewritten = plan.transform_down(|node| {
            // Its scan only names segments.
            if node.is::<VectorTopKExec>() {
                return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
            }
            Ok(match self.remote(&node) {
                Some(remote) => Transformed::new(remote, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        });
        rewritten.data()
    }

    fn name(&self) -> &str {
        "small_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the limits in a part can be those of each executor: a limit over all is above. Of one partition there need not be one,
/// and limits of more than 32 bits are cut when they are sent.
fn limits_again(part: &Arc<dyn ExecutionPlan>) -> bool {
    let mut node = part;
    loop {
        let is_alone = || part.output_partitioning().partition_count() == 1;
        if node.fetch().is_some_and(|fetch| u32::try_from(fetch).is_err() || is_alone()) {
            return false;
        }
        match node.children().as_slice() {
            [child] => node = child,
            _ => return true,
        }
    }
}

/// Which processes run a plan of this coordinator, in a sentence.
pub(crate) fn where_it_runs(members: &Members, plan: &Arc<dyn ExecutionPlan>) -> String {
    let executors = members.live().len();
    match (executors, scans(plan)) {
        (0, _) => "executors=0: the coordinator does everything by itself".to_owned(),
        (_, true) => format!("executors={executors}: a scan that is not small is done by the coordinator"),
        (_, false) => format!("executors={executors}"),
    }
}

/// Whether a plan scans segments in this process.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_search = plan.is::<VectorTopKExec>();
    part_scan(plan).is_some_and(|scan| !scan.ordinals.is_empty())
        || !is_search && plan.children().into_iter().any(scans)
}

/// What these columns of all rows take, about. Values without a fixed width may be most of what is in the files.
fn bytes_of(schema: &Schema, scan: &PartScan) -> u64 {
    let width = |data_type: &DataType| match (vector_dimension(data_type), data_type.primitive_width()) {
        (Some(dimension), _) => Some(dimension as u64 * 4),
        (None, None) if *data_type == DataType::Boolean => Some(1),
        (None, width) => width.map(|width| width as u64),
    };
    let widths = || schema.fields().iter().map(|field| width(field.data_type()));
    let bytes = scan.rows.saturating_mul(widths().map(|width| width.unwrap_or(VALUE_BYTES)).sum());
    match widths().all(|width| width.is_some()) {
        true => bytes,
        false => bytes.max(bytes_beside_vectors(scan)),
    }
}

/// Bytes of the segments' files that are no vectors.
fn bytes_beside_vectors(scan: &PartScan) -> u64 {
    let segments = scan.ordinals.iter().filter_map(|ordinal| scan.segments.get(*ordinal).ok());
    let files = segments.map(|handle| match &handle.segment.data {
        SegmentData::File(file) => file.length,
        SegmentData::Inline(_) => 0,
    });
    let columns = scan.segments.schema().arrow.fields().iter();
    let dimensions: u64 = columns.filter_map(|field| vector_dimension(field.data_type())).map(|d| d as u64).sum();
    files.sum::<u64>().saturating_sub(scan.rows.saturating_mul(dimensions * 4))
}

/// Whether a filter leaves no more than one row: it says what every column of the primary key is.
fn is_lookup(plan: &Arc<dyn ExecutionPlan>, scan: &PartScan) -> bool {
    let key = &scan.segments.schema().primary_key;
    if key.is_empty() {
        return false;
    }
    let mut node = plan;
    loop {
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let schema = filter.input().schema();
            let mut known = Vec::new();
            for term in split_conjunction(filter.predicate()) {
                let Some(term) = term.downcast_ref::<BinaryExpr>().filter(|term| *term.op() == Operator::Eq) else {
                    continue;
                };
                let column = match (term.left().downcast_ref::<Column>(), term.right().downcast_ref::<Column>()) {
                    (Some(column), None) if term.right().is::<Literal>() => column,
                    (None, Some(column)) if term.left().is::<Literal>() => column,
                    _ => continue,
                };
                known.extend(schema.fields().get(column.index()).and_then(|field| field_id(field)));
            }
            return key.iter().all(|id| known.contains(id));
        }
        match node.children().as_slice() {
            [child] => node = child,
            _ => return false,
        }
    }
}
