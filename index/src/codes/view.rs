//! Codes as searches see them: rows and the kernel that goes with them.

use super::{CodesLayout, Quantizer};
use crate::{DistanceKernel, Error, F16Kernel, F16Rows, F32Kernel, I8Kernel, I8Rows, Matrix, Metric, Result};

/// The codes of a segment, borrowed. Cheap to make and copy.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    metric: Metric,
    rows: Rows<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Rows<'a> {
    F32(Matrix<'a>),
    F16(F16Rows<'a>),
    I8(I8Rows<'a>),
}

/// Something to be done with codes of any encoding: compiled once for each, so that loops over distances contain no
/// choice between them.
pub trait WithKernel {
    /// What comes of it.
    type Output;

    /// Does it with the kernel of the encoding.
    fn run<K: DistanceKernel>(self, kernel: &K, rows: K::Rows<'_>) -> Self::Output;
}

impl<'a> Codes<'a> {
    /// The codes in `bytes`, or for f32 the vectors themselves.
    ///
    /// # Errors
    /// `bytes` is not as long as the layout says, or the vectors do not have its shape.
    pub fn new(layout: &CodesLayout, bytes: &'a [u8], vectors: Matrix<'a>) -> Result<Self> {
        let (rows, dim) = (layout.rows(), layout.dim());
        if (vectors.rows(), vectors.dim()) != (rows, dim) {
            return Err(Error::VectorsShape { rows: vectors.rows(), dim: vectors.dim(), expected: (rows, dim) });
        }
        if bytes.len() != layout.bytes() {
            return Err(Error::CodesLength { bytes: bytes.len(), expected: layout.bytes() });
        }
        let rows = match layout.quantizer() {
            Quantizer::F32 => Rows::F32(vectors),
            Quantizer::F16 => Rows::F16(F16Rows::new(bytes, rows, dim, layout.scale())),
            Quantizer::I8 => Rows::I8(I8Rows::new(layout.metric(), bytes, rows, dim)),
        };
        Ok(Self { metric: layout.metric(), rows })
    }

    /// The metric whose distances the codes give.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Does something with the codes by the kernel for them, the fastest that this machine has.
    #[inline]
    pub fn dispatch<W: WithKernel>(self, with: W) -> W::Output {
        match self.rows {
            Rows::F32(rows) => with.run(&F32Kernel::new(self.metric), rows),
            Rows::F16(rows) => with.run(&F16Kernel::new(self.metric), rows),
            Rows::I8(rows) => with.run(&I8Kernel::new(self.metric), rows),
        }
    }
}
