//! Sixteen lanes in plain Rust: the oracle of the other instruction sets and the kernel of all other machines.

use super::{
    half,
    lanes::{LANES, Lanes},
};

/// An array the compiler may keep in whatever registers there are.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Lanes for Portable {
    const WIDE_GROUPS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; LANES])
    }

    #[inline(always)]
    unsafe fn all(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises sixteen readable values; an array of f32 is aligned as an f32 is.
        Self(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; LANES];
        // SAFETY: the caller promises `count` readable values.
        let values = unsafe { std::slice::from_raw_parts(from, count) };
        lanes[..count].copy_from_slice(values);
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: the caller promises sixteen readable halves.
        Self(unsafe { from.cast::<[u16; LANES]>().read() }.map(|bits| half::to_f32(u16::from_le(bits))))
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const i8) -> Self {
        // SAFETY: the caller promises sixteen readable bytes.
        Self(unsafe { from.cast::<[i8; LANES]>().read() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn load_first_bytes(from: *const i8, count: usize) -> Self {
        // SAFETY: as the caller promises.
        let mut lanes = unsafe { Self::load_bytes(from) };
        lanes.0[count..].fill(0.0);
        lanes
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| multiply_add(a.0[i], b.0[i], self.0[i])))
    }

    #[inline(always)]
    unsafe fn totals<const R: usize>(lanes: [Self; R]) -> [f32; R] {
        lanes.map(|Self(mut lanes)| {
            let mut half = LANES / 2;
            while half > 0 {
                for i in 0..half {
                    lanes[i] += lanes[i + half];
                }
                half /= 2;
            }
            lanes[0]
        })
    }
}

/// `a·b + c`, rounded once, on every machine: by the machine's own instruction where the target always has one.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        multiply_add_in_f64(a, b, c)
    }
}

/// `a·b + c` in f32, rounded once, without a fused instruction and several times faster than a libm call.
///
/// The product is exact in f64. Rounding the f64 sum to f32 would round twice, so the sum is first made *odd*: where it
/// was inexact its last bit is set, pulling it to the side where the true sum lies. Then the second rounding decides as
/// it would have on the true sum (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
#[inline(always)]
pub(super) fn multiply_add_in_f64(a: f32, b: f32, c: f32) -> f32 {
    let (product, addend) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + addend;
    let back = sum - product;
    let error = (product - (sum - back)) + (addend - back);
    let bits = sum.to_bits();
    let odd = if error != 0.0 && bits & 1 == 0 && sum.is_finite() {
        // One step away from zero if the truth is farther out, else one step towards it.
        if (error > 0.0) == (sum > 0.0) { bits + 1 } else { bits - 1 }
    } else {
        bits
    };
    f64::from_bits(odd) as f32
}
