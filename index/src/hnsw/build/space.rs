//! How far apart rows are for the builder.

use crate::{DistanceKernel, Metric};

/// The share of the lifted components' product that counts. Recall by ef = 64 with none, this much and all of it: GloVe
/// .976, .951, .671; Fashion-MNIST at ef = 32 .864, .969, .952; where all rows are equally long it makes no difference.
const LIFT: f64 = 0.2;

/// Distances between rows of codes, such that a graph can be built by them: only their order matters.
///
/// L2, L1 and cosine are taken as they are. The inner product is not: a row may be nearer to others than to itself, so that
/// a few long rows become everybody's neighbours. Rows can be lifted by one more component, `√(M² − |x|²)` with M the
/// greatest length, which makes all of them equally long; a query's is zero. Then the inner products with a query order the
/// rows as L2 distances do (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for
/// inner-product spaces", RecSys 2014). But where few rows are far longer than the rest, that component is nearly all
/// there is of the others, and the graph knows no directions. [`LIFT`] is the compromise.
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
            lift.extend((0..kernel.rows(rows)).map(|row| (LIFT * (greatest - squares(row)).max(0.0)).sqrt() as f32));
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
