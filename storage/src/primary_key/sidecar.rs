//! The `.vpk` sidecar: where in a segment a key is.
//!
//! ```text
//! 0    header, 128 bytes:
//!        0 magic "VLYPK\0\0\0"   8 format version u16   12 entries u32   16 filter seed u64
//!        24 segment length u32   28 its mask u32   32 segment count length u32   36 filter bytes u32
//!        40 blocks u32           120 CRC32C of filter and fences u32         124 CRC32C of bytes 0–123 u32
//! 128  binary-fuse filter (8-bit fingerprints) over the low 64 bits of every hash; absent below 64 entries
//!      fences: the first hash of each block, u128 each
//!      zeros up to a multiple of 4096
//!      blocks of 4096 bytes: 204 entries (hash u128, row u32), sorted by hash; zeros; CRC32C of the first 4092 bytes
//! ```
//!
//! All numbers are little-endian. A probe that finds nothing costs one look into the filter, three cache lines; one
//! that finds something reads one block.

use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use crate::error::{Error, Result};
use crate::segment::SEGMENT_ROWS_MAX;

/// Version of this file format.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"VLYPK\0\0\0";
const HEADER: usize = 128;
const BLOCK: usize = 4096;
const ENTRY: usize = 20;
const BLOCK_ENTRIES: usize = 204;
const BLOCK_CRC_AT: usize = BLOCK - 4;
/// Below this the fences say all that a filter could.
const FILTER_ENTRIES_MIN: usize = 64;
const DESCRIPTOR: usize = BinaryFuse8::DESCRIPTOR_LEN;

fn refused(detail: &'static str) -> Error {
    Error::Corrupted { path: "primary key sidecar".into(), detail: detail.into() }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(array)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut array = [0; 16];
    array.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(array)
}

/// Where the blocks begin.
fn blocks_at(filter_len: usize, blocks: usize) -> usize {
    (HEADER + filter_len + blocks * 16).next_multiple_of(BLOCK)
}

/// The sidecar of a segment whose rows have these key hashes, in row order.
pub fn encode(hashes: &[u128]) -> Result<Vec<u8>> {
    if hashes.len() > SEGMENT_ROWS_MAX {
        return Err(Error::Internal { detail: format!("{} keys are too many for one segment", hashes.len()) });
    }
    let mut entries: Vec<(u128, u32)> = hashes.iter().zip(0u32..).map(|(hash, row)| (*hash, row)).collect();
    entries.sort_unstable();
    let filter = build_filter(&entries);
    let filter_len = filter.as_ref().map_or(0, |f| f.dma_fingerprints().len());
    let blocks = entries.len().div_ceil(BLOCK_ENTRIES);

    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    if let Some(filter) = &filter {
        filter.dma_copy_descriptor_to(&mut bytes[16..16 + DESCRIPTOR]);
    }
    bytes[36..40].copy_from_slice(&(filter_len as u32).to_le_bytes());
    bytes[40..44].copy_from_slice(&(blocks as u32).to_le_bytes());
    bytes.reserve(blocks_at(filter_len, blocks) - HEADER + blocks * BLOCK);
    if let Some(filter) = &filter {
        bytes.extend_from_slice(filter.dma_fingerprints());
    }
    for block in entries.chunks(BLOCK_ENTRIES) {
        bytes.extend_from_slice(&block[0].0.to_le_bytes());
    }
    let tables_crc = crc32c::crc32c(&bytes[HEADER..]);
    bytes[120..124].copy_from_slice(&tables_crc.to_le_bytes());
    let header_crc = crc32c::crc32c(&bytes[..124]);
    bytes[124..128].copy_from_slice(&header_crc.to_le_bytes());
    bytes.resize(blocks_at(filter_len, blocks), 0);
    for block in entries.chunks(BLOCK_ENTRIES) {
        let start = bytes.len();
        for (hash, row) in block {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&row.to_le_bytes());
        }
        bytes.resize(start + BLOCK_CRC_AT, 0);
        let crc = crc32c::crc32c(&bytes[start..]);
        bytes.extend_from_slice(&crc.to_le_bytes());
    }
    Ok(bytes)
}

/// The filter; `None` where there are few entries or, which is not known to happen, its construction fails.
fn build_filter(entries: &[(u128, u32)]) -> Option<BinaryFuse8> {
    let mut low: Vec<u64> = entries.iter().map(|(hash, _)| *hash as u64).collect();
    low.sort_unstable();
    low.dedup();
    if low.len() < FILTER_ENTRIES_MIN {
        return None;
    }
    BinaryFuse8::try_from(&low).ok()
}

/// A sidecar borrowed from its bytes.
#[derive(Debug, Clone)]
pub struct View<'a> {
    entries: usize,
    filter: Option<BinaryFuse8Ref<'a>>,
    fences: &'a [u8],
    blocks: &'a [u8],
    /// Filter and fences as stored, and their checksum.
    tables: (&'a [u8], u32),
}

impl<'a> View<'a> {
    /// Checks the header of any bytes and borrows the rest. Costs the same for every size; the checksums of what it
    /// does not read are checked where it is read, or all at once by [`View::check`].
    pub fn parse(bytes: &'a [u8]) -> Result<View<'a>> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or_else(|| refused("the file is too short"))?;
        if &header[..8] != MAGIC {
            return Err(refused("the file does not begin as a primary key sidecar does"));
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if version > FORMAT_VERSION {
            let detail = format!("primary key format {version}, this program reads up to {FORMAT_VERSION}");
            return Err(Error::NewerFormat { path: "primary key sidecar".into(), detail });
        }
        if u32_at(header, 124) != crc32c::crc32c(&header[..124]) {
            return Err(refused("the header's checksum is wrong"));
        }
        let entries = u32_at(header, 12) as usize;
        let (filter_len, blocks) = (u32_at(header, 36) as usize, u32_at(header, 40) as usize);
        let start = blocks_at(filter_len, blocks);
        let fits = entries <= SEGMENT_ROWS_MAX && blocks == entries.div_ceil(BLOCK_ENTRIES);
        if !fits || start + blocks * BLOCK != bytes.len() {
            return Err(refused("the counts do not fit the file's length"));
        }
        let tables = &bytes[HEADER..HEADER + filter_len + blocks * 16];
        let (fingerprints, fences) = tables.split_at(filter_len);
        let filter = borrow_filter(&header[16..16 + DESCRIPTOR], fingerprints)?;
        Ok(View { entries, filter, fences, blocks: &bytes[start..], tables: (tables, u32_at(header, 120)) })
    }

    /// Keys in the sidecar.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether the key may be there; false is certain.
    pub fn may_contain(&self, hash: u128) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.contains(&(hash as u64)))
    }

    /// Rows with this key hash.
    pub fn rows(&self, hash: u128) -> Result<Vec<u32>> {
        let mut rows = Vec::new();
        if self.is_empty() || !self.may_contain(hash) {
            return Ok(rows);
        }
        // Equal hashes may reach back into the block before the first fence that equals them.
        let mut block = self.first_fence_not_below(hash).saturating_sub(1);
        while block * BLOCK < self.blocks.len() && (block == 0 || self.fence(block) <= hash) {
            let entries = self.block(block)?;
            let first = lower_bound(entries, hash);
            let found = entries[first * ENTRY..].chunks_exact(ENTRY).take_while(|e| u128_at(e, 0) == hash);
            rows.extend(found.map(|e| u32_at(e, 16)));
            block += 1;
        }
        Ok(rows)
    }

    /// Every (hash, row), sorted by hash.
    pub fn entries(&self) -> Result<Vec<(u128, u32)>> {
        let mut all = Vec::with_capacity(self.entries);
        for block in 0..self.blocks.len() / BLOCK {
            all.extend(self.block(block)?.chunks_exact(ENTRY).map(|e| (u128_at(e, 0), u32_at(e, 16))));
        }
        Ok(all)
    }

    /// Checks every byte: checksums, order, fences, rows in range, and that the filter lets every key through.
    pub fn check(&self) -> Result<()> {
        if crc32c::crc32c(self.tables.0) != self.tables.1 {
            return Err(refused("the checksum of filter and fences is wrong"));
        }
        let entries = self.entries()?;
        if !entries.is_sorted() {
            return Err(refused("its entries are not sorted"));
        }
        if entries.iter().any(|(hash, row)| *row as usize >= self.entries || !self.may_contain(*hash)) {
            return Err(refused("an entry has no such row or is not in the filter"));
        }
        let mut firsts = entries.chunks(BLOCK_ENTRIES).enumerate();
        if firsts.any(|(block, chunk)| chunk.first().is_none_or(|first| self.fence(block) != first.0)) {
            return Err(refused("a fence is not the first hash of its block"));
        }
        Ok(())
    }

    fn fence(&self, block: usize) -> u128 {
        u128_at(self.fences, block * 16)
    }

    fn first_fence_not_below(&self, hash: u128) -> usize {
        let (mut low, mut high) = (0, self.fences.len() / 16);
        while low < high {
            let middle = (low + high) / 2;
            if self.fence(middle) < hash { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The entries of a block, its checksum verified.
    fn block(&self, block: usize) -> Result<&'a [u8]> {
        let bytes = &self.blocks[block * BLOCK..(block + 1) * BLOCK];
        if crc32c::crc32c(&bytes[..BLOCK_CRC_AT]) != u32_at(bytes, BLOCK_CRC_AT) {
            return Err(refused("a block's checksum is wrong"));
        }
        let count = (self.entries - block * BLOCK_ENTRIES).min(BLOCK_ENTRIES);
        Ok(&bytes[..count * ENTRY])
    }
}

/// The first entry of a block whose hash is not below the given one.
fn lower_bound(entries: &[u8], hash: u128) -> usize {
    let (mut low, mut high) = (0, entries.len() / ENTRY);
    while low < high {
        let middle = (low + high) / 2;
        if u128_at(entries, middle * ENTRY) < hash { low = middle + 1 } else { high = middle }
    }
    low
}

/// Checks that no key can make the filter look beyond its fingerprints, then borrows it.
fn borrow_filter<'a>(descriptor: &[u8], fingerprints: &'a [u8]) -> Result<Option<BinaryFuse8Ref<'a>>> {
    if fingerprints.is_empty() {
        return Ok(None);
    }
    let length = u64::from(u32_at(descriptor, 8));
    let mask = u64::from(u32_at(descriptor, 12));
    let count_length = u64::from(u32_at(descriptor, 16));
    // The three places of a key are h0 < count_length, h0 + length and h0 + 2·length, the latter two xor-ed within
    // their aligned stretch of `length` fingerprints.
    let aligned = length.is_power_of_two() && mask == length - 1 && count_length > 0 && count_length % length == 0;
    if !aligned || count_length + 2 * length > fingerprints.len() as u64 {
        return Err(refused("the filter's measures do not fit it"));
    }
    Ok(Some(BinaryFuse8Ref::from_dma(descriptor, fingerprints)))
}
