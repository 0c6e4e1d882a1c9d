//! The messages inside a table's commits and checkpoints. Tags are never used for anything else again.

use bytes::Bytes;
use prost::{Message, Oneof};

/// Body of a commit.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Commit {
    #[prost(string, tag = "1")]
    pub(crate) operation: String,
    #[prost(uint64, tag = "2")]
    pub(crate) base_version: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) idempotency: Option<IdempotencyKey>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) actions: Vec<Action>,
    #[prost(uint32, tag = "5")]
    pub(crate) schema_id: u32,
    /// The transactions that landed together under the envelope's one, 16 bytes each.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(crate) members: Vec<Bytes>,
}

/// A client's own number of a change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct IdempotencyKey {
    #[prost(string, tag = "1")]
    pub(crate) client: String,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
    /// When it was committed; in checkpoints only.
    #[prost(int64, tag = "3")]
    pub(crate) commit_ts_ms: i64,
}

/// One change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Action {
    #[prost(oneof = "ActionKind", tags = "1, 2, 3, 4, 5, 6")]
    pub(crate) kind: Option<ActionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum ActionKind {
    #[prost(message, tag = "1")]
    Create(CreateTable),
    #[prost(message, tag = "2")]
    Add(Segment),
    #[prost(message, tag = "3")]
    Remove(SegmentKey),
    #[prost(message, tag = "4")]
    SetDeletes(SetDeletes),
    #[prost(message, tag = "5")]
    Attach(Attach),
    #[prost(message, tag = "6")]
    Detach(Detach),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateTable {
    #[prost(message, optional, tag = "1")]
    pub(crate) schema: Option<Schema>,
    #[prost(message, optional, tag = "2")]
    pub(crate) properties: Option<Properties>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Schema {
    #[prost(uint32, tag = "1")]
    pub(crate) id: u32,
    /// Arrow IPC stream without batches.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) arrow: Bytes,
    #[prost(sint32, repeated, tag = "3")]
    pub(crate) primary_key: Vec<i32>,
    #[prost(btree_map = "sint32, string", tag = "4")]
    pub(crate) defaults: std::collections::BTreeMap<i32, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Properties {
    #[prost(uint32, tag = "1")]
    pub(crate) shards: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SegmentKey {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) id: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Segment {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) id: Bytes,
    #[prost(uint32, tag = "2")]
    pub(crate) shard: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) schema_id: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) rows: u64,
    /// Absent where row ids are a column of the data.
    #[prost(uint64, optional, tag = "5")]
    pub(crate) first_row_id: Option<u64>,
    #[prost(oneof = "Data", tags = "6, 7")]
    pub(crate) data: Option<Data>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) stats: Vec<Stats>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) sidecars: Vec<Sidecar>,
    /// Absent where nothing is deleted, and in a commit that adds the segment.
    #[prost(message, optional, tag = "10")]
    pub(crate) deletes: Option<Deletes>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Data {
    #[prost(message, tag = "6")]
    File(File),
    /// Arrow IPC stream with one batch.
    #[prost(bytes = "bytes", tag = "7")]
    Inline(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct File {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(uint64, tag = "2")]
    pub(crate) length: u64,
    /// 32 bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) blake3: Bytes,
}

/// Bounds are the value's bytes: little endian for numbers, UTF-8 for text, one byte for booleans.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stats {
    #[prost(sint32, tag = "1")]
    pub(crate) field: i32,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) min: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) max: Option<Bytes>,
    #[prost(bool, tag = "4")]
    pub(crate) exact: bool,
    #[prost(uint64, tag = "5")]
    pub(crate) null_count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sidecar {
    /// `vectors`, `primary-key`, or the method of an index.
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(sint32, repeated, tag = "2")]
    pub(crate) columns: Vec<i32>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) parameters: Vec<Parameter>,
    #[prost(uint32, tag = "4")]
    pub(crate) format_version: u32,
    #[prost(message, optional, tag = "5")]
    pub(crate) file: Option<File>,
    #[prost(bool, tag = "6")]
    pub(crate) is_index: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parameter {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Deletes {
    #[prost(oneof = "DeletesKind", tags = "1, 2")]
    pub(crate) kind: Option<DeletesKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum DeletesKind {
    /// The bytes of a deletion vector file.
    #[prost(bytes = "bytes", tag = "1")]
    Inline(Bytes),
    #[prost(message, tag = "2")]
    File(DeletesFile),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeletesFile {
    #[prost(message, optional, tag = "1")]
    pub(crate) file: Option<File>,
    #[prost(uint64, tag = "2")]
    pub(crate) count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetDeletes {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) segment: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(crate) deletes: Option<Deletes>,
    #[prost(uint64, tag = "3")]
    pub(crate) newly: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attach {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) segment: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(crate) sidecar: Option<Sidecar>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Detach {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) segment: Bytes,
    #[prost(string, tag = "2")]
    pub(crate) path: String,
}

/// Body of a checkpoint.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Checkpoint {
    #[prost(message, optional, tag = "1")]
    pub(crate) schema: Option<Schema>,
    #[prost(message, optional, tag = "2")]
    pub(crate) properties: Option<Properties>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) segments: Vec<Segment>,
    #[prost(uint64, tag = "4")]
    pub(crate) next_row_id: u64,
    #[prost(message, repeated, tag = "5")]
    pub(crate) idempotency: Vec<IdempotencyKey>,
}

/// Segments that are written and belong to no version yet. Between processes only, never at rest.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Staged {
    #[prost(message, repeated, tag = "1")]
    pub(crate) segments: Vec<StagedSegment>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StagedSegment {
    #[prost(message, optional, tag = "1")]
    pub(crate) segment: Option<Segment>,
    /// 16 bytes a row, little endian; none without a primary key.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) key_hashes: Bytes,
}

/// Sidecars that are written and attached to nothing yet. Between processes only, never at rest.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sidecars {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sidecars: Vec<Sidecar>,
}
