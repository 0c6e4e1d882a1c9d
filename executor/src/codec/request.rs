//! Searches as bytes, for a process that opens the table version itself.
//!
//! What is sent names the version and the positions of segments in it, not the segments: a search of ten rows takes little
//! more than its query vector. Vectors travel as the bytes of their values, little-endian.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::compute::SortOptions;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, DefaultPhysicalProtoConverter, PhysicalPlanDecodeContext,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use ulid::Ulid;
use volley_storage::ids::{FieldId, TableId, Version};
use volley_storage::index_definition::IndexDefinition;

use super::search::{columns_of, decode_index, encode_approximate, field_ids};
use super::task::Circumstances;
use super::{malformed, messages};
use crate::search::{Approximate, FilterStrategy, SearchRequest};
use crate::segment_set::SegmentSet;
use crate::types::{check_dimension, vector_dimension};
use crate::vector_topk::Precision;

/// Rows that may be asked for: more than any plan asks for.
const K_MAX: u64 = 16_384;
/// Queries of one request.
const QUERIES_MAX: usize = 1 << 16;

/// What a searcher is asked.
#[derive(Clone, PartialEq, Message)]
struct Search {
    /// The table's ULID, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    table: Bytes,
    #[prost(uint64, tag = "2")]
    version: u64,
    #[prost(uint32, repeated, tag = "3")]
    ordinals: Vec<u32>,
    #[prost(sint32, tag = "4")]
    column: i32,
    #[prost(string, tag = "5")]
    metric: String,
    #[prost(bytes = "bytes", tag = "6")]
    queries: Bytes,
    #[prost(uint32, tag = "7")]
    dim: u32,
    #[prost(uint64, tag = "8")]
    k: u64,
    #[prost(bool, tag = "9")]
    ties: bool,
    /// Bit 0: descending; bit 1: NULL first.
    #[prost(uint32, repeated, tag = "10")]
    tie_order: Vec<u32>,
    #[prost(message, optional, tag = "11")]
    filter: Option<PhysicalExprNode>,
    #[prost(sint32, repeated, tag = "12")]
    filter_columns: Vec<i32>,
    #[prost(message, optional, tag = "13")]
    approximate: Option<messages::Approximate>,
    /// One f32 for each query.
    #[prost(bytes = "bytes", tag = "14")]
    floor: Bytes,
    #[prost(sint32, repeated, tag = "15")]
    projection: Vec<i32>,
    #[prost(message, optional, tag = "16")]
    circumstances: Option<Circumstances>,
    /// Only how many of the segments have an index that cannot be used is asked.
    #[prost(bool, tag = "17")]
    only_unusable: bool,
}

/// A search on its way to another process.
#[derive(Debug, Clone)]
pub struct SearchTask(Search);

impl SearchTask {
    /// The request, to be sent for [some of](Self::for_segments) its segments.
    ///
    /// # Errors
    /// A filter that cannot be sent.
    pub fn of(request: &SearchRequest, task: &TaskContext) -> Result<Self> {
        let filter = request.filter.as_ref().map(|filter| {
            DefaultPhysicalProtoConverter {}.physical_expr_to_proto(filter, &DefaultPhysicalExtensionCodec {})
        });
        let has_filter = filter.is_some();
        let search = Search {
            metric: request.metric.to_string(),
            queries: to_bytes(&request.queries),
            k: request.k as u64,
            ties: request.ties,
            tie_order: request.tie_order.iter().map(|options| bits(*options)).collect(),
            filter: filter.transpose()?,
            filter_columns: request.filter_columns.iter().map(|id| id.0).collect(),
            approximate: request.approximate.as_ref().map(|approximate| encode_approximate("", approximate)),
            floor: request.floor.as_ref().map(|floor| to_bytes(floor)).unwrap_or_default(),
            projection: request.projection.iter().map(|id| id.0).collect(),
            circumstances: Some(Circumstances::of(task)),
            ..Self::bare(&request.segments, request.column, request.dim).0
        };
        if has_filter {
            // What is nested too deeply is written without complaint and not read again.
            Search::decode(Bytes::from(search.encode_to_vec())).map_err(|error| malformed(error.to_string()))?;
        }
        Ok(Self(search))
    }

    /// The question how many segments have an index of this description that cannot be used.
    pub fn unusable(segments: &SegmentSet, index: &IndexDefinition) -> Self {
        let approximate =
            Approximate { index: index.clone(), recall_target: 1.0, ef: None, strategy: FilterStrategy::Auto };
        let bare = Self::bare(segments, FieldId(0), 1).0;
        Self(Search { only_unusable: true, approximate: Some(encode_approximate("", &approximate)), ..bare })
    }

    fn bare(segments: &SegmentSet, column: FieldId, dim: usize) -> Self {
        Self(Search {
            table: Bytes::copy_from_slice(&segments.table().0.to_bytes()),
            version: segments.version().0,
            column: column.0,
            dim: u32::try_from(dim).unwrap_or(u32::MAX),
            ..Search::default()
        })
    }

    /// The same with what is left of this task's time now, for whoever is asked later than others.
    pub fn asked_by(&self, task: &TaskContext) -> Self {
        Self(Search { circumstances: Some(Circumstances::of(task)), ..self.0.clone() })
    }

    /// The bytes that ask it of these segments.
    pub fn for_segments(&self, ordinals: &[u32]) -> Bytes {
        Search { ordinals: ordinals.to_vec(), ..self.0.clone() }.encode_to_vec().into()
    }

    /// What [`Self::for_segments`] made bytes of; any bytes may come.
    pub fn decode(bytes: Bytes) -> Result<Self> {
        Ok(Self(Search::decode(bytes).map_err(|error| malformed(error.to_string()))?))
    }

    /// The table and the version.
    pub fn version(&self) -> Result<(TableId, Version)> {
        Ok((table_of(&self.0.table)?, Version(self.0.version)))
    }

    /// What travels with it.
    pub fn circumstances(&self) -> Circumstances {
        self.0.circumstances.clone().unwrap_or_default()
    }

    /// Whether it has expressions, which may call functions.
    pub fn has_filter(&self) -> bool {
        self.0.filter.is_some()
    }

    /// The index and the segments, where all that is asked is how many of those it cannot be used for.
    pub fn index_and_segments(&self) -> Result<Option<(IndexDefinition, &[u32])>> {
        match &self.0.approximate {
            Some(approximate) if self.0.only_unusable => {
                Ok(Some((decode_index(approximate), self.0.ordinals.as_slice())))
            }
            _ if self.0.only_unusable => Err(malformed("no index is asked about").into()),
            _ => Ok(None),
        }
    }

    /// The request over the segments of its version. `task` knows the functions that its filter may call.
    pub fn request(&self, segments: &Arc<SegmentSet>, task: &TaskContext) -> Result<SearchRequest> {
        let Search { dim, k, .. } = self.0;
        let dim = dim as usize;
        check_dimension(dim)?;
        let column = segments.schema().arrow.field(segments.column_index(FieldId(self.0.column))?);
        if vector_dimension(column.data_type()) != Some(dim) {
            return Err(malformed(format!("column {} has no vectors of dimension {dim}", column.name())).into());
        }
        let queries = from_bytes(&self.0.queries)?;
        if queries.len() / dim > QUERIES_MAX || k > K_MAX {
            return Err(malformed("it asks for more than anybody does").into());
        }
        if !is_ascending(&self.0.ordinals) {
            return Err(malformed("its segments are not in order").into());
        }
        let columns = field_ids(&self.0.filter_columns);
        let filter = match &self.0.filter {
            None => None,
            Some(filter) => {
                let schema = columns_of(segments, &columns)?;
                let codec = DefaultPhysicalExtensionCodec {};
                let context = PhysicalPlanDecodeContext::new(task, &codec);
                Some(super::contained(|| {
                    DefaultPhysicalProtoConverter {}.proto_to_physical_expr(filter, &schema, &context)
                })?)
            }
        };
        let approximate = self.0.approximate.as_ref().map(super::search::decode_approximate).transpose()?;
        let floor = match self.0.floor.is_empty() {
            true => None,
            false => Some(from_bytes(&self.0.floor)?),
        };
        let request = SearchRequest {
            segments: Arc::clone(segments),
            ordinals: self.0.ordinals.clone(),
            column: FieldId(self.0.column),
            metric: self.0.metric.parse().map_err(|_| malformed(format!("no metric {:?}", self.0.metric)))?,
            queries,
            dim,
            k: usize::try_from(k).map_err(|_| malformed("k is too large"))?,
            ties: self.0.ties,
            tie_order: self.0.tie_order.iter().map(|bits| options(*bits)).collect(),
            filter,
            filter_columns: columns,
            approximate: approximate.and_then(|precision| match precision {
                Precision::Approximate { approximate, .. } => Some(approximate),
                Precision::Exact(_) => None,
            }),
            floor,
            projection: field_ids(&self.0.projection),
            deadline: self.circumstances().deadline(),
        };
        request.check()?;
        Ok(request)
    }
}

/// The table of 16 bytes.
pub(super) fn table_of(bytes: &[u8]) -> Result<TableId> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| malformed("a table has 16 bytes"))?;
    Ok(TableId(Ulid::from_bytes(bytes)))
}

/// Whether no segment is named twice.
pub(super) fn is_ascending(ordinals: &[u32]) -> bool {
    ordinals.is_sorted_by(|a, b| a < b)
}

fn to_bytes(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

fn from_bytes(bytes: &[u8]) -> Result<Arc<[f32]>> {
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(malformed("values are cut off").into());
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn bits(options: SortOptions) -> u32 {
    u32::from(options.descending) | u32::from(options.nulls_first) << 1
}

fn options(bits: u32) -> SortOptions {
    SortOptions { descending: bits & 1 != 0, nulls_first: bits & 2 != 0 }
}
