//! Tests of Volley through SQL: the same statements on every topology and over every physical layout.
//!
//! | module | what it holds |
//! |---|---|
//! | [`topology`] | where statements run: [`topology::Topology`], [`topology::Connection`] |
//! | [`cells`] | results as the text that sqllogictest compares |
//! | [`database`] | a connection as sqllogictest's database |
//! | [`layout`] | the same rows as one commit, as several files, as many small commits |
//! | [`script`] | runs a file of records on a variant and tells every record that failed |
//! | [`published`] | what DataFusion's published files need to run here |
//! | [`hits`] | one wide table of page views and queries over it, in the style of ClickBench |
//! | [`tpch`] | TPC-H: data, queries, answers, and plain DataFusion to compare with |
//!
//! The tests stand in `tests/`, one binary: `slt` runs the files of `slt/`, `bad_input` what has to be refused,
//! `properties` compares searches with brute force, `acceptance` works on real data and kills processes.

pub mod cells;
pub mod database;
pub mod hits;
pub mod layout;
pub mod published;
pub mod script;
pub mod topology;
pub mod tpch;
