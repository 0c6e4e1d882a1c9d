//! Sums of vectors without GROUP BY, and over window frames.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::sums::{Sums, Total};
use crate::types::Vectors;

/// One running sum.
#[derive(Debug)]
pub(super) struct VectorAccumulator {
    total: Total,
    sums: Sums,
}

impl VectorAccumulator {
    pub(super) fn new(total: Total, dimension: usize) -> Self {
        Self { total, sums: Sums::new(dimension, 1) }
    }

    fn each(
        &mut self,
        values: &[ArrayRef],
        apply: fn(&mut Sums, usize, &[f32]) -> crate::error::Result<()>,
    ) -> Result<()> {
        let vectors = Vectors::try_new(&values[0])?;
        for row in 0..vectors.len() {
            if let Some(vector) = vectors.get(row) {
                apply(&mut self.sums, 0, vector)?;
            }
        }
        Ok(())
    }
}

impl Accumulator for VectorAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, Sums::add)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.each(values, Sums::subtract)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.sums.finish(self.total)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let dimension = self.sums.dimension();
        let sums = std::mem::replace(&mut self.sums, Sums::new(dimension, 1));
        sums.into_state()?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        Ok(self.sums.merge(states, |_| 0)?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sums.size()
    }
}
