//! SQL to a plan that names its index.
//!
//! | module | what it holds |
//! |---|---|
//! | [`catalog`] | the names one query sees: schemas, tables pinned at a version, views, external and system tables |
//! | [`table`] | [`table::VolleyTable`], a table pinned at a version, as DataFusion's `TableProvider` |
//! | [`pruning`] | which segments can hold a row that a filter keeps |
//! | [`parameters`] | the types that a statement's parameters should have |
//! | [`resolve`] | SQL's names to what they stand for; statements with typed parameters to logical plans |
//! | [`session`] | the one function that builds a session state: functions, rules in their order, query planner |
//! | [`system_tables`] | `volley.segments`, `volley.snapshots`, `volley.settings`, `volley.vector_indexes`, … |
//! | [`sql`] | SQL text to typed statements; settings |
//! | [`error`] | one error enum, one clear sentence and one kind each |
//! | [`damaged_files`] | files of others whose reader panics |
//! | [`decimal_literals`] | number literals that meet decimals are decimals |
//! | [`template`] | physical plans with slots, for statements that are asked again and again |
//! | [`vector_topk`] | the rule, the node and the lowering of `ORDER BY distance LIMIT k` |
//! | [`dml`] | INSERT, COPY and DELETE to plans whose rows are what the commit needs |

pub mod catalog;
pub mod damaged_files;
pub mod decimal_literals;
pub mod dml;
pub mod error;
pub mod parameters;
pub mod pruning;
pub mod resolve;
pub mod session;
pub mod sql;
pub mod system_tables;
pub mod table;
pub mod template;
pub mod vector_topk;
