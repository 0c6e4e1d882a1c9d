//! How far apart rows are for the builder.

use crate::{DistanceKernel, Metric};

/// Distances between rows of codes, such that a graph can be built by them: only their order matters.
///
/// L2, L1 and cosine are taken as they are. The inner product is not: a row may be nearer to others than to itself, so that
/// few long rows become everybody's neighbours and the others nobody's. Its rows are lifted by one more component,
/// `√(M² − |x|²)` with M the greatest length, which makes all of them equally long; a query's is zero. Then the order of
/// the inner products with a query is the order of the L2 distances to it (Bachrach et al., "Speeding up the Xbox
/// recommender system using a Euclidean transformation for inner-product spaces", RecSys 2014), and walks by the inner
/// product itself see the order that the graph was built for.
pub(super) struct Space<'k, 'r, K: DistanceKernel> {
    kernel: &'k K,
    rows: K::Rows<'r>,
    /// The component that each row is lifted by; empty for other metrics than the inner product.
    lift: Vec<f32>,
}

impl<'k, 'r, K: DistanceKernel> Space<'k, 'r, K> {
    pub(super) fn new(kernel: &'k K, rows: K::Rows<'r>) -> Self {
        let mut lift = Vec::new();
        if kernel.metric() == Metric::InnerProduct {
            let squares = |row: usize| f64::from(-kernel.between(rows, row as u32, row as u32));
            let greatest = (0..kernel.rows(rows)).map(squares).fold(0.0, f64::max);
            lift.extend((0..kernel.rows(rows)).map(|row| (greatest - squares(row)).max(0.0).sqrt() as f32));
        }
        Self { kernel, rows, lift }
    }

    /// A number that is the greater the farther apart the rows are.
    ///
    /// # Panics
    /// If a row does not exist.
    #[inline]
    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        let distance = self.kernel.between(self.rows, a, b);
        match (self.lift.get(a as usize), self.lift.get(b as usize)) {
            (Some(a), Some(b)) => distance - a * b,
            _ => distance,
        }
    }
}
