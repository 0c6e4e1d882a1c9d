//! Rows of vectors, borrowed from wherever they lie: a mapped sidecar, a decoded page, an array of queries.

use crate::{Error, Result};

/// `rows × dim` f32 values, row-major and without gaps. Borrowed and cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    dim: usize,
    rows: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix over `data`, which holds row after row of `dim` values each.
    ///
    /// # Errors
    /// `dim` is zero, `data` is not a whole number of rows, or there are more rows than 32 bits can number.
    pub fn new(data: &'a [f32], dim: usize) -> Result<Self> {
        if dim == 0 {
            return Err(Error::ZeroDimension);
        }
        if !data.len().is_multiple_of(dim) {
            return Err(Error::PartialRow { values: data.len(), dim });
        }
        let rows = data.len() / dim;
        if u32::try_from(rows).is_err() {
            return Err(Error::TooManyRows { rows });
        }
        Ok(Self { data, dim, rows })
    }

    /// A matrix of one row; `None` if the row is empty.
    pub(crate) fn one_row(data: &'a [f32]) -> Option<Self> {
        (!data.is_empty()).then_some(Self { data, dim: data.len(), rows: 1 })
    }

    /// How many rows there are; always fits 32 bits.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many values make a row, at least 1.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, row after row.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// The values of one row.
    ///
    /// # Panics
    /// If `row` is not below [`Matrix::rows`], as indexing a slice does.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &'a [f32] {
        let start = row * self.dim;
        &self.data[start..start + self.dim]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let matrix = Matrix::new(&values, 3).unwrap();
        assert_eq!((matrix.rows(), matrix.dim()), (2, 3));
        assert_eq!(matrix.row(1), [4.0, 5.0, 6.0]);
        assert_eq!(Matrix::new(&[], 3).unwrap().rows(), 0);
        assert_eq!(Matrix::new(&values, 0).unwrap_err(), Error::ZeroDimension);
        assert_eq!(Matrix::new(&values, 4).unwrap_err(), Error::PartialRow { values: 6, dim: 4 });
    }
}
