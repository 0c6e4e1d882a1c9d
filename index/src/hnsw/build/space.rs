//! How far apart rows are for the builder.

use crate::{DistanceKernel, Metric, Residence};

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

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.kernel.rows(self.rows)
    }

    /// Asks the processor to fetch a row.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        self.kernel.prefetch(self.rows, row as usize);
    }

    /// Numbers that are the greater the farther other rows are from a row: `out[i]` for `others[i]`. Never NaN.
    ///
    /// # Panics
    /// If a row does not exist, or `out` is shorter than `others`.
    #[inline]
    pub(super) fn gather(&self, row: u32, others: &[u32], residence: Residence, out: &mut [f32]) {
        self.kernel.gather_from(self.rows, row, others, residence, out);
        if let Some(lift) = self.lift.get(row as usize) {
            out.iter_mut().zip(others).for_each(|(distance, &other)| *distance -= lift * self.lift[other as usize]);
        }
        // What has no distance, or one that is no number any more once it is lifted, is far away.
        out.iter_mut().zip(others).for_each(|(distance, _)| *distance = distance.min(f32::INFINITY));
    }

    /// The same for one other row.
    ///
    /// # Panics
    /// If a row does not exist.
    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        let mut out = [0.0];
        self.gather(a, &[b], Residence::Cache, &mut out);
        out[0]
    }
}
