//! Several processes over one store that answer as one.
//!
//! A **coordinator** plans, merges and commits; **executors** search the shards that they own, and do the work of writes. The
//! object store is the only truth: who owns a shard decides what is warm, never what is right, so that a wrong belief about
//! the other nodes costs time and nothing else.
//!
//! | module | what it holds |
//! |---|---|
//! | `secret` | [`ClusterSecret`]: what nodes show each other, and the check that every call passes |
//! | `tls` | certificates of nodes |
//! | `messages` | the tasks that nodes give each other |
//! | `member` | [`Member`]: another node and the connection to it |
//! | `counters` | what is counted of calls to executors |
//! | `members` | [`Members`]: who is there, who owns what, whom to ask; `membership` is its state machine |
//! | `placement` | which shard belongs to whom |
//! | `coordinator`, `executor` | the two roles; `node` is what they have in common, `listener` their internal port |
//! | `heartbeat`, `calls` | what they tell each other so that each knows who is there |
//! | `tables`, `warming` | a coordinator's view of the shards, and owners that are told to have them at hand |
//! | `epochs` | which coordinator is the active one; `mark` is how nodes see that they work on one store |
//! | `reading` | what makes a coordinator read by way of its executors |
//! | `asking` | asking the owners of segments, until every segment is answered for once; `pace` is when a call is slow |
//! | `remote_search` | a `ShardSearcher` that asks; `merging` makes one answer of several |
//! | `remote_scan` | the plan node that has a small part of a plan done by executors; `small_scans` is the rule that places it |
//! | `worker_reads` | an executor's side of both, over `versions` that it has open; `batches` is how rows travel |
//! | `remote_tables` | a coordinator's tables: large writes go to executors, a `parcel` for each segment |
//! | `helpers` | index jobs on executors; `writes` has the messages of both, `worker_writes` and `worker_indexing` the other side |
//! | `service` | [`InternalPort`]: the service that nodes call |
//! | `failure` | errors from node to node |

pub mod coordinator;
pub mod counters;
pub mod executor;
pub mod member;
pub mod members;
pub mod messages;
pub mod node;
pub mod placement;
pub mod remote_tables;
pub mod secret;
pub mod service;

mod asking;
mod batches;
mod calls;
mod epochs;
mod failure;
mod heartbeat;
mod helpers;
mod listener;
mod mark;
mod membership;
mod merging;
mod pace;
mod parcel;
mod reading;
mod remote_scan;
mod remote_search;
mod small_scans;
mod tables;
#[cfg(test)]
mod tests;
mod tls;
mod versions;
mod warming;
mod worker_indexing;
mod worker_reads;
mod worker_writes;
mod writes;

pub use coordinator::Coordinator;
pub use counters::{Counters, TaskKind};
pub use executor::Executor;
pub use failure::{error_of, is_nodes_fault, status_of};
pub(crate) use helpers::Helpers;
pub use member::{Member, NodeDescription, NodeId};
pub use members::Members;
pub use node::{ClusterRole, NodeConfig};
pub(crate) use reading::by_executors;
pub(crate) use remote_scan::RemoteScanExec;
pub use remote_tables::RemoteTables;
pub use secret::{ClusterSecret, Credentials};
pub use service::{InternalPort, Tasks};
pub(crate) use small_scans::where_it_runs;
pub use tls::ClusterTls;
pub(crate) use writes::{Calibrated, IndexTask};
