//! A calibration as bytes.
//!
//! ```text
//! "VCAL"  u16 format  u8 source  u8 zero  u32 samples  u64 build_ms  3 × f32 costs  u32 curves
//! per curve:  f32 selectivity  u32 k  u32 samples  u32 points
//! per point:  u32 ef  f32 recall  f32 error  f32 distances
//! ```
//! Little-endian, without gaps.

use super::{Calibration, Costs, Curve, Point, Source};
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"VCAL";
const FORMAT: u16 = 2;

/// What is not plausible in a calibration, and would only cost memory.
const CURVES_MAX: usize = 1024;
const POINTS_MAX: usize = 1024;

impl Calibration {
    /// The bytes of a calibration.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[self.source as u8, 0]);
        out.extend_from_slice(&self.samples.to_le_bytes());
        out.extend_from_slice(&self.build_ms.to_le_bytes());
        for cost in [self.costs.walk_ns, self.costs.scan_ns, self.costs.gather_ns] {
            out.extend_from_slice(&cost.to_le_bytes());
        }
        out.extend_from_slice(&(self.curves.len() as u32).to_le_bytes());
        for curve in &self.curves {
            out.extend_from_slice(&curve.selectivity.to_le_bytes());
            out.extend_from_slice(&curve.k.to_le_bytes());
            out.extend_from_slice(&curve.samples.to_le_bytes());
            out.extend_from_slice(&(curve.points.len() as u32).to_le_bytes());
            for point in &curve.points {
                out.extend_from_slice(&point.ef.to_le_bytes());
                for value in [point.recall, point.error, point.distances] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        out
    }

    /// Reads what [`Calibration::to_bytes`] wrote. Takes any bytes.
    ///
    /// # Errors
    /// [`Error::Calibration`] for bytes that are no calibration, or one of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        if reader.take::<4>()? != MAGIC {
            return Err(refuse("it does not begin as one"));
        }
        let format = u16::from_le_bytes(reader.take()?);
        if format != FORMAT {
            return Err(Error::Calibration { detail: format!("its format is {format}, not {FORMAT}") });
        }
        let source = match reader.take::<2>()? {
            [0, 0] => Source::Rows,
            [1, 0] => Source::Queries,
            _ => return Err(refuse("its source is unknown")),
        };
        let samples = reader.u32()?;
        let build_ms = u64::from_le_bytes(reader.take()?);
        let costs = Costs { walk_ns: reader.cost()?, scan_ns: reader.cost()?, gather_ns: reader.cost()? };
        let count = reader.count(CURVES_MAX)?;
        let mut curves = Vec::with_capacity(count);
        for _ in 0..count {
            let selectivity = reader.f32()?;
            if !(selectivity > 0.0 && selectivity <= 1.0) {
                return Err(refuse("a share of rows lies outside 0 to 1"));
            }
            let k = reader.u32()?;
            if k == 0 {
                return Err(refuse("a curve is for no neighbours"));
            }
            let samples = reader.u32()?;
            let count = reader.count(POINTS_MAX)?;
            let points = (0..count).map(|_| reader.point()).collect::<Result<Vec<_>>>()?;
            if !points.is_sorted_by(|a, b| a.ef < b.ef) {
                return Err(refuse("its efforts do not ascend"));
            }
            curves.push(Curve { selectivity, k, samples, points });
        }
        match reader.0.is_empty() {
            true => Ok(Self { source, samples, curves, costs, build_ms }),
            false => Err(refuse("bytes follow its end")),
        }
    }
}

fn refuse(detail: &str) -> Error {
    Error::Calibration { detail: detail.to_owned() }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| refuse("it ends too soon"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn f32(&mut self) -> Result<f32> {
        let value = f32::from_le_bytes(self.take()?);
        if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(refuse("a number is negative or not finite")) }
    }

    /// A cost: never nothing, because costs are divided by.
    fn cost(&mut self) -> Result<f32> {
        let value = self.f32()?;
        if value > 0.0 { Ok(value) } else { Err(refuse("something costs nothing")) }
    }

    fn count(&mut self, most: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count <= most { Ok(count) } else { Err(refuse("it has too many parts")) }
    }

    fn point(&mut self) -> Result<Point> {
        let point = Point { ef: self.u32()?, recall: self.f32()?, error: self.f32()?, distances: self.f32()? };
        if point.ef > 0 && point.recall <= 1.0 { Ok(point) } else { Err(refuse("a point is impossible")) }
    }
}
