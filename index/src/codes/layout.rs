//! The shape of a segment's codes, and the parameters that all its rows share.

use super::{Quantizer, encode};
use crate::{
    Error, Matrix, Metric, Result,
    kernel::rows::{f16_stride, i8_stride},
};

/// The exponents whose power of two is a normal f32, and finite when multiplied by the largest half.
const EXPONENTS: std::ops::RangeInclusive<i32> = -126..=112;

/// All that is needed to read a segment's codes, beside their bytes. Small; belongs into an index file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodesLayout {
    quantizer: Quantizer,
    metric: Metric,
    dim: usize,
    rows: usize,
    exponent: i32,
}

impl CodesLayout {
    /// The most dimensions: so many squares of codes can be summed up in 32 bits.
    pub const MAX_DIM: usize = 1 << 16;

    /// The layout that suits these vectors, whose components must be finite. Reads all of them for f16 under other
    /// metrics than cosine, else none.
    ///
    /// # Errors
    /// There are more than [`CodesLayout::MAX_DIM`] dimensions.
    pub fn fit(quantizer: Quantizer, metric: Metric, vectors: Matrix<'_>) -> Result<Self> {
        let exponent = match (quantizer, metric) {
            // Rows have exponents of their own, which nobody needs to know.
            (_, Metric::Cosine) | (Quantizer::F32 | Quantizer::I8, _) => 0,
            (Quantizer::F16, _) => encode::exponent_for(vectors),
        };
        Self::new(quantizer, metric, vectors.dim(), vectors.rows(), exponent)
    }

    /// A layout from its parts as another one gave them, which may come from a file that was tampered with.
    ///
    /// # Errors
    /// `dim` is zero or more than [`CodesLayout::MAX_DIM`], there are more rows than 32 bits can number, or the exponent
    /// is none that [`CodesLayout::fit`] makes.
    pub fn new(quantizer: Quantizer, metric: Metric, dim: usize, rows: usize, exponent: i32) -> Result<Self> {
        if dim == 0 {
            return Err(Error::ZeroDimension);
        }
        if dim > Self::MAX_DIM {
            return Err(Error::TooManyDimensions { dim });
        }
        if u32::try_from(rows).is_err() {
            return Err(Error::TooManyRows { rows });
        }
        if !EXPONENTS.contains(&exponent) || exponent != 0 && (quantizer != Quantizer::F16 || metric == Metric::Cosine)
        {
            return Err(Error::CodesExponent { exponent });
        }
        Ok(Self { quantizer, metric, dim, rows, exponent })
    }

    /// The encoding.
    pub fn quantizer(&self) -> Quantizer {
        self.quantizer
    }

    /// The metric that the codes are made for.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// How many components a row has.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many rows there are; fits 32 bits.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The power of two that halves are multiplied by; 0 where there is none.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// 2^exponent.
    pub(super) fn scale(&self) -> f32 {
        // The exponents in range make normal numbers.
        f32::from_bits(((self.exponent + 127) as u32) << 23)
    }

    /// How many bytes lie between the starts of two rows; 0 for f32, whose rows are the vectors.
    pub fn stride(&self) -> usize {
        match self.quantizer {
            Quantizer::F32 => 0,
            Quantizer::F16 => f16_stride(self.dim),
            Quantizer::I8 => i8_stride(self.metric, self.dim),
        }
    }

    /// How many bytes all rows take; 0 for f32.
    ///
    /// They may lie anywhere; if they start at a multiple of 64 bytes, rows lie in the fewest possible cache lines.
    pub fn bytes(&self) -> usize {
        self.rows * self.stride()
    }

    /// Encodes some of the segment's vectors, row by row, so that parts of it can be encoded side by side. Every byte of
    /// `out` is written. The components must be finite; others are encoded as something finite.
    ///
    /// # Panics
    /// If the vectors do not have the layout's dimension or `out` is not as long as their strides together.
    pub fn encode(&self, vectors: Matrix<'_>, out: &mut [u8]) {
        assert_eq!(vectors.dim(), self.dim, "the vectors and the layout differ in dimension");
        assert_eq!(out.len(), vectors.rows() * self.stride(), "there must be one stride per row");
        match self.quantizer {
            Quantizer::F32 => {}
            Quantizer::F16 => encode::f16(self, vectors, out),
            Quantizer::I8 => encode::i8(self, vectors, out),
        }
    }
}
