//! Small parts of plans as bytes, for a process that opens the table version itself.
//!
//! A part is a scan of segments with what stands above it as long as every row, or every partition, is looked at by itself:
//!
//! ```text
//! AggregateExec mode=Partial       the part: sent with the positions of some of the segments,
//!   FilterExec                     so that each of several processes runs it over its own
//!     RepartitionExec RoundRobin   left out: how many threads work on it is for whoever runs it to say
//!       DataSourceExec             the leaf: sent as its projection, predicate and limit
//! ```
//!
//! Nothing else is decoded: whoever sends a part cannot make another process read anything but segments of a table.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, not_impl_err};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use volley_storage::ids::{TableId, Version};

use super::request::{is_ascending, table_of};
use super::task::Circumstances;
use super::{malformed, scan_of};
use crate::segment_set::SegmentSet;
use crate::segment_source::{SegmentSource, even_parts, parts_of, scan_config};

/// A part of a plan and the segments that it reads.
#[derive(Clone, PartialEq, Message)]
struct Part {
    /// The table's ULID, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    table: Bytes,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(uint32, repeated, tag = "3")]
    ordinals: Vec<u32>,
    /// The nodes as DataFusion writes them, the scan as a [`Leaf`].
    #[prost(bytes = "bytes", tag = "4")]
    plan: Bytes,
    #[prost(message, optional, tag = "5")]
    circumstances: Option<Circumstances>,
}

/// The scan of a part, over the scan schema of its segments.
#[derive(Clone, PartialEq, Message)]
struct Leaf {
    #[prost(message, repeated, tag = "1")]
    projection: Vec<Projected>,
    #[prost(message, optional, tag = "2")]
    predicate: Option<PhysicalExprNode>,
    #[prost(uint64, optional, tag = "3")]
    limit: Option<u64>,
    #[prost(bool, tag = "4")]
    pushdown_filters: bool,
}

/// A column of the scan.
#[derive(Clone, PartialEq, Message)]
struct Projected {
    #[prost(message, optional, tag = "1")]
    expr: Option<PhysicalExprNode>,
    #[prost(string, tag = "2")]
    alias: String,
}

/// The segments that a plan reads, where it is a part that other processes can run.
#[derive(Debug, Clone)]
pub struct PartScan {
    /// The table version.
    pub segments: Arc<SegmentSet>,
    /// The segments of it, ascending.
    pub ordinals: Vec<u32>,
    /// Their rows.
    pub rows: u64,
}

/// What a plan scans, where it is a part.
pub fn part_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<PartScan> {
    if let Some((config, source)) = scan_of(plan) {
        let set = source.segments();
        let mut ordinals = Vec::new();
        let mut rows = 0;
        for partition in 0..config.file_groups.len() {
            for part in parts_of(config, partition)?.ok()? {
                let segment = set.get(part.ordinal).ok()?;
                rows += part.rows.map_or(segment.segment.rows, |rows| u64::from(rows.end - rows.start));
                ordinals.push(part.ordinal);
            }
        }
        ordinals.sort_unstable();
        ordinals.dedup();
        // A segment may be cut into parts, but all of them have to be there.
        let whole: u64 =
            ordinals.iter().map(|ordinal| set.get(*ordinal).map_or(0, |segment| segment.segment.rows)).sum();
        return (rows == whole).then(|| PartScan { segments: Arc::clone(set), ordinals, rows });
    }
    match plan.children().as_slice() {
        [child] if is_above_scan(plan.as_ref()) => part_scan(child),
        _ => None,
    }
}

/// Whether a node may stand in a part.
fn is_above_scan(node: &dyn ExecutionPlan) -> bool {
    let is_partial = |node: &AggregateExec| *node.mode() == AggregateMode::Partial;
    is_exchange(node)
        || node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<LocalLimitExec>()
        || node.downcast_ref::<AggregateExec>().is_some_and(is_partial)
}

/// Whether a node only deals rows out to more threads.
fn is_exchange(node: &dyn ExecutionPlan) -> bool {
    let is_round = |node: &RepartitionExec| matches!(node.partitioning(), Partitioning::RoundRobinBatch(_));
    node.downcast_ref::<RepartitionExec>().is_some_and(is_round)
}

/// A part of a plan on its way to other processes.
#[derive(Debug, Clone)]
pub struct PartTask(Part);

impl PartTask {
    /// The part, to be sent for [some of](Self::for_segments) its segments. `task` has the functions that other processes have.
    ///
    /// # Errors
    /// A part that cannot be sent: with expressions that mean something in this process only, or that are nested too deeply.
    pub fn of(plan: &Arc<dyn ExecutionPlan>, scan: &PartScan, task: &TaskContext) -> Result<Self> {
        let bare =
            Arc::clone(plan).transform_up(|node| match (is_exchange(node.as_ref()), node.children().as_slice()) {
                (true, [child]) => Ok(Transformed::yes(Arc::clone(child))),
                _ => Ok(Transformed::no(node)),
            });
        let codec = PartCodec { scanned: None };
        let bytes = physical_plan_to_bytes_with_extension_codec(bare.data()?, &codec)?;
        let part = Self(Part {
            table: Bytes::copy_from_slice(&scan.segments.table().0.to_bytes()),
            version: scan.segments.version().0,
            ordinals: Vec::new(),
            plan: bytes,
            circumstances: None,
        });
        // Not everything that can be written can be read, and not everything means the same there.
        let (read, written) = (part.plan(&scan.segments, 1, task)?.schema(), plan.schema());
        let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(&read) != types(&written) {
            return not_impl_err!("a part of a plan would give other columns elsewhere");
        }
        Ok(part)
    }

    /// The same over these segments, for this process.
    pub fn over(&self, ordinals: &[u32]) -> Self {
        Self(Part { ordinals: ordinals.to_vec(), ..self.0.clone() })
    }

    /// The bytes that ask for it over these segments, for this task.
    pub fn for_segments(&self, ordinals: &[u32], task: &TaskContext) -> Bytes {
        let circumstances = Some(Circumstances::of(task));
        Part { ordinals: ordinals.to_vec(), circumstances, ..self.0.clone() }.encode_to_vec().into()
    }

    /// What [`Self::for_segments`] made bytes of; any bytes may come.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        Ok(Self(Part::decode(bytes).map_err(|error| malformed(error.to_string()))?))
    }

    /// The table and the version.
    pub fn version(&self) -> Result<(TableId, Version)> {
        Ok((table_of(&self.0.table)?, Version(self.0.version)))
    }

    /// What travels with it.
    pub fn circumstances(&self) -> Circumstances {
        self.0.circumstances.clone().unwrap_or_default()
    }

    /// The plan over the segments of its version, in at most so many partitions.
    pub fn plan(
        &self,
        segments: &Arc<SegmentSet>,
        partitions: usize,
        task: &TaskContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !is_ascending(&self.0.ordinals) {
            return Err(malformed("its segments are not in order").into());
        }
        let scanned = Scanned { segments: Arc::clone(segments), ordinals: self.0.ordinals.clone(), partitions };
        let codec = PartCodec { scanned: Some(scanned) };
        let plan = super::contained(|| physical_plan_from_bytes_with_extension_codec(&self.0.plan, task, &codec))?;
        match part_scan(&plan) {
            Some(_) => Ok(plan),
            None => Err(malformed("it is no part of a plan over segments").into()),
        }
    }
}

/// What the leaf of a part reads in this process.
#[derive(Debug)]
struct Scanned {
    segments: Arc<SegmentSet>,
    ordinals: Vec<u32>,
    partitions: usize,
}

/// Writes and reads the leaf of a part.
#[derive(Debug)]
struct PartCodec {
    /// When reading.
    scanned: Option<Scanned>,
}

impl PhysicalExtensionCodec for PartCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        task: &TaskContext,
        proto: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(Scanned { segments, ordinals, partitions }) = &self.scanned else {
            return Err(malformed("there is nothing to scan").into());
        };
        let leaf = Leaf::decode(buf).map_err(|error| malformed(error.to_string()))?;
        let context = PhysicalPlanDecodeContext::new(task, self);
        let schema = segments.scan_schema();
        let mut options = task.session_config().options().as_ref().clone();
        options.execution.parquet.pushdown_filters = leaf.pushdown_filters;
        let groups = even_parts(segments, ordinals.iter().copied(), *partitions)?;
        let limit = leaf.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let every: Vec<usize> = (0..schema.fields().len()).collect();
        let config = scan_config(segments, &groups, Some(&every), limit, &options)?;
        let Some(source) = config.file_source().downcast_ref::<SegmentSource>() else {
            return Err(malformed("a scan of segments became something else").into());
        };
        let mut source = source.clone();
        if let Some(predicate) = &leaf.predicate {
            source = source.with_predicate(proto.proto_to_physical_expr(predicate, schema, &context)?);
        }
        let projection = leaf.projection.iter().map(|projected| {
            let expr = projected.expr.as_ref().ok_or_else(|| malformed("a column without an expression"))?;
            let expr = proto.proto_to_physical_expr(expr, schema, &context)?;
            Ok(ProjectionExpr::new(expr, projected.alias.clone()))
        });
        let projection = ProjectionExprs::new(projection.collect::<Result<Vec<_>>>()?);
        let source = source.try_pushdown_projection(&projection)?;
        let source = source.ok_or_else(|| malformed("a projection that a scan cannot make"))?;
        Ok(DataSourceExec::from_data_source(FileScanConfigBuilder::from(config).with_source(source).build()))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some((config, source)) = scan_of(&node) else {
            return not_impl_err!("{} is not sent elsewhere", node.name());
        };
        let mut projection = Vec::new();
        for projected in source.projection().into_iter().flat_map(ProjectionExprs::iter) {
            let expr = Some(proto.physical_expr_to_proto(&projected.expr, self)?);
            projection.push(Projected { expr, alias: projected.alias.clone() });
        }
        let predicate = source.predicate().map(|predicate| {
            // What another operator of this process says about rows later is not known there.
            proto.physical_expr_to_proto(&snapshot_physical_expr(predicate)?, self)
        });
        let leaf = Leaf {
            projection,
            predicate: predicate.transpose()?,
            limit: config.limit.map(|limit| limit as u64),
            pushdown_filters: source.options().global.pushdown_filters,
        };
        leaf.encode(buf).map_err(|error| malformed(error.to_string()).into())
    }
}
