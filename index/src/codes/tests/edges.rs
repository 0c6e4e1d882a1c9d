//! Vectors at the edges of what encodings can hold, and shapes that do not fit.

use super::*;
use crate::{Error, Hit};

/// Vectors whose scale has to go into their codes.
fn sixty_four(seed: u32, rows: usize) -> Vec<f32> {
    (0..64 * rows as u32)
        .map(|i| ((i.wrapping_mul(2654435761).wrapping_add(seed) >> 8) % 2001) as f32 / 1000.0 - 1.0)
        .collect()
}

#[test]
fn codes_that_carry_a_bit_are_less_than_a_step_off() {
    let data = sixty_four(1, 200);
    let vectors = Matrix::new(&data, 64).unwrap();
    let encoded = encoded(Quantizer::I8, Metric::L2, vectors);
    assert_eq!(encoded.layout.stride(), 64);
    for (at, (x, code)) in data.iter().zip(encoded.decoded()).enumerate() {
        let step = encoded.scale(at / 64);
        // Where the largest component must carry a zero, 126 stands for 127.
        let most = if at % 64 < 16 { 1.0 } else { 0.5 };
        assert!((x - code).abs() <= step * most * 1.0001, "{at}: {x} {code}");
    }
}

#[test]
fn exact_halves_keep_every_distance() {
    let dim = 50;
    let data: Vec<f32> = sixty_four(2, 50).iter().map(|&x| half::to_f32(half::from_f32(x * 0.2))).collect();
    let (query, vectors) = (&data[..dim], Matrix::new(&data, dim).unwrap());
    for metric in [Metric::L2, Metric::InnerProduct, Metric::L1] {
        let encoded = encoded(Quantizer::F16, metric, vectors);
        assert_eq!(encoded.layout.exponent(), 0);
        assert_eq!(bits_everywhere(&encoded, query, vectors), f32_bits(metric, vectors, query));
    }
}

#[test]
fn exact_bytes_keep_the_order() {
    // Every row has a component of 127, so that its scale is 1.
    let (dim, rows) = (130, 60);
    let data: Vec<f32> =
        (0..dim * rows).map(|i| if i % dim == 0 { 127.0 } else { (i * i % 251) as f32 - 125.0 }).collect();
    let vectors = Matrix::new(&data, dim).unwrap();
    for metric in Metric::ALL {
        let encoded = encoded(Quantizer::I8, metric, vectors);
        assert_eq!(encoded.decoded(), data);
        let order = |bits: Vec<u32>| {
            let hit = |(row, bits)| Hit { distance: f32::from_bits(bits), row: row as u32 };
            let mut hits: Vec<Hit> = bits.into_iter().enumerate().map(hit).collect();
            hits.sort();
            hits.into_iter().map(|hit| hit.row).collect::<Vec<_>>()
        };
        let found = bits_everywhere(&encoded, vectors.row(7), vectors);
        assert_eq!(order(found.0), order(f32_bits(metric, vectors, vectors.row(7)).0), "{metric}");
    }
}

#[test]
fn zero_vectors_have_every_distance_but_cosine() {
    for dim in [1, 19, 64, 384] {
        let mut data = vec![0.0; dim * 3];
        data[2 * dim..].fill(1.5);
        let vectors = Matrix::new(&data, dim).unwrap();
        for (quantizer, metric) in [Quantizer::F16, Quantizer::I8]
            .into_iter()
            .flat_map(|quantizer| Metric::ALL.map(|metric| (quantizer, metric)))
        {
            let encoded = encoded(quantizer, metric, vectors);
            let (from_zero, between) = bits_everywhere(&encoded, &data[..dim], vectors);
            let undefined = f32::NAN.to_bits();
            if metric == Metric::Cosine {
                assert_eq!(from_zero, [undefined; 3]);
                assert_eq!(between, [[undefined; 8].as_slice(), &[0]].concat());
            } else {
                assert_eq!((from_zero[0], between[0], between[4]), (0, 0, 0), "{quantizer} {metric}");
            }
        }
    }
}

#[test]
fn the_ends_of_the_range_are_navigable() {
    // Each row is nearest to itself, as far as codes can tell.
    let sizes = [1e-38f32, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 3e38];
    for (dim, quantizer) in [(3, Quantizer::I8), (64, Quantizer::I8), (3, Quantizer::F16), (64, Quantizer::F16)] {
        for &size in &sizes {
            let data: Vec<f32> =
                (0..40 * dim).map(|i| size * (((i * 31 + i / dim * 17) % 101) as f32 / 101.0)).collect();
            let vectors = Matrix::new(&data, dim).unwrap();
            for metric in [Metric::L2, Metric::Cosine, Metric::L1] {
                let encoded = encoded(quantizer, metric, vectors);
                for row in 1..40 {
                    let found = encoded.codes(vectors).dispatch(Distances(vectors.row(row)));
                    let nearest = found.iter().copied().fold(f32::INFINITY, f32::min);
                    let allowed = nearest * 1.01 + size * 0.02 * dim as f32;
                    assert!(found[row] <= allowed, "{quantizer} {metric} {size}");
                }
            }
        }
    }
}

#[test]
fn a_few_rows_beyond_all_bounds_do_not_cost_the_others_their_digits() {
    let mut data = sixty_four(3, 100);
    data[..64].fill(1e30);
    let vectors = Matrix::new(&data, 64).unwrap();
    let encoded = encoded(Quantizer::F16, Metric::L2, vectors);
    let decoded = encoded.decoded();
    assert!(
        data[64..]
            .iter()
            .zip(&decoded[64..])
            .all(|(x, code)| (x - code).abs() <= x.abs().max(2f32.powi(-8)) * 2f32.powi(-11))
    );
    assert!(decoded[..64].iter().all(|&code| code.is_finite() && code > 1e5));
}

#[test]
fn queries_that_are_no_numbers_do_no_harm() {
    let data = sixty_four(4, 5);
    let vectors = Matrix::new(&data, 64).unwrap();
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut query = data[..64].to_vec();
        query[63] = wrong;
        for metric in Metric::ALL {
            for quantizer in [Quantizer::F16, Quantizer::I8] {
                let found = bits_everywhere(&encoded(quantizer, metric, vectors), &query, vectors).0;
                assert!(found.iter().all(|&bits| !f32::from_bits(bits).is_finite()), "{quantizer} {metric} {wrong}");
            }
        }
    }
}

#[test]
fn the_longest_vectors_do_not_overflow() {
    for dim in [16_384, CodesLayout::MAX_DIM] {
        let data = vec![-1.0; dim];
        let vectors = Matrix::new(&data, dim).unwrap();
        for (metric, distance) in
            [(Metric::L2, 2.0 * (dim as f32).sqrt()), (Metric::Cosine, 2.0), (Metric::InnerProduct, dim as f32)]
        {
            let found = bits_everywhere(&encoded(Quantizer::I8, metric, vectors), &vec![1.0; dim], vectors).0;
            let got = f32::from_bits(found[0]);
            assert!((got - distance).abs() <= distance * 0.01, "{metric} {got}");
        }
    }
}

#[test]
fn any_bytes_are_codes() {
    // As they may come from a file that was tampered with: distances are anything, but the same everywhere.
    for dim in [1, 5, 30, 64, 100, 384] {
        let vectors = vec![0.5; dim * 7];
        let vectors = Matrix::new(&vectors, dim).unwrap();
        for (quantizer, metric) in [Quantizer::F16, Quantizer::I8]
            .into_iter()
            .flat_map(|quantizer| Metric::ALL.map(|metric| (quantizer, metric)))
        {
            let mut encoded = encoded(quantizer, metric, vectors);
            for seed in 0..40u32 {
                let byte = |i: usize| ((i as u32 + 1).wrapping_mul(2654435761).wrapping_mul(seed | 1) >> 21) as u8;
                encoded.bytes.iter_mut().enumerate().for_each(|(i, at)| *at = byte(i));
                bits_everywhere(&encoded, vectors.row(0), vectors);
            }
        }
    }
}

#[test]
fn shapes_are_checked() {
    let (l2, cosine) = (Metric::L2, Metric::Cosine);
    let layout = |dim, rows, exponent| CodesLayout::new(Quantizer::F16, l2, dim, rows, exponent);
    assert_eq!(layout(0, 1, 0), Err(Error::ZeroDimension));
    assert_eq!(layout(65_537, 1, 0), Err(Error::TooManyDimensions { dim: 65_537 }));
    assert_eq!(layout(1, 1 << 32, 0), Err(Error::TooManyRows { rows: 1 << 32 }));
    assert_eq!(layout(1, 1, 113), Err(Error::CodesExponent { exponent: 113 }));
    assert_eq!(CodesLayout::new(Quantizer::F16, cosine, 1, 1, 1), Err(Error::CodesExponent { exponent: 1 }));
    assert_eq!(CodesLayout::new(Quantizer::I8, l2, 1, 1, 1), Err(Error::CodesExponent { exponent: 1 }));
    let data = [1.0; 12];
    let vectors = Matrix::new(&data, 3).unwrap();
    let fitted = CodesLayout::fit(Quantizer::I8, l2, vectors).unwrap();
    assert_eq!((fitted.stride(), fitted.bytes()), (16, 64));
    assert_eq!(Codes::new(&fitted, &[0; 63], vectors).unwrap_err(), Error::CodesLength { bytes: 63, expected: 64 });
    let other = Matrix::new(&data, 4).unwrap();
    let shape = Error::VectorsShape { rows: 3, dim: 4, expected: (4, 3) };
    assert_eq!(Codes::new(&fitted, &[0; 64], other).unwrap_err(), shape);
    let plain = CodesLayout::fit(Quantizer::F32, l2, vectors).unwrap();
    assert_eq!(plain.bytes(), 0);
    assert_eq!(Codes::new(&plain, &[], vectors).unwrap().dispatch(Bits(&[1.0; 3])).0, [0; 4]);
}
