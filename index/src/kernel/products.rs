//! Comparing a vector of integers with i8 rows: inner products and squared lengths in integers, distances in f64.
//!
//! With codes `c` of scale `s` on either side, `Σab = s_a s_b Σ c_a c_b` and `|b|² = s_b² Σ c_b²`. The squared length
//! is that of the row as decoded and summed up along with the product: it needs no memory, and what rounding did to
//! the row enters both terms of a Euclidean distance, where most of it cancels.

use super::{
    driver::Compare,
    integers::{Integers, STEP},
    prefetch::{self, LINE_BYTES},
    rows::ScalePlace,
    wide::narrow,
};

/// Where the left vector's integers come from.
///
/// # Safety
/// As for [`Integers`]; sixteen integers must be readable from `at` on.
pub(super) trait Source: Copy {
    /// The integers `at … at + 15`.
    unsafe fn load<I: Integers>(self, at: usize) -> I::Values;

    /// The `count` (at most sixteen) integers from `at` on, then zeros.
    unsafe fn load_first<I: Integers>(self, at: usize, count: usize) -> I::Values;

    /// Whether the squares of the integers have to be summed up to know the vector's length.
    const SQUARES: bool;

    /// The vector's length, from the sum of the squares if it was asked for.
    unsafe fn length(self, square: i32) -> Length;
}

/// A query's 16-bit integers, zeros at the end of the last step, and its length.
#[derive(Clone, Copy)]
pub(super) struct Words(pub(super) *const i16, pub(super) Length);

impl Source for Words {
    #[inline(always)]
    unsafe fn load<I: Integers>(self, at: usize) -> I::Values {
        // SAFETY: as the trait says.
        unsafe { I::load(self.0.add(at)) }
    }

    #[inline(always)]
    unsafe fn load_first<I: Integers>(self, at: usize, _: usize) -> I::Values {
        // SAFETY: as the trait says.
        unsafe { I::load(self.0.add(at)) }
    }

    const SQUARES: bool = false;

    #[inline(always)]
    unsafe fn length(self, _: i32) -> Length {
        self.1
    }
}

/// The codes of a row, and where it keeps its scale.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) *const u8, pub(super) ScalePlace);

impl Source for Bytes {
    #[inline(always)]
    unsafe fn load<I: Integers>(self, at: usize) -> I::Values {
        // SAFETY: as the trait says.
        unsafe { I::load_bytes(self.0.add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn load_first<I: Integers>(self, at: usize, count: usize) -> I::Values {
        // SAFETY: as the trait says.
        unsafe { I::load_first_bytes(self.0.add(at).cast(), count) }
    }

    const SQUARES: bool = true;

    #[inline(always)]
    unsafe fn length(self, square: i32) -> Length {
        // SAFETY: the caller promises a row.
        Length { scale: f64::from(unsafe { self.1.scale(self.0) }), square: f64::from(square) }
    }
}

/// What is known of the left vector as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Length {
    /// What its integers are to be multiplied by; NaN if the vector has components that are not finite.
    pub(super) scale: f64,
    /// The sum of its integers' squares.
    pub(super) square: f64,
}

/// A metric that integer sums suffice for.
pub(super) trait Meaning {
    /// Whether the row's squared length is asked for.
    const SQUARES: bool;

    /// The distance of a pair from the sums of the products and of the row's squares, and the row's scale.
    fn distance(left: Length, product: i32, square: i32, scale: f32) -> f32;
}

pub(super) struct L2;

impl Meaning for L2 {
    const SQUARES: bool = true;

    #[inline(always)]
    fn distance(left: Length, product: i32, square: i32, scale: f32) -> f32 {
        let scale = f64::from(scale);
        let lengths = left.scale * left.scale * left.square + scale * scale * f64::from(square);
        let squared = lengths - 2.0 * (scale * left.scale * f64::from(product));
        // Rounding may leave less than nothing; NaN stays.
        narrow(if squared < 0.0 { 0.0 } else { squared.sqrt() })
    }
}

pub(super) struct InnerProduct;

impl Meaning for InnerProduct {
    const SQUARES: bool = false;

    #[inline(always)]
    fn distance(left: Length, product: i32, _: i32, scale: f32) -> f32 {
        narrow(-(f64::from(scale) * left.scale * f64::from(product)))
    }
}

pub(super) struct Cosine;

impl Meaning for Cosine {
    const SQUARES: bool = true;

    #[inline(always)]
    fn distance(left: Length, product: i32, square: i32, _: f32) -> f32 {
        // Only the sign of a scale could matter, and it has none. One root, so that equal vectors are at exactly zero.
        let cosine = f64::from(product) / (left.square * f64::from(square)).sqrt();
        narrow((1.0 - cosine).clamp(0.0, 2.0))
    }
}

/// Compares a vector of integers with i8 rows.
pub(super) struct Products<I, M, Q> {
    pub(super) left: Q,
    pub(super) dim: usize,
    pub(super) place: ScalePlace,
    pub(super) by: std::marker::PhantomData<fn() -> (I, M)>,
}

impl<I, M, Q: Copy> Copy for Products<I, M, Q> {}

impl<I, M, Q: Copy> Clone for Products<I, M, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: Integers, M: Meaning, Q: Source> Compare for Products<I, M, Q> {
    // Eight accumulators of one register each leave room for what is in flight.
    const PAIRS: bool = false;

    #[inline(always)]
    unsafe fn distances<const R: usize, const FETCH: bool>(
        self,
        rows: [*const u8; R],
        fetch: [*const u8; R],
    ) -> [f32; R] {
        let whole = self.dim - self.dim % STEP;
        let mut distances = [0.0; R];
        // SAFETY: rows are readable to the end of the step that `dim` lies in, and so is the left vector.
        unsafe {
            let mut sums = Running { products: [I::zero(); R], squares: [I::zero(); R], own: I::zero() };
            let mut codes = [I::load_bytes(rows[0].cast()); R];
            let mut at = 0;
            while at < whole {
                for r in 0..R {
                    if FETCH && at.is_multiple_of(LINE_BYTES) {
                        prefetch::line(fetch[r].wrapping_add(at));
                    }
                    codes[r] = I::load_bytes(rows[r].add(at).cast());
                }
                sums.step::<M, Q>(self.left.load::<I>(at), codes);
                at += STEP;
            }
            if at < self.dim {
                let count = self.dim - at;
                for r in 0..R {
                    if FETCH {
                        prefetch::line(fetch[r].wrapping_add(at));
                    }
                    codes[r] = I::load_first_bytes(rows[r].add(at).cast(), count);
                }
                sums.step::<M, Q>(self.left.load_first::<I>(at, count), codes);
            }
            let length = self.left.length(I::totals([sums.own])[0]);
            let (products, squares) = (I::totals(sums.products), I::totals(sums.squares));
            for r in 0..R {
                distances[r] = M::distance(length, products[r], squares[r], self.place.scale(rows[r]));
            }
        }
        distances
    }
}

/// The sums of `R` rows.
#[derive(Clone, Copy)]
struct Running<I, const R: usize> {
    products: [I; R],
    squares: [I; R],
    /// The left vector's own squares.
    own: I,
}

impl<I: Integers, const R: usize> Running<I, R> {
    /// Takes in sixteen more components of the left vector and each row.
    ///
    /// # Safety
    /// As for [`Integers`].
    #[inline(always)]
    unsafe fn step<M: Meaning, Q: Source>(&mut self, part: I::Values, codes: [I::Values; R]) {
        // SAFETY: as this function's own.
        unsafe {
            for (r, &codes) in codes.iter().enumerate() {
                self.products[r] = self.products[r].add_products(part, codes);
                if M::SQUARES {
                    self.squares[r] = self.squares[r].add_products(codes, codes);
                }
            }
            if M::SQUARES && Q::SQUARES {
                self.own = self.own.add_products(part, part);
            }
        }
    }
}
