//! Vector top-k: `ORDER BY distance(column, constant) LIMIT k` becomes a search.
//!
//! ```text
//! before                                     after
//! Sort: d ASC NULLS LAST, id ASC, fetch=10   Sort: d ASC NULLS LAST, id ASC, fetch=10
//!   Projection: id, emb <=> q AS d             Projection: id, __distance AS d
//!     Filter: tenant = 7                         VectorTopK: k=10, metric=cosine, …, filter=tenant = 7
//!       TableScan: docs                            TableScan: docs projection=[id]
//! ```
//!
//! The Sort stays: it says what the query asked for, and the physical planner drops it because the node's output is
//! ordered already. Everything between the Sort and the scan becomes one Projection that runs over k rows instead of
//! all of them, and the scan below the node only names the columns that the winners need.
//!
//! | module | what it holds |
//! |---|---|
//! | [`node`] | the logical node |
//! | [`rule`] | the optimizer rule: the shape it proves, and the rewrite |
//! | [`trace`] | a chain of plan nodes over one scan, each output column written in the table's own columns |
//! | [`distance`] | which expressions are a distance between a column and a constant |
//! | `why` | why an ORDER BY distance is not a search |
//! | [`settings`] | what a session's settings say about searches |
//! | [`lower`] | the node to physical operators |

pub mod distance;
pub mod lower;
pub mod node;
pub mod rule;
pub mod settings;
pub mod trace;
mod why;

#[cfg(test)]
pub(crate) mod tests;

pub use lower::{VectorTopKPlanner, VolleyQueryPlanner};
pub use node::VectorTopK;
pub use rule::VectorTopKRule;
pub use why::why_exact;
