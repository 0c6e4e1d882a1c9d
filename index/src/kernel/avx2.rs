//! Sixteen lanes in two AVX registers.

use std::arch::x86_64::*;

use super::{
    Residence,
    driver::{self, Compare, Pick, Strided},
    integers::{Integers, STEP},
    lanes::{LANES, Lanes},
    sums::Sums,
    tiles::Batch,
};

/// Lanes 0–7 and 8–15.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// [`driver::run`], compiled for AVX2, FMA and F16C.
///
/// # Safety
/// As for [`Compare`]; these features are the ones enabled.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<C: Compare, P: Pick>(
    compare: C,
    rows: Strided<'_>,
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    // SAFETY: this function enables the features that kernels over `Avx2` need; the rest its caller promises.
    unsafe { driver::run(compare, rows, pick, residence, out) }
}

/// [`Batch::compare`], compiled for the same.
///
/// # Safety
/// As for [`super::tiles::run`]; these features are the ones enabled.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run_batch<S: Sums>(batch: Batch<'_, '_>, out: &mut [f32]) {
    // SAFETY: this function enables the features that `Avx2` needs; the rest its caller promises.
    unsafe { batch.compare::<Avx2, S>(out) }
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

/// Sixteen times "on", sixteen times "off": a window into it is the mask of any number of first bytes.
static BYTE_MASKS: [u8; 2 * STEP] = {
    let mut masks = [0; 2 * STEP];
    let mut on = 0;
    while on < STEP {
        masks[on] = 0xff;
        on += 1;
    }
    masks
};

/// The first `count` (at most sixteen) of the sixteen bytes from `from` on, then zeros.
#[inline(always)]
pub(super) unsafe fn first_bytes(from: *const i8, count: usize) -> __m128i {
    // SAFETY: SSE2 is part of x86-64. The caller promises sixteen readable bytes and `count <= 16`, so that the window
    // lies within the table.
    unsafe {
        let mask = _mm_loadu_si128(BYTE_MASKS.as_ptr().add(STEP - count).cast());
        _mm_and_si128(mask, _mm_loadu_si128(from.cast()))
    }
}

/// The lanes of sixteen bytes.
#[inline(always)]
unsafe fn widen(bytes: __m128i) -> Avx2 {
    // SAFETY: the caller promises AVX2.
    unsafe {
        let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
        Avx2(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
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
    unsafe fn all(value: f32) -> Self {
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
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
    unsafe fn load_halves(from: *const u16) -> Self {
        unsafe {
            let (low, high) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(8).cast()));
            Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self {
        unsafe { widen(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> Self {
        unsafe { widen(first_bytes(from, count)) }
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
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
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

/// Eight partial sums: each of two neighbouring products.
#[derive(Clone, Copy)]
pub(super) struct Avx2Integers(__m256i);

// SAFETY of all of the following: the trait's caller promises AVX2, and readable values where there are pointers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Integers for Avx2Integers {
    type Values = __m256i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm256_setzero_si256()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const i16) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(first_bytes(from, count)) }
    }

    #[inline(always)]
    unsafe fn add_products(self, a: __m256i, b: __m256i) -> Self {
        unsafe { Self(_mm256_add_epi32(self.0, _mm256_madd_epi16(a, b))) }
    }

    #[inline(always)]
    unsafe fn totals<const R: usize>(sums: [Self; R]) -> [i32; R] {
        let mut totals = [0; R];
        unsafe {
            let mut fours = [_mm_setzero_si128(); R];
            for r in 0..R {
                fours[r] = _mm_add_epi32(_mm256_castsi256_si128(sums[r].0), _mm256_extracti128_si256::<1>(sums[r].0));
            }
            if R == 4 {
                let (ab, cd) = (_mm_hadd_epi32(fours[0], fours[1]), _mm_hadd_epi32(fours[2], fours[3]));
                _mm_storeu_si128(totals.as_mut_ptr().cast(), _mm_hadd_epi32(ab, cd));
            } else {
                for r in 0..R {
                    let two = _mm_add_epi32(fours[r], _mm_shuffle_epi32::<0b1110>(fours[r]));
                    totals[r] = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)));
                }
            }
        }
        totals
    }
}
