//! Vectors in memory: distance kernels and exact scans. Synchronous, over plain slices; no Arrow, no I/O.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metric`] | [`Metric`]: the four distances and their names |
//! | [`matrix`] | [`Matrix`]: rows × dimension, row-major, borrowed |
//! | [`row_set`] | [`RowSet`]: a bitmap over the rows of a matrix, what filters become |
//! | [`kernel`] | [`DistanceKernel`], the boundary between searches and encodings; [`F32Kernel`], [`F16Kernel`], [`I8Kernel`], its implementations |
//! | [`codes`] | [`Quantizer`], [`CodesLayout`] and [`Codes`]: vectors encoded for navigation, and the kernel for them |
//! | [`top_k`] | [`Hit`] and [`TopK`]: the bounded heap with its tie-breaks |
//! | [`exact`] | [`exact_search`]: top-k of a batch of queries by looking at every allowed row |
//! | [`hnsw`] | the index file: built, validated, walked; [`hnsw::search`] |
//! | [`calibration`] | how well an index answers, measured; from a recall to the effort it takes |
//! | [`cost`] | which way to search a segment, and at what effort |
//! | [`error`] | what can be wrong with a caller's input |
//!
//! # What callers may rely on
//! The distance of one (query, row) pair has the same bits whichever entry point computed it (one pair, a range of rows,
//! scattered rows, a single query or a batch, with or without a filter) and whichever instruction set the machine
//! offers. So a plan can never change an answer, and neither can the machine in a mixed cluster. [`kernel`] says how.

pub mod calibration;
pub mod codes;
pub mod cost;
pub mod error;
pub mod exact;
pub mod hnsw;
pub mod kernel;
pub mod matrix;
pub mod metric;
pub mod row_set;
pub mod top_k;

pub use codes::{Codes, CodesLayout, Quantizer, WithKernel};
pub use error::{Error, Result};
pub use exact::{ExactRequest, ExactResult, exact_search, exact_search_with};
pub use kernel::{
    DistanceKernel, F16Kernel, F16Rows, F32Kernel, I8Kernel, I8Rows, InstructionSet, Residence, distance, distances,
};
pub use matrix::Matrix;
pub use metric::Metric;
pub use row_set::RowSet;
pub use top_k::{Hit, TopK};
