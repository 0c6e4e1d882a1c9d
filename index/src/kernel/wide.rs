//! The distances in f64, for the few pairs that f32 sums cannot represent.
//!
//! No sum of products of finite f32 values overflows f64 or loses digits at its small end, so NaN means that the
//! distance is undefined: a zero vector under cosine, or a component that is not finite. A result beyond the range of
//! f32 becomes infinite, which is a defined distance. Eight partial sums and no fused operations: the same on every
//! machine.

const LANES: usize = 8;

/// `sqrt(Σ (a−b)²)`
#[cold]
#[inline(never)]
pub(super) fn l2(a: &[f32], b: &[f32]) -> f32 {
    narrow(sum(a, b, |a, b| (a - b) * (a - b)).sqrt())
}

/// `−Σab`
#[cold]
#[inline(never)]
pub(super) fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    narrow(-sum(a, b, |a, b| a * b))
}

/// `Σ |a−b|`
#[cold]
#[inline(never)]
pub(super) fn l1(a: &[f32], b: &[f32]) -> f32 {
    narrow(sum(a, b, |a, b| (a - b).abs()))
}

/// `1 − Σab / (|a||b|)`; NaN if either vector is all zeros.
#[cold]
#[inline(never)]
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let (a_squared, b_squared) = (sum(a, a, |a, b| a * b), sum(b, b, |a, b| a * b));
    // One root of the product, which stays within 10^±180, so that equal vectors are at exactly zero.
    narrow((1.0 - sum(a, b, |a, b| a * b) / (a_squared * b_squared).sqrt()).clamp(0.0, 2.0))
}

/// The distance as f32, with only one zero and only one NaN (which operation makes which is the machine's choice).
#[inline(always)]
pub(super) fn narrow(distance: f64) -> f32 {
    if distance.is_nan() { f32::NAN } else { distance as f32 + 0.0 }
}

#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_steps, a_rest) = a.as_chunks::<LANES>();
    let (b_steps, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_steps.iter().zip(b_steps) {
        for lane in 0..LANES {
            sums[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += term(f64::from(a), f64::from(b));
    }
    sums.iter().sum()
}
