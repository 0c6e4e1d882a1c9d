//! The kernels over i8 rows: integer products where a metric is made of them, f32 lanes for L1.

use std::{borrow::Cow, marker::PhantomData, ops::Range};

use super::{
    DistanceKernel, F32Query, I8Rows, InstructionSet, Residence,
    driver::{self, Neighbours, Pick},
    floats::{self, Left, Stored},
    integers::{Integers, PortableIntegers, STEP},
    lanes::Lanes,
    prefetch,
    products::{Bytes, Cosine, InnerProduct, L2, Length, Meaning, Products, Source, Words},
    rows::ScalePlace,
};
use crate::Metric;

/// Distances from queries to i8 rows.
///
/// The rows are taken as what they decode to. A query becomes integers of up to 16 bits, of so many that sums stay within
/// 32 bits: about 15 bits up to 512 dimensions, 10 at 16,384; its rounding is small beside that of the rows. Under L1 it
/// stays f32, and distances have the very bits of the f32 distances to the decoded rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct I8Kernel {
    metric: Metric,
    instructions: InstructionSet,
}

/// A query as I8 rows are compared with it.
#[derive(Debug, Clone)]
pub struct I8Query<'q> {
    floats: F32Query<'q>,
    /// The query's integers, zeros to the end of the last step. Empty under L1.
    words: Vec<i16>,
    length: Length,
}

/// The codes of rows as f32 lanes.
#[derive(Clone, Copy)]
struct Codes(ScalePlace);

impl Stored for Codes {
    const BYTES: usize = 1;

    #[inline(always)]
    unsafe fn scale<L: Lanes>(self, vector: *const u8) -> L {
        // SAFETY: as the trait says.
        unsafe { L::all(self.0.scale(vector)) }
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(vector: *const u8, at: usize, scale: L) -> L {
        // SAFETY: as the trait says.
        unsafe { L::load_bytes(vector.cast::<i8>().add(at)).mul(scale) }
    }

    #[inline(always)]
    unsafe fn load_first<L: Lanes>(vector: *const u8, at: usize, count: usize, scale: L) -> L {
        // SAFETY: as the trait says.
        unsafe { L::load_first_bytes(vector.cast::<i8>().add(at), count).mul(scale) }
    }

    unsafe fn values<'v>(self, vector: *const u8, dim: usize) -> Cow<'v, [f32]> {
        // SAFETY: the caller promises a row of `dim` codes.
        let (scale, codes) = unsafe { (self.0.scale(vector), std::slice::from_raw_parts(vector.cast::<i8>(), dim)) };
        codes.iter().map(|&code| f32::from(code) * scale).collect()
    }
}

impl I8Kernel {
    /// The kernel of a metric with the fastest instructions this machine has.
    pub fn new(metric: Metric) -> Self {
        Self { metric, instructions: InstructionSet::detect() }
    }

    /// The kernel of a metric with certain instructions, or `None` where the machine lacks them. The results are the same.
    pub fn with_instructions(metric: Metric, instructions: InstructionSet) -> Option<Self> {
        instructions.is_available().then_some(Self { metric, instructions })
    }

    fn run<P: Pick>(&self, query: &I8Query<'_>, rows: I8Rows<'_>, pick: P, residence: Residence, out: &mut [f32]) {
        let floats = &query.floats;
        assert_eq!(floats.values.len(), rows.dim, "the query and the rows differ in dimension");
        let strided = rows.strided();
        if self.metric == Metric::L1 {
            let kind = (Metric::L1, self.instructions);
            // SAFETY: the lengths agree, and a kernel is only made with instructions the machine was asked for.
            unsafe { floats::run(kind, floats.left(), (Codes(rows.place), strided), pick, residence, out) };
            return;
        }
        assert!(query.words.len() >= rows.dim.next_multiple_of(STEP), "the query was prepared for another metric");
        // SAFETY: as above; there are integers to the end of the last step.
        unsafe { self.products(Words(query.words.as_ptr(), query.length), rows, pick, residence, out) };
    }

    /// Chooses the sums.
    ///
    /// # Safety
    /// The left vector can be read to the end of the step that the rows' last component lies in, and the machine has the
    /// instructions.
    unsafe fn products<Q: Source, P: Pick>(
        &self,
        left: Q,
        rows: I8Rows<'_>,
        pick: P,
        residence: Residence,
        out: &mut [f32],
    ) {
        // SAFETY: as this function's own.
        unsafe {
            match self.metric {
                Metric::L2 => self.products_of::<L2, Q, P>(left, rows, pick, residence, out),
                Metric::Cosine => self.products_of::<Cosine, Q, P>(left, rows, pick, residence, out),
                // L1 is no sum of products; it has gone the other way.
                Metric::InnerProduct | Metric::L1 => {
                    self.products_of::<InnerProduct, Q, P>(left, rows, pick, residence, out)
                }
            }
        }
    }

    /// Chooses the instructions.
    ///
    /// # Safety
    /// As for [`I8Kernel::products`].
    unsafe fn products_of<M: Meaning, Q: Source, P: Pick>(
        &self,
        left: Q,
        rows: I8Rows<'_>,
        pick: P,
        residence: Residence,
        out: &mut [f32],
    ) {
        fn by<I: Integers, M: Meaning, Q: Source>(left: Q, rows: I8Rows<'_>) -> Products<I, M, Q> {
            Products { left, dim: rows.dim, place: rows.place, by: PhantomData }
        }
        let strided = rows.strided();
        // SAFETY: as this function's own; plain Rust needs no instructions.
        unsafe {
            match self.instructions {
                InstructionSet::Portable => {
                    driver::run(by::<PortableIntegers, M, Q>(left, rows), strided, pick, residence, out)
                }
                // AVX-512 machines have AVX2.
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx2 | InstructionSet::Avx512 => {
                    let compare = by::<super::avx2::Avx2Integers, M, Q>(left, rows);
                    super::avx2::run(compare, strided, pick, residence, out)
                }
                // Kernels with these instructions are not made on other machines.
                #[cfg(not(target_arch = "x86_64"))]
                InstructionSet::Avx2 | InstructionSet::Avx512 => {
                    driver::run(by::<PortableIntegers, M, Q>(left, rows), strided, pick, residence, out)
                }
            }
        }
    }
}

/// The integer nearest to a value below 2⁵¹, of two equally near ones the even one.
#[inline(always)]
pub(crate) fn nearest(value: f64) -> f64 {
    /// 1.5 · 2⁵²: a sum with it has no room for a fraction. Two additions, where a call to `round` would not be vectorised.
    const NO_FRACTION: f64 = 6755399441055744.0;
    (value + NO_FRACTION) - NO_FRACTION
}

/// The query's integers and what is known of them as a whole.
fn integers(query: &[f32]) -> (Vec<i16>, Length) {
    // Codes are at least −128, also in a file that was tampered with.
    let largest = (i32::MAX as usize / 128 / query.len().max(1)).clamp(1, i16::MAX as usize) as f64;
    let mut words = vec![0; query.len().next_multiple_of(STEP)];
    if !query.iter().all(|component| component.is_finite()) {
        return (words, Length { scale: f64::NAN, square: f64::NAN });
    }
    let max = f64::from(query.iter().fold(0.0, |max: f32, component| max.max(component.abs())));
    if max == 0.0 {
        return (words, Length { scale: 0.0, square: 0.0 });
    }
    let scale = max / largest;
    for (word, &component) in words.iter_mut().zip(query) {
        *word = nearest(f64::from(component) / scale) as i16;
    }
    // A sum of integers below 2⁵³.
    let square = words.iter().map(|&word| f64::from(word) * f64::from(word)).sum();
    (words, Length { scale, square })
}

impl DistanceKernel for I8Kernel {
    type Query<'q> = I8Query<'q>;
    type Rows<'r> = I8Rows<'r>;

    fn metric(&self) -> Metric {
        self.metric
    }

    fn prepare<'q>(&self, query: &'q [f32]) -> I8Query<'q> {
        // L1 asks for no squared length, and for the other metrics it is that of the integers.
        let floats = F32Query { values: query, norm_squared: 0.0 };
        let (words, length) = if self.metric == Metric::L1 { Default::default() } else { integers(query) };
        I8Query { floats, words, length }
    }

    fn fits(&self, query: &I8Query<'_>, rows: I8Rows<'_>) -> bool {
        query.floats.values.len() == rows.dim
    }

    fn rows(&self, rows: I8Rows<'_>) -> usize {
        rows.rows
    }

    fn row_bytes(&self, rows: I8Rows<'_>) -> usize {
        rows.stride
    }

    fn range(&self, query: &I8Query<'_>, rows: I8Rows<'_>, range: Range<usize>, residence: Residence, out: &mut [f32]) {
        self.run(query, rows, Neighbours::from(range), residence, out);
    }

    fn gather(&self, query: &I8Query<'_>, rows: I8Rows<'_>, ids: &[u32], residence: Residence, out: &mut [f32]) {
        self.run(query, rows, ids, residence, out);
    }

    fn gather_from(&self, rows: I8Rows<'_>, row: u32, ids: &[u32], residence: Residence, out: &mut [f32]) {
        let strided = rows.strided();
        let vector = strided.row(row as usize);
        // SAFETY: all are rows of one length, readable to the end of the last step, and a kernel is only made with
        // instructions the machine was asked for.
        unsafe {
            if self.metric == Metric::L1 {
                let stored = Codes(rows.place);
                let left = Left { vector, dim: rows.dim, norm_squared: 0.0, stored };
                floats::run((Metric::L1, self.instructions), left, (stored, strided), ids, residence, out);
            } else {
                self.products(Bytes(vector, rows.place), rows, ids, residence, out);
            }
        }
    }

    fn prefetch(&self, rows: I8Rows<'_>, row: usize) {
        prefetch::row(rows.bytes.as_ptr(), row, rows.stride);
    }
}
