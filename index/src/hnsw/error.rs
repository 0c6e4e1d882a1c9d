//! What can go wrong: while building, and with a file that is no index or no longer one.

use crate::Error;

/// Why an index was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A parameter outside its range.
    #[error("{name} = {value} is out of range: {min} to {max}")]
    OutOfRange {
        /// The parameter's name.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value that is allowed.
        min: usize,
        /// The largest value that is allowed.
        max: usize,
    },
    /// The caller's `cancel` said so.
    #[error("the build was cancelled")]
    Cancelled,
    /// The file would not fit the address space, or memory for it was refused.
    #[error("no memory for an index of {bytes} bytes")]
    OutOfMemory {
        /// The bytes that were asked for, or `u64::MAX` where they cannot be counted.
        bytes: u64,
    },
    /// The rows cannot be encoded.
    #[error(transparent)]
    Codes(#[from] Error),
}

/// Why bytes are not an index that can be searched. The numbers are what the file says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Shorter than a header.
    #[error("{len} bytes are too few for an index file")]
    TooShort {
        /// The file's length.
        len: u64,
    },
    /// Something else than an index file.
    #[error("not an index file: it starts with other bytes")]
    Foreign,
    /// Written by another version.
    #[error("index format {version} is unknown; this build reads format {known}")]
    UnknownVersion {
        /// The file's format version.
        version: u32,
        /// The version that is read.
        known: u32,
    },
    /// A header field with a value it cannot have.
    #[error("the header's {field} cannot be {value}")]
    Header {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// Codes of a shape that there is not.
    #[error("the header's codes are impossible: {0}")]
    Codes(#[from] Error),
    /// Cut short, or longer than its header says.
    #[error("the file has {len} bytes, its header speaks of {expected}")]
    WrongLength {
        /// The file's length.
        len: u64,
        /// What the header's counts add up to.
        expected: u64,
    },
    /// An index over other rows than it is viewed with.
    #[error("the index is over {expected_rows} rows of {expected_dim} dimensions, not {rows} of {dim}")]
    OtherRows {
        /// How many rows there are.
        rows: usize,
        /// The dimension of the rows.
        dim: usize,
        /// How many rows the index was built over.
        expected_rows: usize,
        /// The dimension it was built for.
        expected_dim: usize,
    },
    /// The bitmap of nodes does not match the counts.
    #[error("{found} nodes are marked where the header counts {expected}")]
    NodeCount {
        /// Nodes counted in the bitmap.
        found: u64,
        /// Nodes in the header.
        expected: u64,
    },
    /// Links that no builder writes: beyond the rows, to a row without node, to itself, or after the end of the list.
    #[error("row {row} has a bad link at level {level}")]
    Link {
        /// The row whose links these are.
        row: u32,
        /// The level of the graph.
        level: u32,
    },
    /// Links where there is no node.
    #[error("row {row} has links but no node")]
    NoNode {
        /// The row.
        row: u32,
    },
    /// The table of upper levels is out of order.
    #[error("the upper levels are inconsistent at entry {index}")]
    UpperLevels {
        /// The entry of the table.
        index: u32,
    },
    /// The entry point is no node, or not on the highest level.
    #[error("the entry point, row {row}, is not a node of the highest level")]
    EntryPoint {
        /// The row.
        row: u32,
    },
    /// The table of copies is out of order, or names rows that cannot be copies.
    #[error("the copies are inconsistent at entry {index}")]
    Copies {
        /// The entry of the table.
        index: u32,
    },
}
