//! The messages. Tags are never used for anything else again.

use datafusion_proto::protobuf::{ParquetScanExecNode, PhysicalExprNode};
use prost::{Message, Oneof};

/// The format that this version writes, and the only one it reads: all processes of a cluster run the same version.
pub(super) const FORMAT: u32 = 1;

/// One plan node.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(oneof = "Node", tags = "2, 3, 4, 5")]
    pub(super) node: Option<Node>,
}

#[derive(Clone, PartialEq, Oneof)]
#[allow(clippy::large_enum_variant, reason = "prost wants the messages themselves, and a plan has few nodes")]
pub(super) enum Node {
    /// A node of the wrapped codec.
    #[prost(bytes = "vec", tag = "2")]
    Other(Vec<u8>),
    #[prost(message, tag = "3")]
    Scan(Box<Scan>),
    #[prost(message, tag = "4")]
    VectorTopK(VectorTopK),
    #[prost(message, tag = "5")]
    FetchRows(FetchRows),
}

/// `DataSourceExec(FileScanConfig(SegmentSource))`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Scan {
    /// Config, predicate (over the scan schema) and options as of a stock Parquet scan, without statistics of files.
    #[prost(message, optional, tag = "1")]
    pub(super) parquet: Option<ParquetScanExecNode>,
    #[prost(message, optional, tag = "2")]
    pub(super) segments: Option<Segments>,
    /// The stock message has 32 bits for it.
    #[prost(uint64, optional, tag = "3")]
    pub(super) limit: Option<u64>,
}

/// A `SegmentSet`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Segments {
    /// ULID.
    #[prost(string, tag = "1")]
    pub(super) table: String,
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
    /// Schema and segments as storage writes them, with deletion vectors inline.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) snapshot: Vec<u8>,
    /// The ordinal of each segment.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) ordinals: Vec<u32>,
}

/// `VectorTopKExec`; its scan is its input.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VectorTopK {
    #[prost(sint32, tag = "1")]
    pub(super) column: i32,
    #[prost(string, tag = "2")]
    pub(super) metric: String,
    #[prost(uint64, tag = "3")]
    pub(super) k: u64,
    /// A vector known to the plan …
    #[prost(float, repeated, tag = "4")]
    pub(super) vector: Vec<f32>,
    /// … or an expression that gives it.
    #[prost(message, optional, tag = "5")]
    pub(super) vector_expr: Option<PhysicalExprNode>,
    #[prost(message, repeated, tag = "6")]
    pub(super) ties: Vec<Tie>,
    #[prost(message, optional, tag = "7")]
    pub(super) filter: Option<PhysicalExprNode>,
    #[prost(sint32, repeated, tag = "8")]
    pub(super) filter_columns: Vec<i32>,
    /// Why the search is exact, where it is: the reason's position in the codec's list.
    #[prost(uint32, tag = "9")]
    pub(super) exact_reason: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) approximate: Option<Approximate>,
    /// The largest distance wanted.
    #[prost(float, optional, tag = "11")]
    pub(super) bound: Option<f32>,
    #[prost(sint32, repeated, tag = "12")]
    pub(super) carried: Vec<i32>,
}

/// How a search may be approximate.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Approximate {
    /// The index's name, its method, columns and parameters.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) method: String,
    #[prost(sint32, repeated, tag = "3")]
    pub(super) columns: Vec<i32>,
    #[prost(message, repeated, tag = "4")]
    pub(super) parameters: Vec<Parameter>,
    #[prost(float, tag = "5")]
    pub(super) recall_target: f32,
    #[prost(uint64, optional, tag = "6")]
    pub(super) ef: Option<u64>,
    /// The strategy's name.
    #[prost(string, tag = "7")]
    pub(super) strategy: String,
}

/// A parameter of an index.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Parameter {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// A tie-breaker of a search.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tie {
    #[prost(sint32, tag = "1")]
    pub(super) column: i32,
    #[prost(bool, tag = "2")]
    pub(super) descending: bool,
    #[prost(bool, tag = "3")]
    pub(super) nulls_first: bool,
}

/// `FetchRowsExec`; the search is its input.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FetchRows {
    #[prost(message, optional, tag = "1")]
    pub(super) segments: Option<Segments>,
    #[prost(sint32, repeated, tag = "2")]
    pub(super) columns: Vec<i32>,
    #[prost(uint64, tag = "3")]
    pub(super) k: u64,
    /// The order of the input: columns of it, by position.
    #[prost(message, repeated, tag = "4")]
    pub(super) order: Vec<Tie>,
}
