//! The `.vdv` file: the deletion vector of one segment.
//!
//! ```text
//! 0   magic "VLYDV\0\0\0" · format version u16 · 0 u16 · deleted rows u32            16 bytes
//! 16  the bitmap of deleted offsets in Roaring's portable format
//! end CRC32C of everything before it u32
//! ```

#[cfg(test)]
mod tests;

use bytes::Bytes;
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::segment::SEGMENT_ROWS_MAX;

/// Version of this file format.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"VLYDV\0\0\0";
const HEADER: usize = 16;
const CRC: usize = 4;

/// The bytes of a deletion vector.
pub fn encode(deleted: &RoaringBitmap) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(HEADER + deleted.serialized_size() + CRC);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    let count = u32::try_from(deleted.len())
        .ok()
        .filter(|_| deleted.max().is_none_or(|last| (last as usize) < SEGMENT_ROWS_MAX))
        .ok_or_else(|| Error::Internal { detail: "a deletion vector reaches beyond the largest segment".into() })?;
    bytes.extend_from_slice(&count.to_le_bytes());
    deleted
        .serialize_into(&mut bytes)
        .map_err(|e| Error::Internal { detail: format!("cannot encode a deletion vector: {e}") })?;
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Ok(bytes.into())
}

/// Checks any bytes and decodes the deletion vector in them; `path` names the file in errors.
pub fn decode(path: &str, bytes: &[u8]) -> Result<RoaringBitmap> {
    let wrong = |detail: &str| Error::Corrupted { path: path.to_string(), detail: detail.to_string() };
    if bytes.len() < HEADER + CRC {
        return Err(wrong("the file is too short for a deletion vector"));
    }
    if &bytes[..8] != MAGIC {
        return Err(wrong("the file does not begin as a deletion vector does"));
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version > FORMAT_VERSION {
        let detail = format!("deletion vector format {version}, this program reads up to {FORMAT_VERSION}");
        return Err(Error::NewerFormat { path: path.to_string(), detail });
    }
    let (content, crc) = bytes.split_at(bytes.len() - CRC);
    if crc != crc32c::crc32c(content).to_le_bytes() {
        return Err(wrong("the deletion vector's checksum is wrong"));
    }
    let count = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    let mut rest = &content[HEADER..];
    let deleted =
        RoaringBitmap::deserialize_from(&mut rest).map_err(|e| wrong(&format!("the bitmap is malformed: {e}")))?;
    let in_range = deleted.max().is_none_or(|last| (last as usize) < SEGMENT_ROWS_MAX);
    if !rest.is_empty() || deleted.len() != u64::from(count) || !in_range {
        return Err(wrong("the bitmap does not hold the stated number of rows"));
    }
    Ok(deleted)
}
