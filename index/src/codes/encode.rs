//! Vectors to rows of codes.

use super::CodesLayout;
use crate::{
    Matrix, Metric,
    kernel::{
        half,
        i8::nearest,
        rows::{SCALE_BITS, ScalePlace},
    },
};

/// How many rows are looked at to see of what size vectors usually are.
const SAMPLE: usize = 4096;

/// The power of two by which halves are multiplied, so that they can hold the vectors.
///
/// 0 wherever the vectors are as they usually are. Else the largest component decides, unless a few rows are so far beyond
/// all others (by more than 2²⁰) that these would be lost: then they are encoded as the farthest that a half can be.
pub(super) fn exponent_for(vectors: Matrix<'_>) -> i32 {
    let largest = max_abs(vectors.data());
    let every = vectors.rows().div_ceil(SAMPLE).max(1);
    let mut sizes: Vec<f32> =
        (0..vectors.rows()).step_by(every).map(|row| max_abs(vectors.row(row))).filter(|&size| size > 0.0).collect();
    let middle = sizes.len() / 2;
    let usual = match sizes.is_empty() {
        true => largest,
        false => *sizes.select_nth_unstable_by(middle, f32::total_cmp).1,
    };
    if largest == 0.0 || (2f32.powi(-6)..).contains(&usual) && largest <= half::MAX {
        return 0;
    }
    let fitting_largest = exponent(largest) - 14;
    let fitting_usual = exponent(usual) + 6;
    fitting_largest.min(fitting_usual).clamp(-126, 112)
}

/// The largest magnitude. NaN counts for nothing.
fn max_abs(values: &[f32]) -> f32 {
    // Magnitudes are ordered as their bits are, which, unlike floats, can be compared in any order.
    let largest = values.iter().map(|value| value.to_bits() & 0x7fff_ffff).filter(|&bits| bits <= 0x7f7f_ffff).max();
    f32::from_bits(largest.unwrap_or(0))
}

/// The exponent of a positive number: of its largest power of two.
fn exponent(value: f32) -> i32 {
    let bits = f64::from(value).to_bits();
    (bits >> 52) as i32 - 1023
}

/// Encodes rows as halves.
pub(super) fn f16(layout: &CodesLayout, vectors: Matrix<'_>, out: &mut [u8]) {
    for (row, out) in out.chunks_exact_mut(layout.stride()).enumerate() {
        let row = vectors.row(row);
        let exponent = match layout.metric() {
            // Only the direction counts: as large as halves can safely be, so that small components keep their digits.
            Metric::Cosine => exponent(max_abs(row).max(f32::from_bits(1))) - 14,
            _ => layout.exponent(),
        };
        // Within the range of f64, and exact.
        let scale = 2f64.powi(-exponent);
        let (components, padding) = out.split_at_mut(row.len() * size_of::<u16>());
        for (half, &component) in components.as_chunks_mut().0.iter_mut().zip(row) {
            let scaled = (f64::from(component) * scale) as f32;
            *half = half::from_f32(scaled.clamp(-half::MAX, half::MAX)).to_le_bytes();
        }
        padding.fill(0);
    }
}

/// Encodes rows as bytes.
pub(super) fn i8(layout: &CodesLayout, vectors: Matrix<'_>, out: &mut [u8]) {
    let place = ScalePlace::of(layout.metric(), layout.dim());
    for (row, out) in out.chunks_exact_mut(layout.stride()).enumerate() {
        let row = vectors.row(row);
        let largest = f64::from(max_abs(row)) / 127.0;
        let (codes, rest) = out.split_at_mut(row.len());
        rest.fill(0);
        let (bits, step) = match place {
            ScalePlace::None => (0, largest),
            ScalePlace::Behind(_) | ScalePlace::Bits => scale_of(largest),
        };
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        for (code, &component) in codes.iter_mut().zip(row) {
            *code = nearest(f64::from(component) * inverse).clamp(-127.0, 127.0) as i8 as u8;
        }
        match place {
            ScalePlace::None => {}
            ScalePlace::Behind(_) => rest[..2].copy_from_slice(&bits.to_le_bytes()),
            ScalePlace::Bits => {
                for (i, (code, &component)) in codes.iter_mut().zip(row).take(SCALE_BITS).enumerate() {
                    *code = nearest_with_bit(f64::from(component) * inverse, bits >> i & 1) as u8;
                }
            }
        }
    }
}

/// The smallest scale that is not below a value, or the largest by which 127 can be multiplied: as the upper 16 bits of an
/// f32 and as a number.
fn scale_of(value: f64) -> (u16, f64) {
    let bits = (value as f32).to_bits();
    let scale = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
    let truncated = (bits >> 16) as u16;
    let above = truncated + 1;
    let fits = 127.0 * scale(above) <= f64::from(f32::MAX);
    let bits = if scale(truncated) < value && fits { above } else { truncated };
    (bits, scale(bits))
}

/// The nearest integer whose lowest bit is the given one.
fn nearest_with_bit(value: f64, bit: u16) -> i8 {
    let bit = f64::from(bit);
    let code = 2.0 * nearest((value - bit) / 2.0) + bit;
    // The ends of the range that have the bit.
    let end = 126.0 + bit;
    code.clamp(-end, end) as i8
}
