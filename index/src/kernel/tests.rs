//! The f32 kernels against an f64 oracle and, bit by bit, against each other.

use proptest::prelude::*;

use super::{portable::multiply_add_in_f64, *};
use crate::Matrix;

/// The distance by the book, and the magnitude that its rounding errors are relative to.
fn oracle(metric: Metric, a: &[f32], b: &[f32]) -> (f64, f64) {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    match metric {
        Metric::L2 => {
            let distance = pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            (distance, distance)
        }
        Metric::L1 => {
            let distance = pairs().map(|(a, b)| (a - b).abs()).sum::<f64>();
            (distance, distance)
        }
        Metric::InnerProduct => (-product, pairs().map(|(a, b)| (a * b).abs()).sum()),
        Metric::Cosine => {
            let squares: (f64, f64) = (pairs().map(|(a, _)| a * a).sum(), pairs().map(|(_, b)| b * b).sum());
            (1.0 - product / (squares.0 * squares.1).sqrt(), 1.0)
        }
    }
}

/// Whether a distance is as near the oracle's as the lengths of the chains of additions allow.
fn is_right(metric: Metric, a: &[f32], b: &[f32], got: f32) -> bool {
    let (want, magnitude) = oracle(metric, a, b);
    if want.is_nan() {
        return got.is_nan();
    }
    let roundings = a.len() as f64 / 16.0 + 10.0;
    let tolerance = roundings * f64::from(f32::EPSILON) * magnitude + a.len() as f64 * f64::from(f32::from_bits(1));
    let beyond = want.abs() + tolerance >= f64::from(f32::MAX);
    let near = (f64::from(got) - want).abs() <= tolerance;
    (near || beyond && got.is_infinite() && got.is_sign_positive() == (want > 0.0))
        && got.to_bits() != (-0.0f32).to_bits()
}

fn kernels(metric: Metric) -> Vec<F32Kernel> {
    InstructionSet::ALL.into_iter().filter_map(|set| F32Kernel::with_instructions(metric, set)).collect()
}

/// Components of one size; of that size times a power of two up to the ends of the range; or any finite numbers at all.
fn component() -> impl Strategy<Value = BoxedStrategy<f32>> {
    prop_oneof![
        3 => Just((-1.0f32..1.0).boxed()),
        1 => Just((-3i8..3).prop_map(f32::from).boxed()),
        1 => (-149i32..128).prop_map(|power| (-1.0f32..1.0).prop_map(move |x| x * 2f32.powi(power)).boxed()),
        1 => Just(any::<f32>().prop_filter("finite", |x| x.is_finite()).boxed()),
    ]
}

/// A query and up to eleven rows of the same dimension; now and then a row is all zeros or the query itself.
fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let dim = prop_oneof![6 => 1usize..70, 2 => 70usize..400, 1 => prop::sample::select(vec![784, 1024, 1536, 4096])];
    (dim, 0usize..12, component(), component()).prop_flat_map(|(dim, rows, ours, theirs)| {
        let kinds = prop::collection::vec(0u8..12, rows);
        let query = prop::collection::vec(ours, dim);
        (query, prop::collection::vec(theirs, dim * rows), kinds).prop_map(move |(query, mut data, kinds)| {
            for (row, kind) in data.chunks_mut(dim).zip(kinds) {
                match kind {
                    0 => row.fill(0.0),
                    1 => row.copy_from_slice(&query),
                    _ => {}
                }
            }
            (query, data)
        })
    })
}

fn bits(distances: &[f32]) -> Vec<u32> {
    distances.iter().map(|distance| distance.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agree_with_the_oracle_and_have_the_same_bits_everywhere((query, data) in vectors(), shuffle: u32) {
        let rows = Matrix::new(&data, query.len()).unwrap();
        for metric in Metric::ALL {
            let mut all = vec![7.0; rows.rows()];
            distances(metric, &query, rows, &mut all);
            for (row, &got) in all.iter().enumerate() {
                prop_assert!(is_right(metric, &query, rows.row(row), got), "{metric} {got} {:?}", oracle(metric, &query, rows.row(row)));
                let alone = distance(metric, &query, rows.row(row));
                prop_assert_eq!(alone.unwrap_or(f32::NAN).to_bits(), got.to_bits());
            }
            // Every third row or so, in some order, some of them twice.
            let ids: Vec<u32> = (0..rows.rows() as u32).map(|i| shuffle.wrapping_mul(i + 1) % rows.rows() as u32).collect();
            let gathered: Vec<f32> = ids.iter().map(|&id| all[id as usize]).collect();
            // The query, and each row as a query.
            let batch: Vec<&[f32]> = std::iter::once(query.as_slice()).chain((0..rows.rows()).map(|row| rows.row(row))).collect();
            let every: Vec<Vec<f32>> = batch.iter().map(|query| {
                let mut all = vec![7.0; rows.rows()];
                distances(metric, query, rows, &mut all);
                all
            }).collect();
            for kernel in kernels(metric) {
                let prepared: Vec<_> = batch.iter().map(|query| kernel.prepare(query)).collect();
                for start in 0..=rows.rows() {
                    let mut out = vec![7.0; batch.len() * (rows.rows() - start)];
                    kernel.ranges(&prepared, rows, start..rows.rows(), &mut out);
                    let expected: Vec<f32> = every.iter().flat_map(|all| &all[start..]).copied().collect();
                    prop_assert_eq!(bits(&out), bits(&expected), "{:?}", kernel);
                }
                let prepared = kernel.prepare(&query);
                for residence in [Residence::Memory, Residence::Cache] {
                    for start in 0..rows.rows().min(5) {
                        let mut out = vec![7.0; rows.rows() - start];
                        kernel.range(&prepared, rows, start..rows.rows(), residence, &mut out);
                        prop_assert_eq!(bits(&out), bits(&all[start..]), "{:?}", kernel);
                    }
                    let mut out = vec![7.0; ids.len()];
                    kernel.gather(&prepared, rows, &ids, residence, &mut out);
                    prop_assert_eq!(bits(&out), bits(&gathered), "{:?}", kernel);
                }
            }
        }
    }

    #[test]
    fn the_fused_multiply_add_in_f64_is_one(a: f32, b: f32, c: f32, near in -3i32..3) {
        let ours = multiply_add_in_f64(a, b, c);
        prop_assert!(ours.to_bits() == a.mul_add(b, c).to_bits() || ours.is_nan() && a.mul_add(b, c).is_nan());
        // Where the product all but cancels, or sits at a rounding boundary of the sum.
        for c in [-(a * b), a * b * 2f32.powi(24 + near), a * b * 2f32.powi(-24 + near), f32::from_bits(c.to_bits() & 7)] {
            let ours = multiply_add_in_f64(a, b, c);
            prop_assert!(ours.to_bits() == a.mul_add(b, c).to_bits() || ours.is_nan() && a.mul_add(b, c).is_nan());
        }
    }
}

#[test]
fn the_longest_vectors_are_right() {
    let dim = 32_768;
    let a: Vec<f32> = (0..dim).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    let b: Vec<f32> = (0..dim).map(|i| ((i * 53 % 97) as f32 - 48.0) / 32.0).collect();
    for metric in Metric::ALL {
        let got = distance(metric, &a, &b).unwrap();
        assert!(is_right(metric, &a, &b, got), "{metric} {got}");
        let expected: Vec<u32> = kernels(metric)
            .iter()
            .map(|kernel| {
                let mut out = [0.0];
                kernel.range(&kernel.prepare(&a), Matrix::new(&b, dim).unwrap(), 0..1, Residence::Memory, &mut out);
                out[0].to_bits()
            })
            .collect();
        assert!(expected.iter().all(|&bits| bits == got.to_bits()));
    }
}

#[test]
fn huge_vectors_have_distances() {
    let (huge, mixed) = ([f32::MAX; 40], [[f32::MAX, -f32::MAX]; 20]);
    let mixed = mixed.as_flattened();
    // inf − inf on the way, yet the products cancel.
    assert_eq!(distance(Metric::InnerProduct, &huge, mixed), Some(0.0));
    assert_eq!(distance(Metric::InnerProduct, &huge, &huge), Some(f32::NEG_INFINITY));
    assert_eq!(distance(Metric::Cosine, &huge, &huge), Some(0.0));
    assert_eq!(distance(Metric::Cosine, &huge, mixed), Some(1.0));
    assert_eq!(distance(Metric::L2, &huge, mixed), Some(f32::INFINITY));
    assert_eq!(distance(Metric::L1, &huge, mixed), Some(f32::INFINITY));
    // The squares overflow, the distance does not.
    assert_eq!(distance(Metric::L2, &[3e30, 0.0], &[0.0, 4e30]), Some(5e30));
}

#[test]
fn tiny_vectors_are_no_zero_vectors() {
    assert_eq!(distance(Metric::Cosine, &[1e-40, 0.0], &[0.0, 1e-40]), Some(1.0));
    assert_eq!(distance(Metric::Cosine, &[1e-40, 0.0], &[1e38, 0.0]), Some(0.0));
    assert_eq!(distance(Metric::L2, &[3e-30, 0.0], &[0.0, 4e-30]), Some(5e-30));
    assert_eq!(distance(Metric::InnerProduct, &[1e-40], &[1e-40]).map(f32::to_bits), Some(0));
}

#[test]
fn zero_vectors_have_every_distance_but_cosine() {
    let (zero, one) = ([0.0; 19], [1.0; 19]);
    assert_eq!(distance(Metric::Cosine, &zero, &one), None);
    assert_eq!(distance(Metric::Cosine, &one, &zero), None);
    assert_eq!(distance(Metric::Cosine, &zero, &zero), None);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
        assert_eq!(distance(metric, &zero, &zero).map(f32::to_bits), Some(0), "{metric} has +0");
    }
    assert_eq!(distance(Metric::InnerProduct, &zero, &[-1.0; 19]).map(f32::to_bits), Some(0));
}

#[test]
fn cosine_stays_within_its_bounds() {
    for dim in 1..200 {
        let a: Vec<f32> = (0..dim).map(|i| (i as f32 * 0.7).sin() + 0.1).collect();
        let scaled: Vec<f32> = a.iter().map(|x| x * 3.3).collect();
        let opposite: Vec<f32> = a.iter().map(|x| -x).collect();
        assert_eq!(distance(Metric::Cosine, &a, &a).map(f32::to_bits), Some(0));
        assert_eq!(distance(Metric::Cosine, &a, &opposite), Some(2.0));
        let near = distance(Metric::Cosine, &a, &scaled).unwrap();
        assert!((0.0..1e-6).contains(&near), "{dim}: {near}");
    }
}

#[test]
fn values_that_are_no_numbers_do_no_harm() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for metric in Metric::ALL {
            let mut a = [1.0; 21];
            a[20] = wrong;
            let got = distance(metric, &a, &[1.0; 21]);
            assert!(got.is_none_or(f32::is_infinite), "{metric} {wrong} {got:?}");
        }
    }
}

#[test]
fn a_prefetch_of_rows_that_do_not_exist_is_harmless() {
    let kernel = F32Kernel::new(Metric::L2);
    let rows = Matrix::new(&[1.0; 40], 20).unwrap();
    [0, 1, 2, 1 << 40, usize::MAX].into_iter().for_each(|row| kernel.prefetch(rows, row));
}
