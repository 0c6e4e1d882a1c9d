//! Sixteen lanes in two AVX registers.

use std::arch::x86_64::*;

use super::{
    driver::{self, Pick},
    f32::F32Query,
    lanes::{LANES, Lanes},
    sums::Sums,
};
use crate::{Matrix, Residence};

/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// The driver, compiled for AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<S: Sums, P: Pick>(
    query: &F32Query<'_>,
    rows: Matrix<'_>,
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    // SAFETY: this function enables the features that `Avx2` needs.
    unsafe { driver::run::<Avx2, S, P>(query, rows, pick, residence, out) }
}

/// Eight times "on", eight times "off": a window into it is the mask of any number of first lanes.
static MASKS: [i32; LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// The first `count` (at most eight) values, then zeros; what is off is not read.
#[inline(always)]
unsafe fn load_first_of_eight(from: *const f32, count: usize) -> __m256 {
    // SAFETY: the caller promises AVX and `count <= 8` readable values, so the window lies within the table and the
    // masked load touches only readable values.
    unsafe {
        let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast());
        _mm256_maskload_ps(from, mask)
    }
}

/// Lanes `i` and `i+8`, then `i` and `i+4` added: four lanes are left.
#[inline(always)]
unsafe fn add_halves(low: __m256, high: __m256) -> __m128 {
    // SAFETY: the caller promises AVX.
    unsafe {
        let eight = _mm256_add_ps(low, high);
        _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
    }
}

/// Finishes adding by halves for each of `R` rows of four lanes; four rows at once by transposing them.
#[inline(always)]
pub(super) unsafe fn add_fours<const R: usize>(rows: [__m128; R]) -> [f32; R] {
    let mut totals = [0.0; R];
    // SAFETY: SSE is part of x86-64; the store is unaligned and writes four values where there are four.
    unsafe {
        if R == 4 {
            let (mut a, mut b, mut c, mut d) = (rows[0], rows[1], rows[2], rows[3]);
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            _mm_storeu_ps(totals.as_mut_ptr(), _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d)));
        } else {
            for r in 0..R {
                let two = _mm_add_ps(rows[r], _mm_movehl_ps(rows[r], rows[r]));
                totals[r] = _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)));
            }
        }
    }
    totals
}

// SAFETY of all of the following: the trait's caller promises AVX2 and FMA, and readable values where there are pointers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx2 {
    // Two accumulators of two registers for each of four rows would take all sixteen registers.
    const WIDE_GROUPS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe {
            if count > 8 {
                Self(_mm256_loadu_ps(from), load_first_of_eight(from.add(8), count - 8))
            } else {
                Self(load_first_of_eight(from, count), _mm256_setzero_ps())
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn totals<const R: usize>(lanes: [Self; R]) -> [f32; R] {
        unsafe {
            let mut fours = [_mm_setzero_ps(); R];
            for r in 0..R {
                fours[r] = add_halves(lanes[r].0, lanes[r].1);
            }
            add_fours(fours)
        }
    }
}
