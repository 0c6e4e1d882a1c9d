//! How encoded rows lie in memory: at a fixed stride, each in one run of as few cache lines as its components need.
//!
//! ```text
//! f16   ┌ dim halves, little-endian ─────────────┬ zeros ┐          stride: a multiple of 32 bytes
//! i8    ┌ dim codes ──────────────┬ scale ┬ zeros ┐                 stride: a multiple of 16 bytes
//! ```
//!
//! An f16 component is its half times 2^exponent, with one exponent for all rows. An i8 component is its code times the
//! row's scale, the upper 16 bits of an f32. The scale takes
//! - no room under cosine, which does not depend on a row's length;
//! - else two bytes behind the codes, little-endian;
//! - or, where these two bytes would cost a cache line of their own (64, 128, 384, 768, 1024 … dimensions), the lowest
//!   bits of the first sixteen codes: the lowest bit of the scale in the first code, and so on. Such a code is the nearest
//!   one with the bit that it has to carry.
//!
//! With these strides a row touches no more lines than its length takes, whichever row it is, if the first starts at a
//! line: strides are whole lines, or such a part more that no row reaches over the end of its last line.

use super::{driver::Strided, prefetch::LINE_BYTES};
use crate::Metric;

/// How many bytes of i8 rows kernels read at a time; strides are multiples.
const STEP_BYTES: usize = 16;

/// How many codes carry a scale's bits.
pub(crate) const SCALE_BITS: usize = 16;

/// The stride of f16 rows in bytes.
pub(crate) fn f16_stride(dim: usize) -> usize {
    (dim * size_of::<u16>()).next_multiple_of(2 * STEP_BYTES)
}

/// f16 rows, borrowed. Made by [`Codes`](crate::codes::Codes).
#[derive(Debug, Clone, Copy)]
pub struct F16Rows<'r> {
    pub(super) bytes: &'r [u8],
    pub(super) rows: usize,
    pub(super) dim: usize,
    /// 2^exponent, never subnormal.
    pub(super) scale: f32,
}

impl<'r> F16Rows<'r> {
    /// The rows in `bytes`, whose components are halves times `scale`.
    pub(crate) fn new(bytes: &'r [u8], rows: usize, dim: usize, scale: f32) -> Self {
        Self { bytes, rows, dim, scale }
    }

    pub(super) fn stride(self) -> usize {
        f16_stride(self.dim)
    }

    pub(super) fn strided(self) -> Strided<'r> {
        Strided::new(self.bytes, self.stride(), self.rows)
    }
}

/// Where an i8 row keeps its scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScalePlace {
    /// Nowhere: it is 1.
    None,
    /// In two bytes behind this many codes.
    Behind(usize),
    /// In the lowest bits of the first codes, which are at least sixteen.
    Bits,
}

impl ScalePlace {
    pub(crate) fn of(metric: Metric, dim: usize) -> Self {
        match metric {
            Metric::Cosine => ScalePlace::None,
            _ if (dim + size_of::<u16>()).div_ceil(LINE_BYTES) == dim.div_ceil(LINE_BYTES) => ScalePlace::Behind(dim),
            _ => ScalePlace::Bits,
        }
    }

    /// The scale of the row that starts at `row`.
    ///
    /// # Safety
    /// A whole row is readable there.
    #[inline(always)]
    pub(super) unsafe fn scale(self, row: *const u8) -> f32 {
        // SAFETY: the bytes behind the codes are the row's, and so are the sixteen codes where there are as many.
        let bits = unsafe {
            match self {
                ScalePlace::None => return 1.0,
                ScalePlace::Behind(codes) => u16::from_le_bytes(row.add(codes).cast::<[u8; 2]>().read()),
                ScalePlace::Bits => lowest_bits(row.cast::<[u8; SCALE_BITS]>().read()),
            }
        };
        f32::from_bits(u32::from(bits) << 16)
    }
}

/// The lowest bit of each byte, that of the first byte lowest.
#[inline(always)]
fn lowest_bits(bytes: [u8; SCALE_BITS]) -> u16 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64, and the load is unaligned.
    unsafe {
        use std::arch::x86_64::*;
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        // The lowest bit of each byte becomes its highest; what else moves does not reach a highest bit.
        _mm_movemask_epi8(_mm_slli_epi16::<7>(bytes)) as u16
    }
    #[cfg(not(target_arch = "x86_64"))]
    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(byte & 1))
}

/// The stride of i8 rows in bytes.
pub(crate) fn i8_stride(metric: Metric, dim: usize) -> usize {
    let bytes = match ScalePlace::of(metric, dim) {
        ScalePlace::Behind(codes) => codes + size_of::<u16>(),
        ScalePlace::None | ScalePlace::Bits => dim,
    };
    let stride = bytes.next_multiple_of(STEP_BYTES);
    // Three quarters of a line would reach over its end in every other row.
    stride + if stride % LINE_BYTES == LINE_BYTES - STEP_BYTES { STEP_BYTES } else { 0 }
}

/// i8 rows, borrowed. Made by [`Codes`](crate::codes::Codes).
#[derive(Debug, Clone, Copy)]
pub struct I8Rows<'r> {
    pub(super) bytes: &'r [u8],
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) stride: usize,
    pub(super) place: ScalePlace,
}

impl<'r> I8Rows<'r> {
    /// The rows in `bytes` as they are encoded for the metric.
    pub(crate) fn new(metric: Metric, bytes: &'r [u8], rows: usize, dim: usize) -> Self {
        Self { bytes, rows, dim, stride: i8_stride(metric, dim), place: ScalePlace::of(metric, dim) }
    }

    pub(super) fn strided(self) -> Strided<'r> {
        Strided::new(self.bytes, self.stride, self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_touches_more_lines_than_its_length_takes() {
        for dim in 1..2000 {
            let halves = dim * 2;
            let codes = |metric| match ScalePlace::of(metric, dim) {
                ScalePlace::Behind(_) => dim + 2,
                ScalePlace::None | ScalePlace::Bits => dim,
            };
            let mut shapes = vec![(halves, f16_stride(dim), halves)];
            shapes.extend(Metric::ALL.map(|metric| (codes(metric), i8_stride(metric, dim), dim)));
            for (bytes, stride, least) in shapes {
                assert!(stride >= bytes && stride < bytes + LINE_BYTES);
                for row in 0..64 {
                    let (first, last) = (row * stride / LINE_BYTES, (row * stride + bytes - 1) / LINE_BYTES);
                    assert_eq!(last - first + 1, least.div_ceil(LINE_BYTES), "{dim} dimensions, stride {stride}");
                }
            }
        }
    }

    #[test]
    fn the_first_codes_carry_sixteen_bits() {
        for bits in [0, 1, 2, 0x8000, 0xa5c3, u16::MAX] {
            let bytes = std::array::from_fn(|i| (bits >> i & 1) as u8 | ((i as u8 * 38) & 0xfe));
            assert_eq!(lowest_bits(bytes), bits);
        }
    }
}
