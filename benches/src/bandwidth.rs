//! How fast one thread reads memory: the limit that scans are measured against.

use std::{hint::black_box, time::Instant};

/// Gigabytes (10⁹) per second at which one thread adds up all of `buffer`, once. The buffer should be several times as
/// large as the last-level cache.
///
/// Eight accumulators of eight lanes where there is AVX2, so that nothing but loading takes time; elsewhere what the
/// compiler makes of the same loop. Values are read in order. With `prefetch` the loop also asks for lines
/// [`PREFETCH_BYTES`] ahead, which on some machines reads faster than the hardware's own prefetching alone.
pub fn read_gb_per_second(buffer: &[f32], prefetch: bool) -> f64 {
    let start = Instant::now();
    black_box(if prefetch { sum::<true>(black_box(buffer)) } else { sum::<false>(black_box(buffer)) });
    size_of_val(buffer) as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// How far ahead [`read_gb_per_second`] prefetches, if it does.
pub const PREFETCH_BYTES: usize = 4096;

fn sum<const PREFETCH: bool>(buffer: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked.
        return unsafe { sum_avx2::<PREFETCH>(buffer) };
    }
    sum_lanes(buffer)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2<const PREFETCH: bool>(buffer: &[f32]) -> f32 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };
    let mut sums = [_mm256_setzero_ps(); 8];
    let (steps, rest) = buffer.as_chunks::<64>();
    for step in steps {
        for line in 0..4 {
            if PREFETCH {
                let ahead = step.as_ptr().wrapping_add(16 * line).wrapping_byte_add(PREFETCH_BYTES);
                // A prefetch is a hint that cannot fault, whatever the address.
                _mm_prefetch::<{ _MM_HINT_T0 }>(ahead.cast());
            }
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: eight of the step's 64 values are readable from there.
            *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(step.as_ptr().add(8 * i)) });
        }
    }
    let mut total = sums[0];
    for other in &sums[1..] {
        total = _mm256_add_ps(total, *other);
    }
    let mut lanes = [0.0f32; 8];
    // SAFETY: eight values are writable.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), total) };
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

fn sum_lanes(buffer: &[f32]) -> f32 {
    let mut sums = [0.0f32; 64];
    let (steps, rest) = buffer.as_chunks::<64>();
    for step in steps {
        sums.iter_mut().zip(step).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read() {
        for length in [0, 1, 7, 64, 65, 200] {
            let buffer: Vec<f32> = (0..length).map(|i| i as f32).collect();
            let total: f32 = buffer.iter().sum();
            assert_eq!(sum::<false>(&buffer), total);
            assert_eq!(sum::<true>(&buffer), total);
            assert_eq!(sum_lanes(&buffer), total);
        }
    }
}
