//! Answers to searches as bytes. The rows' columns travel beside them, as Arrow writes batches.

use std::time::Duration;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::Result;
use prost::Message;

use super::malformed;
use crate::search::{
    ExactWay, ExpectedRecall, QueryHits, SearchHit, SearchMetrics, SearchRequest, SearchResponse, SegmentGroup, Way,
};
use crate::segment_set::split_row_address;

/// The hits of all queries, one query's behind another's, and what it took.
#[derive(Clone, PartialEq, Message)]
pub struct SearchAnswer {
    /// How many hits each query has.
    #[prost(uint64, repeated, tag = "1")]
    counts: Vec<u64>,
    /// An f32 for each hit, little-endian; NaN where the distance is not defined.
    #[prost(bytes = "bytes", tag = "2")]
    distances: Bytes,
    #[prost(uint64, repeated, tag = "3")]
    addresses: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    row_ids: Vec<u64>,
    #[prost(message, optional, tag = "5")]
    metrics: Option<Metrics>,
    /// The answer to how many segments have an index that cannot be used.
    #[prost(uint64, tag = "6")]
    unusable: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Metrics {
    #[prost(uint64, tag = "1")]
    segments: u64,
    #[prost(uint64, tag = "2")]
    distances: u64,
    #[prost(uint64, tag = "3")]
    rows_filtered: u64,
    #[prost(uint64, tag = "4")]
    bytes: u64,
    #[prost(message, repeated, tag = "5")]
    groups: Vec<Group>,
    #[prost(message, optional, tag = "6")]
    expected: Option<Expected>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Expected {
    #[prost(double, tag = "1")]
    recall: f64,
    #[prost(uint32, tag = "2")]
    samples: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    /// The way's position in the list.
    #[prost(uint32, tag = "1")]
    way: u32,
    #[prost(uint64, tag = "2")]
    segments: u64,
    #[prost(uint64, tag = "3")]
    rows: u64,
    #[prost(uint64, tag = "4")]
    allowed: u64,
    /// The narrowest and the widest beam, or nothing.
    #[prost(uint64, repeated, tag = "5")]
    ef: Vec<u64>,
    #[prost(uint64, tag = "6")]
    distances: u64,
    #[prost(uint64, tag = "7")]
    filter_tests: u64,
    #[prost(message, optional, tag = "8")]
    expected: Option<Expected>,
    #[prost(uint64, tag = "9")]
    time_ns: u64,
}

/// The ways by the number they travel as.
const WAYS: [Way; 10] = [
    Way::Graph,
    Way::InFilter,
    Way::PostFilter,
    Way::Exact(ExactWay::Wanted),
    Way::Exact(ExactWay::Cheaper),
    Way::Exact(ExactWay::Unreachable),
    Way::Exact(ExactWay::FellBack),
    Way::Exact(ExactWay::Certain),
    Way::Exact(ExactWay::Unindexed),
    Way::Exact(ExactWay::Damaged),
];

impl SearchAnswer {
    /// The hits and the report of a response; its columns travel beside them.
    pub fn of(response: &SearchResponse) -> Self {
        let hits = || response.queries.iter().flat_map(|query| &query.hits);
        let distances = hits().flat_map(|hit| hit.distance.unwrap_or(f32::NAN).to_le_bytes());
        Self {
            counts: response.queries.iter().map(|query| query.hits.len() as u64).collect(),
            distances: distances.collect::<Vec<u8>>().into(),
            addresses: hits().map(|hit| hit.address).collect(),
            row_ids: hits().map(|hit| hit.row_id).collect(),
            metrics: Some(encode_metrics(&response.metrics)),
            unusable: 0,
        }
    }

    /// The answer to how many segments have an index that cannot be used.
    pub fn of_unusable(count: u64) -> Self {
        Self { unusable: count, ..Self::default() }
    }

    /// How many segments have an index that cannot be used, where that was asked.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// What [`Self::to_bytes`] made bytes of; any bytes may come.
    pub fn from_bytes(bytes: Bytes) -> Result<Self> {
        Ok(Self::decode(bytes).map_err(|error| malformed(error.to_string()))?)
    }

    /// How many rows its columns have.
    pub fn rows(&self) -> usize {
        self.addresses.len()
    }

    /// The response to a request for these segments, with the rows' columns.
    ///
    /// # Errors
    /// What is no complete answer to that request.
    pub fn response(&self, request: &SearchRequest, ordinals: &[u32], columns: &RecordBatch) -> Result<SearchResponse> {
        let (distances, rest) = self.distances.as_chunks::<4>();
        let rows = self.rows();
        let total = self.counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if !rest.is_empty()
            || distances.len() != rows
            || self.row_ids.len() != rows
            || columns.num_rows() != rows
            || total != Some(rows as u64)
            || self.counts.len() != request.query_count()
        {
            return Err(malformed("an answer does not fit together").into());
        }
        let metrics = decode_metrics(self.metrics.as_ref().ok_or_else(|| malformed("an answer without a report"))?)?;
        if metrics.segments != ordinals.len() as u64 {
            let (done, asked) = (metrics.segments, ordinals.len());
            return Err(malformed(format!("{done} segments were searched instead of {asked}")).into());
        }
        let is_asked = |address: &u64| ordinals.binary_search(&split_row_address(*address).0).is_ok();
        if !self.addresses.iter().all(is_asked) {
            return Err(malformed("an answer has rows of segments that were not asked for").into());
        }
        let hit = |at: usize| {
            let distance = Some(f32::from_le_bytes(distances[at])).filter(|distance| !distance.is_nan());
            SearchHit { distance, address: self.addresses[at], row_id: self.row_ids[at] }
        };
        let mut start = 0;
        let queries = self.counts.iter().map(|count| {
            // All counts together are as many as there are rows.
            let (begin, count) = (start, *count as usize);
            start += count;
            QueryHits { hits: (begin..start).map(hit).collect(), columns: columns.slice(begin, count) }
        });
        Ok(SearchResponse { queries: queries.collect(), metrics })
    }
}

fn encode_metrics(metrics: &SearchMetrics) -> Metrics {
    Metrics {
        segments: metrics.segments,
        distances: metrics.distances,
        rows_filtered: metrics.rows_filtered,
        bytes: metrics.bytes,
        groups: metrics.groups.iter().map(encode_group).collect(),
        expected: Some(encode_expected(metrics.expected)),
    }
}

fn decode_metrics(message: &Metrics) -> Result<SearchMetrics> {
    let mut metrics = SearchMetrics {
        segments: message.segments,
        distances: message.distances,
        rows_filtered: message.rows_filtered,
        bytes: message.bytes,
        expected: message.expected.map(decode_expected).unwrap_or_default(),
        ..SearchMetrics::default()
    };
    for group in &message.groups {
        metrics.groups.push(decode_group(group)?);
    }
    metrics.groups.sort_by_key(|group| group.way);
    Ok(metrics)
}

fn encode_group(group: &SegmentGroup) -> Group {
    Group {
        way: WAYS.iter().position(|way| *way == group.way).unwrap_or(WAYS.len()) as u32,
        segments: group.segments,
        rows: group.rows,
        allowed: group.allowed,
        ef: group.ef.map_or_else(Vec::new, |(least, most)| vec![least as u64, most as u64]),
        distances: group.distances,
        filter_tests: group.filter_tests,
        expected: group.expected.map(encode_expected),
        time_ns: u64::try_from(group.time.as_nanos()).unwrap_or(u64::MAX),
    }
}

fn decode_group(message: &Group) -> Result<SegmentGroup> {
    let way = WAYS.get(message.way as usize).ok_or_else(|| malformed("a way of searching that nobody knows"))?;
    let ef = match message.ef.as_slice() {
        [least, most] => Some((*least as usize, *most as usize)),
        _ => None,
    };
    Ok(SegmentGroup {
        way: *way,
        segments: message.segments,
        rows: message.rows,
        allowed: message.allowed,
        ef,
        distances: message.distances,
        filter_tests: message.filter_tests,
        expected: message.expected.map(decode_expected),
        time: Duration::from_nanos(message.time_ns),
    })
}

fn encode_expected(expected: ExpectedRecall) -> Expected {
    Expected { recall: expected.recall, samples: expected.samples }
}

fn decode_expected(message: Expected) -> ExpectedRecall {
    ExpectedRecall { recall: message.recall, samples: message.samples }
}
