//! The encodings against their own description, and the kernels over them against f64 and against each other.

mod edges;

use proptest::prelude::*;

use super::*;
use crate::{
    DistanceKernel, F16Kernel, F32Kernel, I8Kernel, InstructionSet, Matrix, Metric, Residence,
    kernel::{half, rows::ScalePlace},
};

/// Encoded vectors that own their bytes.
struct Encoded {
    layout: CodesLayout,
    bytes: Vec<u8>,
}

fn encoded(quantizer: Quantizer, metric: Metric, vectors: Matrix<'_>) -> Encoded {
    let layout = CodesLayout::fit(quantizer, metric, vectors).unwrap();
    let mut bytes = vec![0xaa; layout.bytes()];
    layout.encode(vectors, &mut bytes);
    Encoded { layout, bytes }
}

impl Encoded {
    /// The scale of an i8 row, by the drawing in `kernel/rows.rs`.
    fn scale(&self, row: usize) -> f32 {
        let row = &self.bytes[row * self.layout.stride()..][..self.layout.stride()];
        let bits = match ScalePlace::of(self.layout.metric(), self.layout.dim()) {
            ScalePlace::None => return 1.0,
            ScalePlace::Behind(at) => u16::from_le_bytes([row[at], row[at + 1]]),
            ScalePlace::Bits => (0..16).map(|i| u16::from(row[i] & 1) << i).sum(),
        };
        f32::from_bits(u32::from(bits) << 16)
    }

    /// What all rows decode to.
    fn decoded(&self) -> Vec<f32> {
        let (stride, dim) = (self.layout.stride(), self.layout.dim());
        let component = |row: usize, at: usize| match self.layout.quantizer() {
            Quantizer::F32 => unreachable!("not encoded"),
            Quantizer::F16 => {
                let from = row * stride + 2 * at;
                half::to_f32(u16::from_le_bytes([self.bytes[from], self.bytes[from + 1]]))
                    * 2f32.powi(self.layout.exponent())
            }
            Quantizer::I8 => f32::from(self.bytes[row * stride + at] as i8) * self.scale(row),
        };
        (0..self.layout.rows()).flat_map(|row| (0..dim).map(move |at| component(row, at))).collect()
    }

    fn codes<'a>(&'a self, vectors: Matrix<'a>) -> Codes<'a> {
        Codes::new(&self.layout, &self.bytes, vectors).unwrap()
    }
}

/// All distances that a kernel gives, checked to be the same by every way there is: bits of query to rows, of row to row.
fn bits<K: DistanceKernel>(kernel: &K, rows: K::Rows<'_>, query: &[f32]) -> (Vec<u32>, Vec<u32>) {
    let count = kernel.rows(rows);
    let query = kernel.prepare(query);
    assert!(kernel.fits(&query, rows));
    let mut all = vec![7.0; count];
    kernel.range(&query, rows, 0..count, Residence::Memory, &mut all);
    let same = |out: &[f32], rows: &[u32]| {
        assert!(out.iter().zip(rows).all(|(got, &row)| got.to_bits() == all[row as usize].to_bits()), "{kernel:?}")
    };
    for start in 0..count.min(5) {
        let ids: Vec<u32> = (start as u32..count as u32).rev().collect();
        let mut out = vec![7.0; ids.len()];
        for residence in [Residence::Memory, Residence::Cache] {
            kernel.gather(&query, rows, &ids, residence, &mut out);
            same(&out, &ids);
        }
        kernel.range(&query, rows, start..count, Residence::Cache, &mut out);
        out.reverse();
        same(&out, &ids);
        kernel.ranges(std::slice::from_ref(&query), rows, start..count, &mut out);
        out.reverse();
        same(&out, &ids);
    }
    (0..count + 2).for_each(|row| kernel.prefetch(rows, row));
    let pairs = (0..count as u32).flat_map(|a| (0..count as u32).map(move |b| (a, b)));
    let between = pairs.map(|(a, b)| kernel.between(rows, a, b).to_bits()).collect();
    (all.into_iter().map(f32::to_bits).collect(), between)
}

/// [`bits`] of a matrix of f32 rows; of row to row too, by taking rows for queries.
fn f32_bits(metric: Metric, rows: Matrix<'_>, query: &[f32]) -> (Vec<u32>, Vec<u32>) {
    bits(&F32Kernel::new(metric), rows, query)
}

struct Bits<'a>(&'a [f32]);

impl WithKernel for Bits<'_> {
    type Output = (Vec<u32>, Vec<u32>);

    fn run<K: DistanceKernel>(self, kernel: &K, rows: K::Rows<'_>) -> Self::Output {
        bits(kernel, rows, self.0)
    }
}

/// The distances from a query to all rows.
struct Distances<'a>(&'a [f32]);

impl WithKernel for Distances<'_> {
    type Output = Vec<f32>;

    fn run<K: DistanceKernel>(self, kernel: &K, rows: K::Rows<'_>) -> Vec<f32> {
        let mut out = vec![0.0; kernel.rows(rows)];
        kernel.range(&kernel.prepare(self.0), rows, 0..out.len(), Residence::Cache, &mut out);
        out
    }
}

/// [`bits`] by every instruction set, which must agree.
fn bits_everywhere(encoded: &Encoded, query: &[f32], vectors: Matrix<'_>) -> (Vec<u32>, Vec<u32>) {
    let (layout, metric) = (&encoded.layout, encoded.layout.metric());
    let found = encoded.codes(vectors).dispatch(Bits(query));
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        let (rows, dim) = (layout.rows(), layout.dim());
        let again = if layout.quantizer() == Quantizer::F16 {
            let rows = crate::F16Rows::new(&encoded.bytes, rows, dim, 2f32.powi(layout.exponent()));
            bits(&F16Kernel::with_instructions(metric, instructions).unwrap(), rows, query)
        } else {
            let rows = crate::I8Rows::new(metric, &encoded.bytes, rows, dim);
            bits(&I8Kernel::with_instructions(metric, instructions).unwrap(), rows, query)
        };
        assert!(again == found, "{metric} {instructions}");
    }
    found
}

/// Components of one size; integers; of one size times a power of two up to the ends of the range; any finite numbers.
fn component() -> impl Strategy<Value = BoxedStrategy<f32>> {
    prop_oneof![
        3 => Just((-1.0f32..1.0).boxed()),
        1 => Just((-127i8..127).prop_map(f32::from).boxed()),
        1 => (-149i32..128).prop_map(|power| (-1.0f32..1.0).prop_map(move |x| x * 2f32.powi(power)).boxed()),
        1 => Just(any::<f32>().prop_filter("finite", |x| x.is_finite()).boxed()),
    ]
}

/// A query and up to eight rows; now and then a row is all zeros, constant, or the query itself.
fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let dim = prop_oneof![
        6 => 1usize..70,
        2 => 70usize..400,
        1 => prop::sample::select(vec![62usize, 63, 64, 65, 128, 384, 784, 1024, 4096]),
    ];
    (dim, 0usize..9, component(), component()).prop_flat_map(|(dim, rows, ours, theirs)| {
        let kinds = prop::collection::vec(0u8..12, rows);
        let query = prop::collection::vec(ours, dim);
        (query, prop::collection::vec(theirs, dim * rows), kinds).prop_map(move |(query, mut data, kinds)| {
            for (row, kind) in data.chunks_mut(dim).zip(kinds) {
                match kind {
                    0 => row.fill(0.0),
                    1 => row.fill(row[0]),
                    2 => row.copy_from_slice(&query),
                    _ => {}
                }
            }
            (query, data)
        })
    })
}

/// The distance by the book, in f64, and how much it may differ if the query was rounded to `levels` steps.
fn truth(metric: Metric, query: &[f32], row: &[f32], levels: f64) -> (f64, f64) {
    let pairs = || query.iter().zip(row).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    let squares: (f64, f64) = (pairs().map(|(a, _)| a * a).sum(), pairs().map(|(_, b)| b * b).sum());
    let half_step = pairs().map(|(a, _)| a.abs()).fold(0.0, f64::max) / levels / 2.0;
    let moved = half_step * (query.len() as f64).sqrt();
    match metric {
        Metric::L2 => {
            let lengths = squares.0.sqrt() + squares.1.sqrt();
            (pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(), moved + 1e-7 * lengths)
        }
        Metric::InnerProduct => (-product, moved * squares.1.sqrt()),
        Metric::Cosine => (1.0 - product / (squares.0 * squares.1).sqrt(), 2.0 * moved / squares.0.sqrt() + 1e-12),
        Metric::L1 => unreachable!("the query is not rounded"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn halves_have_the_distances_of_what_they_decode_to((query, data) in vectors()) {
        let vectors = Matrix::new(&data, query.len()).unwrap();
        for metric in Metric::ALL {
            let encoded = encoded(Quantizer::F16, metric, vectors);
            let decoded = encoded.decoded();
            let expected = f32_bits(metric, Matrix::new(&decoded, query.len()).unwrap(), &query);
            prop_assert_eq!(bits_everywhere(&encoded, &query, vectors), expected, "{}", metric);
        }
    }

    #[test]
    fn bytes_have_the_distances_of_what_they_decode_to((query, data) in vectors()) {
        let dim = query.len();
        let vectors = Matrix::new(&data, dim).unwrap();
        for metric in Metric::ALL {
            let encoded = encoded(Quantizer::I8, metric, vectors);
            let decoded = encoded.decoded();
            let decoded = Matrix::new(&decoded, dim).unwrap();
            let found = bits_everywhere(&encoded, &query, vectors);
            if metric == Metric::L1 {
                prop_assert_eq!(found, f32_bits(metric, decoded, &query));
                continue;
            }
            let levels = (f64::from(i32::MAX) / 128.0 / dim as f64).floor().min(32767.0);
            let near = |bits: u32, a: &[f32], b: &[f32], levels: f64| {
                let (got, (want, tolerance)) = (f32::from_bits(bits), truth(metric, a, b, levels));
                let tolerance = tolerance + want.abs() * 1e-7 + 1e-45;
                let beyond = want.abs() + tolerance >= f64::from(f32::MAX) && f64::from(got) * want > 0.0;
                want.is_nan() && got.is_nan() || (f64::from(got) - want).abs() <= tolerance || beyond && got.is_infinite()
            };
            for row in 0..vectors.rows() {
                prop_assert!(near(found.0[row], &query, decoded.row(row), levels), "{} {}", metric, row);
                for other in 0..vectors.rows() {
                    let between = found.1[other * vectors.rows() + row];
                    prop_assert!(near(between, decoded.row(other), decoded.row(row), f64::INFINITY));
                }
            }
            prop_assert!(found.0.iter().chain(&found.1).all(|&bits| bits != (-0.0f32).to_bits()));
        }
    }

    #[test]
    fn components_are_rounded_to_their_step((_, data) in vectors(), dim in 1usize..9) {
        let data = &data[..data.len() / dim * dim];
        let vectors = Matrix::new(data, dim).unwrap();
        for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct, Metric::L1] {
            let bytes = encoded(Quantizer::I8, metric, vectors);
            let decoded = bytes.decoded();
            for row in 0..vectors.rows() {
                let largest = vectors.row(row).iter().fold(0.0f32, |max, x| max.max(x.abs()));
                // Under cosine the largest component becomes 127.
                let length = if metric == Metric::Cosine && largest > 0.0 { f64::from(largest) / 127.0 } else { 1.0 };
                // Half a step, of a scale that is rounded up to eight binary digits or, near zero, to units of 2⁻¹³³.
                let half_step = (f64::from(largest) / 127.0 * (1.0 + 2f64.powi(-7)) + 2f64.powi(-133)) / 2.0;
                // Near the end of the range a scale is rounded down, lest 127 of them be infinite.
                let half_step = half_step * if largest > 3.3e38 { 2.0 } else { 1.0 };
                for (&x, &code) in vectors.row(row).iter().zip(&decoded[row * dim..]) {
                    let error = (f64::from(x) - f64::from(code) * length).abs();
                    prop_assert!(error <= half_step * 1.000_001, "{} {} {}", metric, x, code);
                }
            }
        }
    }
}
