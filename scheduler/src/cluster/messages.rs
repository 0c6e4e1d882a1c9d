//! The tasks that nodes give each other, as Flight carries them: tickets of DoGet, commands of DoPut.

use bytes::Bytes;
use prost::{Message, Oneof};

/// What DoGet is asked for: its ticket.
#[derive(Clone, PartialEq, Message)]
pub struct GetTask {
    /// The task.
    #[prost(oneof = "Get", tags = "1, 2")]
    pub task: Option<Get>,
}

/// The tasks whose answer is a stream of rows.
#[derive(Clone, PartialEq, Oneof)]
pub enum Get {
    /// The nearest rows of some segments: a `SearchRequest` as the executor's codec writes it.
    #[prost(bytes = "bytes", tag = "1")]
    Search(Bytes),
    /// A small part of a plan over some segments.
    #[prost(bytes = "bytes", tag = "2")]
    Scan(Bytes),
}

/// What DoPut is asked for: the command of the first message's descriptor.
#[derive(Clone, PartialEq, Message)]
pub struct PutTask {
    /// The task.
    #[prost(oneof = "Put", tags = "1")]
    pub task: Option<Put>,
}

/// The tasks that take a stream of rows.
#[derive(Clone, PartialEq, Oneof)]
pub enum Put {
    /// Rows to write as segments that belong to no version yet.
    #[prost(bytes = "bytes", tag = "1")]
    Stage(Bytes),
}

/// The names of actions.
pub mod actions {
    /// An executor says that it is there, and how it is.
    pub const HEARTBEAT: &str = "heartbeat";
    /// An executor says that it goes.
    pub const LEAVE: &str = "leave";
    /// A node asks another whether it can be reached.
    pub const HELLO: &str = "hello";
    /// An executor is to make shards ready.
    pub const WARM: &str = "warm";
    /// An executor is to build an index over a segment.
    pub const BUILD_INDEX: &str = "build_index";
    /// An executor is to measure an index over a segment.
    pub const CALIBRATE: &str = "calibrate";
}
