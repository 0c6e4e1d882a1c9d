//! Tests of Volley through SQL: the same statements on every topology and over every physical layout.
//!
//! | module | what it holds |
//! |---|---|
//! | [`topology`] | where statements run: [`topology::Topology`], [`topology::Connection`] |
//! | [`cluster`] | a coordinator and executors as processes |
//! | [`program`] | the `volley` program as users run it |
//! | [`object_store`] | an S3 server for tests |
//! | [`faulty_proxy`] | a way to it on which things go wrong |
//! | [`cells`] | results as the text that sqllogictest compares |
//! | [`database`] | a connection as sqllogictest's database |
//! | [`indexed`] | the same rows with an index on every vector column |
//! | [`layout`] | the same rows as one commit, as several files, as many small commits |
//! | [`script`] | runs a file of records on a variant and tells every record that failed |
//! | [`published`] | what DataFusion's published files need to run here |
//! | [`hits`] | one wide table of page views and queries over it, in the style of ClickBench |
//! | [`tpch`] | TPC-H: data, queries, answers, and plain DataFusion to compare with |
//!
//! The tests stand in `tests/`, one binary: `slt` runs the files of `slt/`, `bad_input` what has to be refused,
//! `properties` compares searches with brute force, `acceptance` works on real data and kills processes.

pub mod cells;
pub mod cluster;
pub mod database;
pub mod faulty_proxy;
pub mod hits;
pub mod indexed;
pub mod layout;
pub mod object_store;
pub mod program;
pub mod published;
pub mod script;
pub mod topology;
pub mod tpch;
