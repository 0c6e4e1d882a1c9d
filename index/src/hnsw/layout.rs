//! Where everything lies in an index file.
//!
//! ```text
//! offset  bytes                    section
//! 0       128                      header, below
//!         rows × code stride       codes: one encoded row after another; empty for f32, where the f32 sidecar is read
//!         rows × link stride       lowest level: the links of each row, 2m places of u32, padded to 64 bytes
//!         8 × ⌈rows / 64⌉          nodes: a bit per row, set where the row has a node
//!         4 × U                    upper rows: the rows of the nodes that are on upper levels, ascending
//!         4 × (U + 1)              upper first: for each of them the number of its first list below
//!         4 × m × L                upper links: lists of m places; an upper node has one per level, level 1 first
//!         4 × G                    copied rows: the nodes that stand for further rows with the same code, ascending
//!         4 × (G + 1)              copies first: for each of them the index of its first copy
//!         4 × C                    copies: rows that have no node of their own, ascending within their group
//! ```
//!
//! Every section starts at a multiple of 64, so that a row's links and codes lie in as few cache lines as they can when
//! the file is mapped; the gaps are zero. All numbers are little-endian and are read as such from bytes: nothing
//! depends on where the file lies in memory.
//!
//! A link of the lowest level is a row number. A link of an upper level is an index into `upper rows`, so that walking
//! down needs no search. Unused places hold [`NONE`] and come last. A row without a vector (NULL, or zero under cosine) has
//! no node and is no copy; its code is not looked at.
//!
//! Rows with the same code are one node: as nodes of their own, thousands of equal rows would link to each other only
//! and cut themselves off from the rest of the graph.
//!
//! ```text
//! header  0 magic "VOLLHNSW"    8 version u32      12 metric u8    13 quantizer u8    14 m u16
//!        16 dim u32            20 rows u32         24 nodes u32    28 entry row u32 (NONE without nodes)
//!        32 highest level u32  36 ef_construction u32
//!        40 U u32              44 L u32            48 G u32        52 C u32
//!        56 exponent of the codes i32              60 zeros up to 128
//! ```

use std::ops::Range;

use super::Malformed;
use crate::{CodesLayout, Metric, Quantizer};

/// The first bytes of every index file.
pub(super) const MAGIC: [u8; 8] = *b"VOLLHNSW";
/// The version of the layout that this build writes and reads.
pub(super) const VERSION: u32 = 1;
/// An unused place in a list of links; also the entry point of a graph without nodes. No row has this number.
pub(super) const NONE: u32 = u32::MAX;
/// How sections and the links of a row are aligned: a cache line.
pub(super) const ALIGNMENT: usize = 64;
/// Bytes before the first section.
pub(super) const HEADER_BYTES: usize = 128;
/// More levels than any graph has: at m = 2 one of 2³² rows is expected to have 32.
pub(super) const MAX_LEVEL: u32 = 64;

/// The header: everything that decides how long the sections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The metric, the quantizer, and how many rows there are of which dimension.
    pub(super) codes: CodesLayout,
    pub(super) m: u16,
    pub(super) nodes: u32,
    pub(super) entry: u32,
    pub(super) max_level: u32,
    pub(super) ef_construction: u32,
    pub(super) upper_nodes: u32,
    pub(super) upper_lists: u32,
    pub(super) copied: u32,
    pub(super) copies: u32,
}

/// Where the sections of one file lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) codes: Range<usize>,
    pub(super) links: Range<usize>,
    pub(super) nodes: Range<usize>,
    pub(super) upper_rows: Range<usize>,
    pub(super) upper_first: Range<usize>,
    pub(super) upper_links: Range<usize>,
    pub(super) copied: Range<usize>,
    pub(super) copies_first: Range<usize>,
    pub(super) copies: Range<usize>,
    /// The length of the file.
    pub(super) len: usize,
}

/// Places for links on the lowest level.
pub(super) fn places(m: u16) -> usize {
    2 * usize::from(m)
}

/// Bytes of a row's links on the lowest level, with padding.
pub(super) fn link_stride(m: u16) -> usize {
    (places(m) * size_of::<u32>()).next_multiple_of(ALIGNMENT)
}

impl Header {
    /// The sections that these counts call for; `None` if they do not fit the address space.
    pub(super) fn sections(&self) -> Option<Sections> {
        let rows = self.codes.rows();
        let mut end = HEADER_BYTES;
        let mut section = |count: usize, stride: usize| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            end = start.checked_add(count.checked_mul(stride)?)?;
            Some(start..end)
        };
        let word = size_of::<u32>();
        Some(Sections {
            codes: section(rows, self.codes.stride())?,
            links: section(rows, link_stride(self.m))?,
            nodes: section(rows.div_ceil(64), size_of::<u64>())?,
            upper_rows: section(self.upper_nodes as usize, word)?,
            upper_first: section(self.upper_nodes as usize + 1, word)?,
            upper_links: section(self.upper_lists as usize, usize::from(self.m) * word)?,
            copied: section(self.copied as usize, word)?,
            copies_first: section(self.copied as usize + 1, word)?,
            copies: section(self.copies as usize, word)?,
            len: end,
        })
    }

    /// The header's bytes.
    pub(super) fn write(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[12] = metric_number(self.codes.metric());
        bytes[13] = quantizer_number(self.codes.quantizer());
        bytes[14..16].copy_from_slice(&self.m.to_le_bytes());
        let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(8, VERSION);
        for (index, value) in self.numbers().into_iter().enumerate() {
            put(NUMBERS_AT + 4 * index, value);
        }
        bytes
    }

    /// The u32 fields in their order from [`NUMBERS_AT`].
    fn numbers(&self) -> [u32; 11] {
        let Self { codes, nodes, entry, max_level, ef_construction, upper_nodes, upper_lists, copied, copies, .. } =
            *self;
        // Both fit, as the layout of the codes promises.
        let (dim, rows, exponent) = (codes.dim() as u32, codes.rows() as u32, codes.exponent() as u32);
        [dim, rows, nodes, entry, max_level, ef_construction, upper_nodes, upper_lists, copied, copies, exponent]
    }

    /// Reads a header whose fields are each possible; how they fit together is for validation.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Malformed::TooShort { len: bytes.len() as u64 });
        };
        if bytes[..8] != MAGIC {
            return Err(Malformed::Foreign);
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let version = number(8);
        if version != VERSION {
            return Err(Malformed::UnknownVersion { version, known: VERSION });
        }
        let wrong = |field: &'static str, value: u64| Malformed::Header { field, value };
        let metric = Metric::ALL.into_iter().find(|&metric| metric_number(metric) == bytes[12]);
        let quantizer = Quantizer::ALL.into_iter().find(|&quantizer| quantizer_number(quantizer) == bytes[13]);
        let mut numbers = [0; 11];
        for (index, value) in numbers.iter_mut().enumerate() {
            *value = number(NUMBERS_AT + 4 * index);
        }
        let [dim, rows, nodes, entry, max_level, ef_construction, upper_nodes, upper_lists, copied, copies, exponent] =
            numbers;
        let metric = metric.ok_or(wrong("metric", bytes[12].into()))?;
        let quantizer = quantizer.ok_or(wrong("quantizer", bytes[13].into()))?;
        Ok(Self {
            codes: CodesLayout::new(quantizer, metric, dim as usize, rows as usize, exponent as i32)?,
            m: u16::from_le_bytes([bytes[14], bytes[15]]),
            nodes,
            entry,
            max_level,
            ef_construction,
            upper_nodes,
            upper_lists,
            copied,
            copies,
        })
    }
}

/// Where the u32 fields of the header start.
const NUMBERS_AT: usize = 16;

/// The number that stands for a metric in the header.
fn metric_number(metric: Metric) -> u8 {
    match metric {
        Metric::L2 => 0,
        Metric::Cosine => 1,
        Metric::InnerProduct => 2,
        Metric::L1 => 3,
    }
}

/// The number that stands for a quantizer in the header.
fn quantizer_number(quantizer: Quantizer) -> u8 {
    match quantizer {
        Quantizer::F32 => 0,
        Quantizer::F16 => 1,
        Quantizer::I8 => 2,
    }
}
