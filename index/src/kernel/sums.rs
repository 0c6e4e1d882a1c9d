//! The metrics: what is summed over the components of a pair, and what distance the sums mean.
//!
//! `finish` is a function of the two vectors alone, so the decision to compute a pair again in f64 is the same on every
//! path. Sums are trusted from [`SMALLEST_TRUSTED`] on up to the largest finite f32.

use super::{lanes::Lanes, wide};

/// A distance in f64 arithmetic, for pairs whose f32 sums cannot be trusted: one of [`wide`].
pub(super) type Wide = fn(&[f32], &[f32]) -> f32;

/// Sums of squares below 2⁻⁹⁶ are computed again in f64: their terms may have lost digits among the subnormals, or been
/// lost altogether. A term loses at most 2⁻¹⁵⁰, so at 32,768 dimensions a trusted sum is right to 2⁻³⁹ of itself in this
/// respect, far below what f32 can show.
const SMALLEST_TRUSTED: f32 = f32::MIN_POSITIVE * (1u32 << 30) as f32;

/// One metric over lanes of any kind.
///
/// # Safety
/// As for [`Lanes`]: only to be used inside a function that enables the target features of `L`.
pub(super) trait Sums {
    /// Whether distances also depend on the squared length of the row: a second accumulator, so that fewer rows fit the
    /// registers.
    const SQUARES: bool = false;

    /// The running sum with sixteen more components of the query and the row.
    unsafe fn step<L: Lanes>(running: L, query: L, row: L) -> L;

    /// Distances from complete sums and the squared lengths of the query and of the rows, which are zero for metrics that
    /// do not ask for them. `again` computes the pair with row `r` in another way.
    fn finish<const R: usize>(
        sums: [f32; R],
        norm_squared: f32,
        squares: [f32; R],
        again: impl Fn(usize, Wide) -> f32,
    ) -> [f32; R];
}

/// `sqrt(Σ (a−b)²)`
pub(super) struct L2;

impl Sums for L2 {
    #[inline(always)]
    unsafe fn step<L: Lanes>(running: L, query: L, row: L) -> L {
        // SAFETY: as the trait says.
        unsafe {
            let difference = query.sub(row);
            running.add_product(difference, difference)
        }
    }

    #[inline(always)]
    fn finish<const R: usize>(sums: [f32; R], _: f32, _: [f32; R], again: impl Fn(usize, Wide) -> f32) -> [f32; R] {
        let mut distances = [0.0; R];
        for r in 0..R {
            distances[r] = sums[r].sqrt();
        }
        if !all(sums, is_trusted) {
            for r in 0..R {
                if !is_trusted(sums[r]) {
                    distances[r] = again(r, wide::l2);
                }
            }
        }
        distances
    }
}

/// `−Σab`
pub(super) struct InnerProduct;

impl Sums for InnerProduct {
    #[inline(always)]
    unsafe fn step<L: Lanes>(running: L, query: L, row: L) -> L {
        // SAFETY: as the trait says.
        unsafe { running.add_product(query, row) }
    }

    #[inline(always)]
    fn finish<const R: usize>(sums: [f32; R], _: f32, _: [f32; R], again: impl Fn(usize, Wide) -> f32) -> [f32; R] {
        let mut distances = [0.0; R];
        for r in 0..R {
            // A small product is no sign of lost digits: products cancel. Subtracted from +0 it never becomes −0.
            distances[r] = if sums[r].is_finite() { 0.0 - sums[r] } else { again(r, wide::inner_product) };
        }
        distances
    }
}

/// `Σ |a−b|`
pub(super) struct L1;

impl Sums for L1 {
    #[inline(always)]
    unsafe fn step<L: Lanes>(running: L, query: L, row: L) -> L {
        // SAFETY: as the trait says.
        unsafe { running.add(query.sub(row).abs()) }
    }

    #[inline(always)]
    fn finish<const R: usize>(sums: [f32; R], _: f32, _: [f32; R], again: impl Fn(usize, Wide) -> f32) -> [f32; R] {
        let mut distances = [0.0; R];
        for r in 0..R {
            distances[r] = if sums[r].is_finite() { sums[r] } else { again(r, wide::l1) };
        }
        distances
    }
}

/// `1 − Σab / (|a||b|)`: the inner product and the row's squared length in one pass; the query's is known.
pub(super) struct Cosine;

impl Sums for Cosine {
    const SQUARES: bool = true;

    #[inline(always)]
    unsafe fn step<L: Lanes>(running: L, query: L, row: L) -> L {
        // SAFETY: as the trait says.
        unsafe { running.add_product(query, row) }
    }

    #[inline(always)]
    fn finish<const R: usize>(
        products: [f32; R],
        norm_squared: f32,
        squares: [f32; R],
        again: impl Fn(usize, Wide) -> f32,
    ) -> [f32; R] {
        let mut distances = [0.0; R];
        for r in 0..R {
            // The product of two squares needs the range of f64. Of equal vectors all three sums are equal, so that their
            // distance is exactly zero.
            let squares = f64::from(norm_squared) * f64::from(squares[r]);
            distances[r] = (1.0 - f64::from(products[r]) / squares.sqrt()).clamp(0.0, 2.0) as f32;
        }
        if !(is_trusted(norm_squared) && all(squares, is_trusted) && all(products, f32::is_finite)) {
            for r in 0..R {
                let trusted = is_trusted(norm_squared) && is_trusted(squares[r]) && products[r].is_finite();
                if !trusted {
                    distances[r] = again(r, wide::cosine);
                }
            }
        }
        distances
    }
}

/// Whether every sum passes, without branches: the usual case stays a straight line of vector instructions.
#[inline(always)]
fn all<const R: usize>(sums: [f32; R], passes: impl Fn(f32) -> bool) -> bool {
    let mut all = true;
    for sum in &sums {
        all &= passes(*sum);
    }
    all
}

/// Whether a sum of squares neither overflowed nor may have lost digits. False for NaN.
#[inline(always)]
fn is_trusted(sum: f32) -> bool {
    (SMALLEST_TRUSTED..f32::INFINITY).contains(&sum)
}
