//! The `.f32` sidecar: the vectors of one column of one segment at a fixed stride, ready to be mapped and scanned.
//!
//! ```text
//! 0    magic "VLYF32\0\0" · format version u16 · 0 u16 · dimension u32 · 0 … · CRC32C of bytes 0–59 u32      64 bytes
//! 64   rows × dimension little-endian f32; a NULL row is zeros
//!      only if there are NULLs: validity bitmap, ⌈rows / 8⌉ bytes, least significant bit first, 1 = not NULL
//! end  magic "VLYF32\0E" · rows u64 · NULL rows u64 · offset of the bitmap u64 (0: none) · 0 … · CRC32C   64 bytes
//! ```
//!
//! The counts stand at the end, because a segment is written as a stream whose length nobody knows when it begins.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanBufferBuilder, FixedSizeListArray};
use arrow::datatypes::Float32Type;

use crate::error::{Error, Result};
use crate::schema::VECTOR_DIMENSIONS_MAX;
use crate::store::FileBytes;

#[cfg(target_endian = "big")]
compile_error!("vectors are mapped as little-endian f32; this platform is big-endian");

/// Version of this file format.
pub const FORMAT_VERSION: u16 = 1;
/// Where the vectors begin.
pub const DATA_OFFSET: usize = 64;

const MAGIC: &[u8; 8] = b"VLYF32\0\0";
const END_MAGIC: &[u8; 8] = b"VLYF32\0E";
const FRAME: usize = 64;
const CRC_AT: usize = 60;

/// Puts the checksum of the first 60 bytes behind them.
fn seal(frame: &mut [u8; FRAME]) {
    let crc = crc32c::crc32c(&frame[..CRC_AT]);
    frame[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

fn is_sealed(frame: &[u8; FRAME]) -> bool {
    frame[CRC_AT..] == crc32c::crc32c(&frame[..CRC_AT]).to_le_bytes()
}

fn u64_at(frame: &[u8; FRAME], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&frame[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Writes a sidecar as a stream.
#[derive(Debug)]
pub struct Writer<W: Write> {
    sink: W,
    dim: usize,
    rows: u64,
    null_count: u64,
    validity: BooleanBufferBuilder,
}

impl<W: Write> Writer<W> {
    /// Begins a sidecar of vectors of `dim` elements.
    pub fn new(mut sink: W, dim: usize) -> io::Result<Self> {
        let dimension = u32::try_from(dim).map_err(|_| io::Error::other("dimension is too large"))?;
        let mut header = [0; FRAME];
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&dimension.to_le_bytes());
        seal(&mut header);
        sink.write_all(&header)?;
        Ok(Self { sink, dim, rows: 0, null_count: 0, validity: BooleanBufferBuilder::new(0) })
    }

    /// Appends vectors; the array's dimension and element type must be the sidecar's.
    pub fn push(&mut self, vectors: &FixedSizeListArray) -> io::Result<()> {
        let elements = vectors.values().as_primitive_opt::<Float32Type>();
        let Some(elements) = elements.filter(|_| vectors.value_length() as usize == self.dim) else {
            return Err(io::Error::other("array is not one of vectors of this dimension"));
        };
        // The buffer of f32 values as bytes, without a copy; only the rows of this slice.
        let bytes = elements.values().inner().as_slice();
        let stride = self.dim * size_of::<f32>();
        let first = vectors.value_offset(0) as usize * size_of::<f32>();
        let rows = &bytes[first..first + vectors.len() * stride];
        match vectors.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                self.sink.write_all(rows)?;
                self.validity.append_n(vectors.len(), true);
            }
            Some(nulls) => {
                let zeros = vec![0; stride];
                let mut next = 0;
                for (start, end) in nulls.valid_slices().chain([(vectors.len(), vectors.len())]) {
                    for _ in next..start {
                        self.sink.write_all(&zeros)?;
                    }
                    self.sink.write_all(&rows[start * stride..end * stride])?;
                    next = end;
                }
                self.validity.append_buffer(nulls.inner());
                self.null_count += nulls.null_count() as u64;
            }
        }
        self.rows += vectors.len() as u64;
        Ok(())
    }

    /// Ends the sidecar and returns the sink.
    pub fn finish(mut self) -> io::Result<W> {
        let mut trailer = [0; FRAME];
        trailer[..8].copy_from_slice(END_MAGIC);
        trailer[8..16].copy_from_slice(&self.rows.to_le_bytes());
        trailer[16..24].copy_from_slice(&self.null_count.to_le_bytes());
        if self.null_count > 0 {
            let offset = DATA_OFFSET as u64 + self.rows * (self.dim * size_of::<f32>()) as u64;
            trailer[24..32].copy_from_slice(&offset.to_le_bytes());
            self.sink.write_all(self.validity.as_slice())?;
        }
        seal(&mut trailer);
        self.sink.write_all(&trailer)?;
        Ok(self.sink)
    }
}

/// A sidecar's vectors, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Rows, NULL ones included.
    pub rows: usize,
    /// Elements per vector.
    pub dim: usize,
    /// Row-major elements: `rows * dim`. NULL rows are zeros.
    pub data: &'a [f32],
    /// Rows that are NULL.
    pub null_count: usize,
    validity: Option<&'a [u8]>,
}

/// What is wrong with bytes that are not a sidecar.
fn refused(detail: &'static str) -> Error {
    Error::Corrupted { path: "vectors sidecar".into(), detail: detail.into() }
}

/// The bytes as f32; `None` where they are not aligned to 4 or not whole ones.
fn floats(bytes: &[u8]) -> Option<&[f32]> {
    // SAFETY: every bit pattern is a valid f32, and align_to only ever yields correctly aligned parts of `bytes`.
    let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty()).then_some(floats)
}

/// A sidecar that was checked once, to be looked into many times.
#[derive(Debug, Clone)]
pub struct OpenVectors {
    bytes: Arc<dyn FileBytes>,
    rows: usize,
    dim: usize,
    null_count: usize,
}

impl OpenVectors {
    /// Checks a file: see [`View::parse`].
    pub fn new(bytes: Arc<dyn FileBytes>) -> Result<Self> {
        let View { rows, dim, null_count, .. } = View::parse(bytes.as_slice())?;
        Ok(Self { bytes, rows, dim, null_count })
    }

    /// What is in it.
    pub fn view(&self) -> View<'_> {
        let Self { bytes, rows, dim, null_count } = self;
        let body = bytes.as_slice().get(DATA_OFFSET..).unwrap_or_default();
        let (data, rest) = body.split_at_checked(rows * dim * size_of::<f32>()).unwrap_or_default();
        let validity = rest.get(..rows.div_ceil(8)).filter(|_| *null_count > 0);
        View { rows: *rows, dim: *dim, data: floats(data).unwrap_or_default(), null_count: *null_count, validity }
    }
}

impl<'a> View<'a> {
    /// Checks any bytes and borrows the vectors in them. Reads the frame and the validity bitmap only, never the
    /// vectors. The bytes must be aligned to 4, as mapped files and Arrow buffers are.
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>> {
        let header: &[u8; FRAME] = bytes.first_chunk().ok_or_else(|| refused("the file is too short"))?;
        if &header[..8] != MAGIC {
            return Err(refused("the file does not begin as a vectors sidecar does"));
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > FORMAT_VERSION {
            let detail = format!("vectors format {version}, this program reads up to {FORMAT_VERSION}");
            return Err(Error::NewerFormat { path: "vectors sidecar".into(), detail });
        }
        if !is_sealed(header) {
            return Err(refused("the header's checksum is wrong"));
        }
        let dim = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        if dim == 0 || dim > VECTOR_DIMENSIONS_MAX {
            return Err(refused("the dimension is out of range"));
        }
        let body = &bytes[FRAME..];
        let trailer: &[u8; FRAME] = body.last_chunk().ok_or_else(|| refused("the file is too short"))?;
        if &trailer[..8] != END_MAGIC || !is_sealed(trailer) {
            return Err(refused("the file does not end as a vectors sidecar does"));
        }
        let body = &body[..body.len() - FRAME];
        Self::split(body, dim, trailer)
    }

    /// Splits what lies between header and trailer.
    fn split(body: &'a [u8], dim: usize, trailer: &[u8; FRAME]) -> Result<View<'a>> {
        let (rows, null_count, bitmap_at) = (u64_at(trailer, 8), u64_at(trailer, 16), u64_at(trailer, 24));
        let wrong = || refused("the counts do not fit the file's length");
        let rows = usize::try_from(rows).map_err(|_| wrong())?;
        let data_len = rows.checked_mul(dim * size_of::<f32>()).ok_or_else(wrong)?;
        let bitmap_len = if null_count > 0 { rows.div_ceil(8) } else { 0 };
        let expected_at = if null_count > 0 { (DATA_OFFSET + data_len.min(body.len())) as u64 } else { 0 };
        if null_count > rows as u64 || data_len.checked_add(bitmap_len) != Some(body.len()) || bitmap_at != expected_at
        {
            return Err(wrong());
        }
        let (data, bitmap) = body.split_at(data_len);
        let data = floats(data).ok_or_else(|| refused("the bytes are not aligned to 4"))?;
        let validity = (null_count > 0).then_some(bitmap);
        if let Some(bitmap) = validity {
            let valid: u64 = bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum();
            let tail = rows % 8;
            let clean = tail == 0 || bitmap.last().is_some_and(|byte| byte >> tail == 0);
            if valid != rows as u64 - null_count || !clean {
                return Err(refused("the validity bitmap does not hold the stated number of NULLs"));
            }
        }
        Ok(View { rows, dim, data, null_count: null_count as usize, validity })
    }

    /// Whether a row is NULL; a row beyond the end is.
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.rows || self.validity.is_some_and(|bits| bits[row / 8] >> (row % 8) & 1 == 0)
    }

    /// The elements of one row (zeros for a NULL one); `None` beyond the end.
    pub fn row(&self, row: usize) -> Option<&'a [f32]> {
        self.data.get(row.checked_mul(self.dim)?..)?.get(..self.dim)
    }

    /// The validity bitmap, least significant bit first, 1 = not NULL; `None` without NULLs.
    pub fn validity(&self) -> Option<&'a [u8]> {
        self.validity
    }
}
