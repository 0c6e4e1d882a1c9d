//! The f32 kernels behind [`DistanceKernel`]: picks the metric's sums and the machine's instructions.

use std::ops::Range;

use super::{
    DistanceKernel, InstructionSet, Residence,
    driver::{self, Neighbours, Pick},
    lanes::{LANES, prefetch},
    portable::Portable,
    sums::{Cosine, InnerProduct, L1, L2, Sums},
};
use crate::{Matrix, Metric};

/// Distances between f32 vectors, by the fastest instructions of this machine. Cheap to make and copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct F32Kernel {
    metric: Metric,
    instructions: InstructionSet,
}

/// A query of f32 components with its squared length, which cosine needs.
#[derive(Debug, Clone, Copy)]
pub struct F32Query<'q> {
    pub(super) values: &'q [f32],
    /// Zero for metrics that do not ask for it.
    pub(super) norm_squared: f32,
}

impl F32Kernel {
    /// The kernel of a metric with the fastest instructions this machine has.
    pub fn new(metric: Metric) -> Self {
        Self { metric, instructions: InstructionSet::detect() }
    }

    /// The kernel of a metric with certain instructions, or `None` where the machine lacks them. The results are the
    /// same; tests and benchmarks tell the difference.
    pub fn with_instructions(metric: Metric, instructions: InstructionSet) -> Option<Self> {
        instructions.is_available().then_some(Self { metric, instructions })
    }

    /// The instructions it uses.
    pub fn instructions(&self) -> InstructionSet {
        self.instructions
    }

    /// Chooses the sums of the metric.
    fn run<P: Pick>(&self, query: &F32Query<'_>, rows: Matrix<'_>, pick: P, residence: Residence, out: &mut [f32]) {
        match self.metric {
            Metric::L2 => self.run_sums::<L2, P>(query, rows, pick, residence, out),
            Metric::Cosine => self.run_sums::<Cosine, P>(query, rows, pick, residence, out),
            Metric::InnerProduct => self.run_sums::<InnerProduct, P>(query, rows, pick, residence, out),
            Metric::L1 => self.run_sums::<L1, P>(query, rows, pick, residence, out),
        }
    }

    /// Chooses the instructions.
    fn run_sums<S: Sums, P: Pick>(
        &self,
        query: &F32Query<'_>,
        rows: Matrix<'_>,
        pick: P,
        residence: Residence,
        out: &mut [f32],
    ) {
        match self.instructions {
            // SAFETY: plain Rust needs no features.
            InstructionSet::Portable => unsafe { driver::run::<Portable, S, P>(query, rows, pick, residence, out) },
            // SAFETY: a kernel is only made with instructions the machine was asked for.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { super::avx2::run::<S, P>(query, rows, pick, residence, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { super::avx512::run::<S, P>(query, rows, pick, residence, out) },
            // SAFETY: plain Rust needs no features. Kernels with these instructions are not made on other machines.
            #[cfg(not(target_arch = "x86_64"))]
            InstructionSet::Avx2 | InstructionSet::Avx512 => unsafe {
                driver::run::<Portable, S, P>(query, rows, pick, residence, out)
            },
        }
    }
}

impl DistanceKernel for F32Kernel {
    type Query<'q> = F32Query<'q>;
    type Rows<'r> = Matrix<'r>;

    fn metric(&self) -> Metric {
        self.metric
    }

    fn prepare<'q>(&self, query: &'q [f32]) -> F32Query<'q> {
        let mut prepared = F32Query { values: query, norm_squared: 0.0 };
        if self.metric == Metric::Cosine
            && let Some(row) = Matrix::one_row(query)
        {
            // The negative inner product with itself: the very additions that the kernel makes for a row.
            let mut product = [0.0];
            let alone = Neighbours::from(0..1);
            self.run_sums::<InnerProduct, _>(&prepared, row, alone, Residence::Cache, &mut product);
            prepared.norm_squared = -product[0];
        }
        prepared
    }

    fn fits(&self, query: &F32Query<'_>, rows: Matrix<'_>) -> bool {
        query.values.len() == rows.dim()
    }

    fn rows(&self, rows: Matrix<'_>) -> usize {
        rows.rows()
    }

    fn row_bytes(&self, rows: Matrix<'_>) -> usize {
        rows.dim() * size_of::<f32>()
    }

    fn range(
        &self,
        query: &F32Query<'_>,
        rows: Matrix<'_>,
        range: Range<usize>,
        residence: Residence,
        out: &mut [f32],
    ) {
        self.run(query, rows, Neighbours::from(range), residence, out);
    }

    fn gather(&self, query: &F32Query<'_>, rows: Matrix<'_>, ids: &[u32], residence: Residence, out: &mut [f32]) {
        self.run(query, rows, ids, residence, out);
    }

    fn prefetch(&self, rows: Matrix<'_>, row: usize) {
        let start = rows.data().as_ptr().wrapping_add(row.wrapping_mul(rows.dim()));
        for at in (0..rows.dim()).step_by(LANES) {
            prefetch(start.wrapping_add(at));
        }
    }
}

/// The distance of two vectors of the same length; `None` if it is undefined (cosine of a zero vector).
///
/// Vectors without components or of different lengths have no distance either; checking that is the caller's.
pub fn distance(metric: Metric, a: &[f32], b: &[f32]) -> Option<f32> {
    debug_assert_eq!(a.len(), b.len(), "vectors differ in length");
    let row = Matrix::one_row(b).filter(|row| row.dim() == a.len())?;
    let kernel = F32Kernel::new(metric);
    let mut out = [f32::NAN];
    kernel.range(&kernel.prepare(a), row, 0..1, Residence::Cache, &mut out);
    (!out[0].is_nan()).then_some(out[0])
}

/// The distances from `query` to all `rows`: `out[i]` to row `i`, NaN where it is undefined.
///
/// The lengths must agree, which is the caller's to check: where they do not, what cannot be computed is NaN.
pub fn distances(metric: Metric, query: &[f32], rows: Matrix<'_>, out: &mut [f32]) {
    debug_assert_eq!(query.len(), rows.dim(), "the query and the rows differ in length");
    debug_assert_eq!(out.len(), rows.rows(), "there must be one place per row");
    let computed = if query.len() == rows.dim() { out.len().min(rows.rows()) } else { 0 };
    let (out, beyond) = out.split_at_mut(computed);
    beyond.fill(f32::NAN);
    let kernel = F32Kernel::new(metric);
    kernel.range(&kernel.prepare(query), rows, 0..computed, Residence::Memory, out);
}
