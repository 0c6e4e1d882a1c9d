//! What the commits of a table say, and the table they add up to.
//!
//! | file | what it holds |
//! |---|---|
//! | `proto.rs` | the messages inside commits and checkpoints |
//! | `action.rs` | the same as types: one commit is a list of actions |
//! | `encode.rs`, `decode.rs` | between the two; decoding takes any bytes |
//! | `arrow_bytes.rs` | schemas, inline rows and bounds as bytes |
//! | `state.rs` | applying actions, with the invariants of a table |

mod action;
mod arrow_bytes;
mod decode;
mod encode;
mod proto;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use action::{TableAction, TableCommit};
pub(crate) use decode::{commit_info, decode_sidecars, decode_staged, file_refs, holds};
pub(crate) use encode::{encode_commit, encode_sidecars, encode_staged};
pub(crate) use state::{TableState, shard_of};
