//! Sums of vectors for all groups of a GROUP BY at once.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::sums::{Sums, Total};
use crate::types::Vectors;

/// The sums of all groups side by side in one buffer.
#[derive(Debug)]
pub(super) struct VectorGroupsAccumulator {
    total: Total,
    sums: Sums,
}

impl VectorGroupsAccumulator {
    pub(super) fn new(total: Total, dimension: usize) -> Self {
        Self { total, sums: Sums::new(dimension, 0) }
    }

    fn take(&mut self, emit_to: EmitTo) -> Sums {
        let groups = match emit_to {
            EmitTo::All => self.sums.groups(),
            EmitTo::First(groups) => groups,
        };
        self.sums.take_first(groups)
    }
}

/// Whether a FILTER clause lets a row in: only where it is true, not where it is NULL.
fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for VectorGroupsAccumulator {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.grow(total_num_groups);
        let vectors = Vectors::try_new(&values[0])?;
        for (row, group) in group_indices.iter().enumerate().filter(|(row, _)| passes(opt_filter, *row)) {
            if let Some(vector) = vectors.get(row) {
                self.sums.add(*group, vector)?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.sums.grow(total_num_groups);
        Ok(self.sums.merge(values, |row| group_indices[row])?)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.take(emit_to).finish(self.total)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.take(emit_to).into_state()?)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let vectors = Vectors::try_new(&values[0])?;
        let mut sums = Sums::new(self.sums.dimension(), vectors.len());
        for row in (0..vectors.len()).filter(|row| passes(opt_filter, *row)) {
            if let Some(vector) = vectors.get(row) {
                sums.add(row, vector)?;
            }
        }
        Ok(sums.into_state()?)
    }

    fn size(&self) -> usize {
        self.sums.size()
    }
}
