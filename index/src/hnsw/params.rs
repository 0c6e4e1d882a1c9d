//! What an index is built with.

use std::ops::RangeInclusive;

use super::BuildError;
use crate::{Metric, Quantizer};

/// How to build an index. `CREATE INDEX … WITH (m, ef_construction, quantizer)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HnswParams {
    /// The distance that neighbours are near by.
    pub metric: Metric,
    /// Links per node on the upper levels; twice as many on the lowest. Within [`HnswParams::M`].
    pub m: usize,
    /// How many candidates a row's links are chosen from. Within [`HnswParams::EF_CONSTRUCTION`].
    pub ef_construction: usize,
    /// How the rows are stored for the walk.
    pub quantizer: Quantizer,
}

impl HnswParams {
    /// The values that `m` may take.
    pub const M: RangeInclusive<usize> = 2..=100;
    /// The values that `ef_construction` may take.
    pub const EF_CONSTRUCTION: RangeInclusive<usize> = 4..=1000;

    /// The defaults: m = 16, ef_construction = 128, i8 codes.
    pub fn new(metric: Metric) -> Self {
        Self { metric, m: 16, ef_construction: 128, quantizer: Quantizer::I8 }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The parameter that is out of its range, by name.
    pub fn check(&self) -> Result<(), BuildError> {
        for (name, value, range) in
            [("m", self.m, Self::M), ("ef_construction", self.ef_construction, Self::EF_CONSTRUCTION)]
        {
            if !range.contains(&value) {
                return Err(BuildError::OutOfRange { name, value, min: *range.start(), max: *range.end() });
            }
        }
        Ok(())
    }
}
