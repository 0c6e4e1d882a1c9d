//! What executors and coordinators tell each other so that each knows who is there.
//!
//! ```text
//! executor                               coordinator
//!    │ heartbeat: who, where, how, every 5 s  │
//!    │───────────────────────────────────────▶│   the first time, and after an ejection:
//!    │◀───────────────────────────────hello───│   can it be reached, and is it the same run?
//!    │◀────────────────────epoch, accepted────│
//!    │◀──────────────────────warm: shards─────│   when it owns others than before
//! ```

use std::collections::{BTreeMap, BTreeSet};

use prost::{Enumeration, Message};
use tonic::Status;
use ulid::Ulid;
use volley_storage::ids::{ShardId, TableId, Version};

use super::member::{NodeDescription, NodeId};

/// A node as it describes itself.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct NodeMessage {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    #[prost(uint32, tag = "4")]
    pub(crate) weight: u32,
}

/// Whether an executor takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum Phase {
    /// It does.
    Live = 0,
    /// It ends what runs and takes no more.
    Draining = 1,
}

/// Shards of a table whose files an executor has at hand, as of a version.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ShardsMessage {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) table: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) version: u64,
    #[prost(uint32, repeated, tag = "3")]
    pub(crate) shards: Vec<u32>,
}

/// What an executor says every few seconds.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Heartbeat {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<NodeMessage>,
    #[prost(enumeration = "Phase", tag = "2")]
    pub(crate) phase: i32,
    /// Bytes of memory that it holds.
    #[prost(uint64, tag = "3")]
    pub(crate) memory: u64,
    /// Bytes of its cache of files.
    #[prost(uint64, tag = "4")]
    pub(crate) cache: u64,
    #[prost(message, repeated, tag = "5")]
    pub(crate) ready: Vec<ShardsMessage>,
}

/// What a coordinator answers to a heartbeat.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct HeartbeatReply {
    /// The coordinator's epoch; 0 for one that stands by.
    #[prost(uint64, tag = "1")]
    pub(crate) epoch: u64,
    /// Why the executor is given no work although its heartbeats arrive; empty when it is given work.
    #[prost(string, tag = "2")]
    pub(crate) obstacle: String,
}

/// What a node answers to a hello: who it is.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct HelloReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<NodeMessage>,
}

/// What an executor is told to have at hand, and answers when it has.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Warm {
    #[prost(message, optional, tag = "1")]
    pub(crate) shards: Option<ShardsMessage>,
}

/// The shards that an executor has at hand, by table.
pub(crate) type Ready = BTreeMap<TableId, ReadyShards>;

/// Shards of a table that are at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReadyShards {
    /// As of this version of the table.
    pub(crate) version: Version,
    pub(crate) shards: BTreeSet<ShardId>,
}

impl From<&NodeDescription> for NodeMessage {
    fn from(node: &NodeDescription) -> Self {
        Self {
            id: node.id.0.to_bytes().to_vec(),
            name: node.name.clone(),
            address: node.address.clone(),
            weight: node.weight,
        }
    }
}

impl NodeMessage {
    /// The node that it describes.
    pub(crate) fn description(self) -> Result<NodeDescription, Status> {
        let id = NodeId(ulid_of(&self.id)?);
        Ok(NodeDescription { id, name: self.name, address: self.address, weight: self.weight })
    }
}

impl ShardsMessage {
    pub(crate) fn new(table: TableId, version: Version, shards: impl IntoIterator<Item = ShardId>) -> Self {
        let shards = shards.into_iter().map(|shard| shard.0).collect();
        Self { table: table.0.to_bytes().to_vec(), version: version.0, shards }
    }

    /// The table and its shards.
    pub(crate) fn decoded(self) -> Result<(TableId, ReadyShards), Status> {
        let shards = self.shards.into_iter().map(ShardId).collect();
        Ok((TableId(ulid_of(&self.table)?), ReadyShards { version: Version(self.version), shards }))
    }
}

/// What a list of shards says.
pub(crate) fn ready_of(messages: Vec<ShardsMessage>) -> Result<Ready, Status> {
    messages.into_iter().map(ShardsMessage::decoded).collect()
}

/// A list of shards as it travels.
pub(crate) fn ready_messages(ready: &Ready) -> Vec<ShardsMessage> {
    let message = |(table, ready): (&TableId, &ReadyShards)| {
        ShardsMessage::new(*table, ready.version, ready.shards.iter().copied())
    };
    ready.iter().map(message).collect()
}

/// A message of this sort.
pub(crate) fn decoded<M: Message + Default>(body: &[u8]) -> Result<M, Status> {
    M::decode(body).map_err(|_| Status::invalid_argument("the body of the action cannot be decoded"))
}

fn ulid_of(bytes: &[u8]) -> Result<Ulid, Status> {
    let bytes = bytes.try_into().map_err(|_| Status::invalid_argument("an id that is not 16 bytes long"))?;
    Ok(Ulid::from_bytes(bytes))
}
