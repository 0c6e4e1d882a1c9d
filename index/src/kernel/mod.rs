//! Distance kernels: from one prepared query to rows of one encoding.
//!
//! [`DistanceKernel`] is the boundary between searches and encodings: a search (the exact scan, a graph traversal) is
//! written once against it, an encoding (f32; smaller codes) implements it once for every search.
//!
//! # How the f32 kernels add
//! Floating-point addition is not associative, so the order of accumulation is part of the result and is fixed here once:
//!
//! 1. Sixteen partial sums: lane `i` takes components `i, i+16, i+32, …` in that order, by fused multiply-add. A last
//!    partial step is filled up with zeros, which leave a sum as it is.
//! 2. The lanes are added by halves: `i` and `i+8`, then `i` and `i+4`, then `i` and `i+2`, then the last two.
//! 3. The sums become a distance (`finish` in `sums.rs`). Where f32 cannot be trusted, because a sum overflowed or is so
//!    small that squares were lost, that one pair is computed again in f64 ([`wide`]). So distances of finite vectors
//!    are never NaN by accident: one beyond the range of f32 is infinite and defined, and a tiny vector is no zero vector.
//!    −0 never occurs.
//!
//! Sixteen lanes are one AVX-512 register, two AVX registers or an array ([`avx512`], [`avx2`], [`portable`]): the same
//! bits on all of them. Kernels gain their speed from working on four rows at once (four independent chains of
//! additions, each load of the query used four times), a batch of queries also from working on four queries at once
//! (`tiles.rs`); neither changes a pair's order of accumulation.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod driver;
mod f16;
mod f32;
mod floats;
pub(crate) mod half;
pub(crate) mod i8;
mod instruction_set;
mod integers;
mod lanes;
mod portable;
pub(crate) mod prefetch;
mod products;
pub(crate) mod rows;
mod sums;
mod tiles;
mod wide;

use std::{fmt::Debug, ops::Range};

pub use self::{
    f16::F16Kernel,
    f32::{F32Kernel, F32Query, distance, distances},
    i8::{I8Kernel, I8Query},
    instruction_set::InstructionSet,
    rows::{F16Rows, I8Rows},
};
use crate::Metric;

/// Where the rows of a call are expected to lie, which decides whether the kernel fetches ahead. Never changes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// In memory: while one group of rows is computed, the next ones are fetched.
    Memory,
    /// In a cache close by, because another query has just been there or they were prefetched.
    Cache,
}

/// Distances of one metric from prepared queries to rows of one encoding.
///
/// The distance of a pair of query and row must have the same bits from every method, so that plans cannot change answers. NaN stands for
/// an undefined distance; −0 is never returned.
pub trait DistanceKernel: Debug + Send + Sync {
    /// A query brought into the form that this encoding compares with, along with what can be computed of it once.
    type Query<'q>: Sync;
    /// The encoded rows, borrowed.
    type Rows<'r>: Copy + Sync;

    /// The metric whose distances these are.
    fn metric(&self) -> Metric;

    /// Prepares a query of f32 components.
    fn prepare<'q>(&self, query: &'q [f32]) -> Self::Query<'q>;

    /// Whether the query has as many dimensions as the rows.
    fn fits(&self, query: &Self::Query<'_>, rows: Self::Rows<'_>) -> bool;

    /// How many rows there are; fits 32 bits.
    fn rows(&self, rows: Self::Rows<'_>) -> usize;

    /// How many bytes of memory one row takes, at least 1.
    fn row_bytes(&self, rows: Self::Rows<'_>) -> usize;

    /// Distances to neighbouring rows: `out[i]` to row `range.start + i`.
    ///
    /// # Panics
    /// If a row does not exist, `out` is shorter than the range, or the query does not fit.
    fn range(
        &self,
        query: &Self::Query<'_>,
        rows: Self::Rows<'_>,
        range: Range<usize>,
        residence: Residence,
        out: &mut [f32],
    );

    /// Distances from several queries to neighbouring rows, which lie in a cache: `out[q * range.len() + i]` from query `q`
    /// to row `range.start + i`.
    ///
    /// # Panics
    /// As for [`DistanceKernel::range`], `out` being as long as all ranges together.
    fn ranges(&self, queries: &[Self::Query<'_>], rows: Self::Rows<'_>, range: Range<usize>, out: &mut [f32]) {
        for (number, query) in queries.iter().enumerate() {
            let out = &mut out[number * range.len()..][..range.len()];
            self.range(query, rows, range.clone(), Residence::Cache, out);
        }
    }

    /// Distances to scattered rows: `out[i]` to row `ids[i]`. Other rows are not touched.
    ///
    /// # Panics
    /// If a row does not exist, `out` is shorter than `ids`, or the query does not fit.
    fn gather(&self, query: &Self::Query<'_>, rows: Self::Rows<'_>, ids: &[u32], residence: Residence, out: &mut [f32]);

    /// Distances from a row to scattered rows, each taken as what it decodes to: `out[i]` to row `ids[i]`. Undefined as with
    /// a query.
    ///
    /// # Panics
    /// If a row does not exist, or `out` is shorter than `ids`.
    fn gather_from(&self, rows: Self::Rows<'_>, row: u32, ids: &[u32], residence: Residence, out: &mut [f32]);

    /// The distance of two rows, as [`DistanceKernel::gather_from`] computes it.
    ///
    /// # Panics
    /// If a row does not exist.
    fn between(&self, rows: Self::Rows<'_>, a: u32, b: u32) -> f32 {
        let mut out = [f32::NAN];
        self.gather_from(rows, a, &[b], Residence::Cache, &mut out);
        out[0]
    }

    /// Asks the processor to fetch all of a row into a cache; a hint, also for rows that do not exist.
    fn prefetch(&self, rows: Self::Rows<'_>, row: usize);
}

#[cfg(test)]
mod tests;
