//! The f32 kernels behind [`DistanceKernel`].

use std::ops::Range;

use super::{
    DistanceKernel, InstructionSet, Residence,
    driver::{Neighbours, Pick, Strided},
    floats::{self, Left, Plain},
    prefetch,
    tiles::{self, Batch},
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

    fn run<P: Pick>(&self, query: &F32Query<'_>, rows: Matrix<'_>, pick: P, residence: Residence, out: &mut [f32]) {
        assert_eq!(query.values.len(), rows.dim(), "the query and the rows differ in dimension");
        let kind = (self.metric, self.instructions);
        // SAFETY: the lengths agree, and a kernel is only made with instructions the machine was asked for.
        unsafe { floats::run(kind, query.left(), (Plain, strided(rows)), pick, residence, out) };
    }
}

impl<'q> F32Query<'q> {
    /// The query with what the metric needs of it.
    pub(super) fn new(metric: Metric, instructions: InstructionSet, values: &'q [f32]) -> Self {
        let mut query = Self { values, norm_squared: 0.0 };
        if metric == Metric::Cosine
            && let Some(row) = Matrix::one_row(values)
        {
            // SAFETY: the query is a row as long as itself; the instructions are those of a kernel.
            query.norm_squared = unsafe { floats::norm_squared(instructions, query.left(), strided(row), 0) };
        }
        query
    }

    pub(super) fn left(&self) -> Left<Plain> {
        let (vector, dim) = (self.values.as_ptr().cast(), self.values.len());
        Left { vector, dim, norm_squared: self.norm_squared, stored: Plain }
    }
}

fn strided(rows: Matrix<'_>) -> Strided<'_> {
    Strided::new(rows.data(), rows.dim() * size_of::<f32>(), rows.rows())
}

impl DistanceKernel for F32Kernel {
    type Query<'q> = F32Query<'q>;
    type Rows<'r> = Matrix<'r>;

    fn metric(&self) -> Metric {
        self.metric
    }

    fn prepare<'q>(&self, query: &'q [f32]) -> F32Query<'q> {
        F32Query::new(self.metric, self.instructions, query)
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

    fn ranges(&self, queries: &[F32Query<'_>], rows: Matrix<'_>, range: Range<usize>, out: &mut [f32]) {
        assert!(queries.iter().all(|query| self.fits(query, rows)), "the queries and the rows differ in dimension");
        let batch = Batch { queries, rows: strided(rows), range };
        // SAFETY: the lengths agree, and a kernel is only made with instructions the machine was asked for.
        unsafe { tiles::run((self.metric, self.instructions), batch, out) };
    }

    fn gather(&self, query: &F32Query<'_>, rows: Matrix<'_>, ids: &[u32], residence: Residence, out: &mut [f32]) {
        self.run(query, rows, ids, residence, out);
    }

    fn gather_from(&self, rows: Matrix<'_>, row: u32, ids: &[u32], residence: Residence, out: &mut [f32]) {
        self.run(&self.prepare(rows.row(row as usize)), rows, ids, residence, out);
    }

    fn prefetch(&self, rows: Matrix<'_>, row: usize) {
        prefetch::row(rows.data().as_ptr().cast(), row, self.row_bytes(rows));
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
