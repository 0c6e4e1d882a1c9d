//! Plan nodes as bytes, for plans that run in other processes.
//!
//! [`VolleyCodec`] knows this crate's nodes; every node that it does not know it leaves to the codec it wraps, because a
//! distributed scheduler has nodes (and a codec) of its own and takes only one codec from us.
//!
//! ```text
//! Envelope { format, one of: scan | vector top-k | fetch rows | bytes of the wrapped codec }
//! ```
//!
//! Bytes may come from anywhere: whatever is not well-formed, or of a newer format, is an error. A decoded node reads
//! through the storage of the process that decodes it ([`crate::segment_set::StorageHandle`]); paths, lengths and checksums come with
//! the plan.
//!
//! Searches and small parts of plans that the processes of one cluster ask of each other ([`SearchTask`], [`PartTask`]) name a
//! table version instead, which both sides can open: they are as short as the question.

mod answer;
mod messages;
mod part;
mod request;
mod scan;
mod search;
mod segments;
mod task;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;

pub use answer::SearchAnswer;
pub use part::{PartScan, PartTask, part_scan};
pub use request::SearchTask;
pub use task::Circumstances;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::common::{Result, not_impl_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use prost::Message;

use self::messages::{Envelope, FORMAT, Node};
use crate::error::Error;
use crate::fetch_rows::FetchRowsExec;
use crate::segment_source::SegmentSource;
use crate::vector_topk::VectorTopKExec;

/// Encodes and decodes this crate's plan nodes, around a codec for the others.
#[derive(Debug)]
pub struct VolleyCodec {
    others: Arc<dyn PhysicalExtensionCodec>,
}

impl VolleyCodec {
    /// A codec that leaves nodes of other crates to `others`.
    pub fn around(others: Arc<dyn PhysicalExtensionCodec>) -> Self {
        Self { others }
    }
}

impl Default for VolleyCodec {
    /// A codec for this crate's nodes and no others.
    fn default() -> Self {
        Self::around(Arc::new(DefaultPhysicalExtensionCodec {}))
    }
}

/// What encoding or decoding a node needs besides the node.
#[derive(Clone, Copy)]
struct Converter<'a> {
    codec: &'a dyn PhysicalExtensionCodec,
    proto: &'a dyn PhysicalProtoConverterExtension,
}

/// The error for bytes that are no plan of ours.
fn malformed(detail: impl Into<String>) -> Error {
    Error::Internal { detail: format!("cannot decode a plan: {}", detail.into()) }
}

/// Decodes, where DataFusion's own decoding takes some values on trust, such as the version of Parquet to write: a panic is
/// bad bytes and nothing else, and no state outlives it.
fn contained<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    decoded.unwrap_or_else(|_| Err(malformed("it holds impossible values").into()))
}

/// The only input of a node.
fn only_input(inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs {
        [input] => Ok(Arc::clone(input)),
        _ => Err(malformed(format!("a node has {} inputs instead of one", inputs.len())).into()),
    }
}

impl PhysicalExtensionCodec for VolleyCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let envelope = Envelope::decode(buf).map_err(|error| malformed(error.to_string()))?;
        if envelope.format != FORMAT {
            return not_impl_err!("the plan has format {}, this process knows format {FORMAT}", envelope.format);
        }
        let converter = Converter { codec: self, proto: proto_converter };
        let node = envelope.node.ok_or_else(|| malformed("it names no node"))?;
        contained(|| -> Result<Arc<dyn ExecutionPlan>> {
            match node {
                Node::Other(bytes) => self.others.try_decode(&bytes, inputs, ctx, proto_converter),
                Node::Scan(scan) => Ok(DataSourceExec::from_data_source(scan::decode(&scan, ctx, converter)?)),
                Node::VectorTopK(topk) => {
                    Ok(Arc::new(search::decode_topk(&topk, only_input(inputs)?, ctx, converter)?))
                }
                Node::FetchRows(fetch) => {
                    Ok(Arc::new(search::decode_fetch(&fetch, only_input(inputs)?, ctx, converter)?))
                }
            }
        })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let converter = Converter { codec: self, proto: proto_converter };
        let node = if let Some((config, source)) = scan_of(&node) {
            Node::Scan(Box::new(scan::encode(config, source, converter)?))
        } else if let Some(topk) = node.downcast_ref::<VectorTopKExec>() {
            Node::VectorTopK(search::encode_topk(topk, converter)?)
        } else if let Some(fetch) = node.downcast_ref::<FetchRowsExec>() {
            Node::FetchRows(search::encode_fetch(fetch, converter)?)
        } else {
            let mut bytes = Vec::new();
            self.others.try_encode(node, &mut bytes, proto_converter)?;
            Node::Other(bytes)
        };
        Envelope { format: FORMAT, node: Some(node) }
            .encode(buf)
            .map_err(|error| Error::Internal { detail: format!("cannot encode a plan: {error}") }.into())
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.others.try_decode_udf(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udf(node, buf)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.others.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.others.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udwf(node, buf)
    }
}

/// The config and the source of a scan of segments.
fn scan_of(node: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &SegmentSource)> {
    node.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<SegmentSource>()
}

/// An expression as bytes.
fn encode_expr(
    expr: &Arc<dyn PhysicalExpr>,
    converter: Converter<'_>,
) -> Result<datafusion_proto::protobuf::PhysicalExprNode> {
    converter.proto.physical_expr_to_proto(expr, converter.codec)
}
