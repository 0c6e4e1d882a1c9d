//! Element-wise sums of vectors for any number of groups, and how they travel between plan stages.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float64Array, UInt64Array};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};

use crate::error::{Error, Result};
use crate::types::vector_array;

/// What becomes of a sum in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Total {
    /// The sum itself.
    Sum,
    /// The sum divided by the number of vectors that are not NULL.
    Average,
}

/// The sums of a number of groups.
///
/// They are accumulated in f64, so that the order of a million rows does not show in the result's f32.
#[derive(Debug)]
pub(super) struct Sums {
    dimension: usize,
    /// groups × dimension, row-major.
    sums: Vec<f64>,
    /// How many vectors went into each group.
    counts: Vec<u64>,
}

/// The type in which sums travel: a list of Float64, NULL for a group without vectors.
pub(super) fn sums_type(dimension: usize) -> DataType {
    // A dimension is at most 32,768.
    DataType::FixedSizeList(sums_item(), dimension as i32)
}

fn sums_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, false))
}

impl Sums {
    pub(super) fn new(dimension: usize, groups: usize) -> Self {
        Self { dimension, sums: vec![0.0; groups * dimension], counts: vec![0; groups] }
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) fn groups(&self) -> usize {
        self.counts.len()
    }

    /// Makes room for more groups; never fewer.
    pub(super) fn grow(&mut self, groups: usize) {
        if groups > self.counts.len() {
            self.counts.resize(groups, 0);
            self.sums.resize(groups * self.dimension, 0.0);
        }
    }

    pub(super) fn add(&mut self, group: usize, vector: &[f32]) -> Result<()> {
        self.check(vector.len())?;
        let sums = &mut self.sums[group * self.dimension..(group + 1) * self.dimension];
        for (sum, element) in sums.iter_mut().zip(vector) {
            *sum += f64::from(*element);
        }
        self.counts[group] += 1;
        Ok(())
    }

    /// Undoes [`Sums::add`], for windows that move on.
    pub(super) fn subtract(&mut self, group: usize, vector: &[f32]) -> Result<()> {
        self.check(vector.len())?;
        let sums = &mut self.sums[group * self.dimension..(group + 1) * self.dimension];
        for (sum, element) in sums.iter_mut().zip(vector) {
            *sum -= f64::from(*element);
        }
        self.counts[group] = self.counts[group].saturating_sub(1);
        if self.counts[group] == 0 {
            // Nothing is left, so neither is what rounding left behind.
            sums.fill(0.0);
        }
        Ok(())
    }

    fn check(&self, dimension: usize) -> Result<()> {
        if dimension == self.dimension {
            Ok(())
        } else {
            Err(Error::WrongDimension { expected: self.dimension, actual: dimension })
        }
    }

    /// Adds what another accumulator made of its rows; row `i` of the state goes to `group(i)`.
    pub(super) fn merge(&mut self, state: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        let [counts, sums] = state else {
            return Err(Error::Internal { detail: format!("a vector sum has 2 state columns, not {}", state.len()) });
        };
        let (Some(counts), Some(sums)) = (counts.as_primitive_opt::<UInt64Type>(), sums.as_fixed_size_list_opt())
        else {
            return Err(Error::Internal { detail: "the state of a vector sum has other types".to_owned() });
        };
        let Some(values) = sums.values().as_primitive_opt::<Float64Type>() else {
            return Err(Error::Internal { detail: "the sums of a vector sum are not Float64".to_owned() });
        };
        self.check(sums.value_length() as usize)?;
        for row in (0..sums.len()).filter(|row| sums.is_valid(*row) && counts.is_valid(*row)) {
            let group = group(row);
            self.counts[group] += counts.value(row);
            let target = &mut self.sums[group * self.dimension..(group + 1) * self.dimension];
            let source = &values.values()[row * self.dimension..(row + 1) * self.dimension];
            target.iter_mut().zip(source).for_each(|(sum, part)| *sum += part);
        }
        Ok(())
    }

    /// Splits off the first groups; the others move down.
    pub(super) fn take_first(&mut self, groups: usize) -> Sums {
        let groups = groups.min(self.groups());
        let rest = Sums {
            dimension: self.dimension,
            sums: self.sums.split_off(groups * self.dimension),
            counts: self.counts.split_off(groups),
        };
        std::mem::replace(self, rest)
    }

    /// One vector for each group; NULL for groups without vectors.
    ///
    /// # Errors
    /// [`Error::ElementOutOfRange`] where a sum does not fit a 32-bit float.
    pub(super) fn finish(&self, total: Total) -> Result<FixedSizeListArray> {
        let mut values = Vec::with_capacity(self.sums.len());
        for (group, count) in self.counts.iter().enumerate() {
            let sums = &self.sums[group * self.dimension..(group + 1) * self.dimension];
            for (position, sum) in sums.iter().enumerate() {
                let result = match total {
                    Total::Sum => *sum,
                    Total::Average if *count > 0 => sum / *count as f64,
                    Total::Average => 0.0,
                };
                let element = result as f32;
                if !element.is_finite() {
                    return Err(Error::ElementOutOfRange { value: result.to_string(), position: position + 1 });
                }
                values.push(element);
            }
        }
        vector_array(ScalarBuffer::from(values), self.dimension, self.nulls(), self.groups())
    }

    /// The state columns: counts and sums.
    pub(super) fn into_state(self) -> Result<Vec<ArrayRef>> {
        let nulls = self.nulls();
        let groups = self.groups();
        let elements = Arc::new(Float64Array::new(ScalarBuffer::from(self.sums), None));
        let sums = FixedSizeListArray::try_new_with_length(sums_item(), self.dimension as i32, elements, nulls, groups)
            .map_err(|error| Error::Internal { detail: format!("cannot build the state of a vector sum: {error}") })?;
        Ok(vec![Arc::new(UInt64Array::from(self.counts)), Arc::new(sums)])
    }

    fn nulls(&self) -> Option<NullBuffer> {
        let nulls: NullBuffer = self.counts.iter().map(|count| *count > 0).collect();
        Some(nulls).filter(|nulls| nulls.null_count() > 0)
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.sums.capacity() * size_of::<f64>() + self.counts.capacity() * size_of::<u64>()
    }
}
