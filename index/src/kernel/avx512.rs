//! Sixteen lanes in one AVX-512 register.

use std::arch::x86_64::*;

use super::{
    Residence,
    avx2::{add_fours, first_bytes},
    driver::{self, Compare, Pick, Strided},
    lanes::Lanes,
    sums::Sums,
    tiles::Batch,
};

/// Lanes 0–15.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// [`driver::run`], compiled for AVX-512F.
///
/// # Safety
/// As for [`Compare`]; these features are the ones enabled.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) unsafe fn run<C: Compare, P: Pick>(
    compare: C,
    rows: Strided<'_>,
    pick: P,
    residence: Residence,
    out: &mut [f32],
) {
    // SAFETY: this function enables the features that kernels over `Avx512` need; the rest its caller promises.
    unsafe { driver::run(compare, rows, pick, residence, out) }
}

/// [`Batch::compare`], compiled for the same.
///
/// # Safety
/// As for [`super::tiles::run`]; these features are the ones enabled.
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) unsafe fn run_batch<S: Sums>(batch: Batch<'_, '_>, out: &mut [f32]) {
    // SAFETY: this function enables the features that `Avx512` needs; the rest its caller promises.
    unsafe { batch.compare::<Avx512, S>(out) }
}

/// Lanes `i` and `i+8`, then `i` and `i+4` added: four lanes are left.
#[inline(always)]
unsafe fn add_halves(lanes: __m512) -> __m128 {
    // SAFETY: the caller promises AVX-512F.
    unsafe {
        let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(lanes)));
        let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), high);
        _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
    }
}

// SAFETY of all of the following: the trait's caller promises AVX-512F, and readable values where there are pointers.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx512 {
    const WIDE_GROUPS: bool = true;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self(_mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn all(value: f32) -> Self {
        unsafe { Self(_mm512_set1_ps(value)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        unsafe { Self(_mm512_maskz_loadu_ps((1 << count) - 1, from)) }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self {
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())))) }
    }

    #[inline(always)]
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> Self {
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(first_bytes(from, count)))) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        unsafe { Self(_mm512_abs_ps(self.0)) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn totals<const R: usize>(lanes: [Self; R]) -> [f32; R] {
        unsafe {
            let mut fours = [_mm_setzero_ps(); R];
            for r in 0..R {
                fours[r] = add_halves(lanes[r].0);
            }
            add_fours(fours)
        }
    }
}
