//! The kernels over f16 rows: those of f32, with halves becoming f32 as they are loaded.

use std::{borrow::Cow, ops::Range};

use super::{
    DistanceKernel, F16Rows, F32Query, InstructionSet, Residence,
    driver::{Neighbours, Pick},
    floats::{self, Left, Stored},
    half,
    lanes::Lanes,
    prefetch,
};
use crate::Metric;

/// Distances from f32 queries to f16 rows: with the very bits of the f32 distances to what the rows decode to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct F16Kernel {
    metric: Metric,
    instructions: InstructionSet,
}

/// Halves times a power of two, which multiplies exactly. Most segments need none (`SCALED` is false).
#[derive(Clone, Copy)]
struct Halves<const SCALED: bool>(f32);

impl<const SCALED: bool> Stored for Halves<SCALED> {
    const BYTES: usize = size_of::<u16>();

    #[inline(always)]
    unsafe fn scale<L: Lanes>(self, _: *const u8) -> L {
        // SAFETY: as the trait says.
        unsafe { L::all(self.0) }
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(vector: *const u8, at: usize, scale: L) -> L {
        // SAFETY: as the trait says.
        unsafe {
            let values = L::load_halves(vector.cast::<u16>().add(at));
            if SCALED { values.mul(scale) } else { values }
        }
    }

    #[inline(always)]
    unsafe fn load_first<L: Lanes>(vector: *const u8, at: usize, _: usize, scale: L) -> L {
        // Rows are filled up with zeros to whole steps.
        // SAFETY: as the trait says.
        unsafe { Self::load(vector, at, scale) }
    }

    unsafe fn values<'v>(self, vector: *const u8, dim: usize) -> Cow<'v, [f32]> {
        let halves = vector.cast::<u16>();
        // SAFETY: the caller promises `dim` halves.
        (0..dim).map(|at| half::to_f32(u16::from_le(unsafe { halves.add(at).read_unaligned() })) * self.0).collect()
    }
}

impl F16Kernel {
    /// The kernel of a metric with the fastest instructions this machine has.
    pub fn new(metric: Metric) -> Self {
        Self { metric, instructions: InstructionSet::detect() }
    }

    /// The kernel of a metric with certain instructions, or `None` where the machine lacks them. The results are the same.
    pub fn with_instructions(metric: Metric, instructions: InstructionSet) -> Option<Self> {
        instructions.is_available().then_some(Self { metric, instructions })
    }

    fn run<P: Pick>(&self, query: &F32Query<'_>, rows: F16Rows<'_>, pick: P, residence: Residence, out: &mut [f32]) {
        assert_eq!(query.values.len(), rows.dim, "the query and the rows differ in dimension");
        let (kind, left, strided) = ((self.metric, self.instructions), query.left(), rows.strided());
        // SAFETY: the lengths agree, and a kernel is only made with instructions the machine was asked for.
        unsafe {
            if rows.scale == 1.0 {
                floats::run(kind, left, (Halves::<false>(1.0), strided), pick, residence, out);
            } else {
                floats::run(kind, left, (Halves::<true>(rows.scale), strided), pick, residence, out);
            }
        }
    }
}

impl DistanceKernel for F16Kernel {
    type Query<'q> = F32Query<'q>;
    type Rows<'r> = F16Rows<'r>;

    fn metric(&self) -> Metric {
        self.metric
    }

    fn prepare<'q>(&self, query: &'q [f32]) -> F32Query<'q> {
        F32Query::new(self.metric, self.instructions, query)
    }

    fn fits(&self, query: &F32Query<'_>, rows: F16Rows<'_>) -> bool {
        query.values.len() == rows.dim
    }

    fn rows(&self, rows: F16Rows<'_>) -> usize {
        rows.rows
    }

    fn row_bytes(&self, rows: F16Rows<'_>) -> usize {
        rows.stride()
    }

    fn range(
        &self,
        query: &F32Query<'_>,
        rows: F16Rows<'_>,
        range: Range<usize>,
        residence: Residence,
        out: &mut [f32],
    ) {
        self.run(query, rows, Neighbours::from(range), residence, out);
    }

    fn gather(&self, query: &F32Query<'_>, rows: F16Rows<'_>, ids: &[u32], residence: Residence, out: &mut [f32]) {
        self.run(query, rows, ids, residence, out);
    }

    fn gather_from(&self, rows: F16Rows<'_>, row: u32, ids: &[u32], residence: Residence, out: &mut [f32]) {
        let (stored, strided) = (Halves::<true>(rows.scale), rows.strided());
        let mut left = Left { vector: strided.row(row as usize), dim: rows.dim, norm_squared: 0.0, stored };
        // SAFETY: all are rows of one length, and a kernel is only made with instructions the machine was asked for.
        unsafe {
            if self.metric == Metric::Cosine {
                left.norm_squared = floats::norm_squared(self.instructions, left, strided, row as usize);
            }
            floats::run((self.metric, self.instructions), left, (stored, strided), ids, residence, out);
        }
    }

    fn prefetch(&self, rows: F16Rows<'_>, row: usize) {
        prefetch::row(rows.bytes.as_ptr(), row, rows.stride());
    }
}
