//! What a commit says about a segment.
//!
//! A segment is an immutable set of rows: its data (a Parquet file, or a few rows inside the commit itself), the
//! sidecars beside it and, kept apart because it changes, its deletion vector.

use crate::ids::{FieldId, RowId, SchemaId, SegmentId, ShardId};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Rows per Parquet row group of a segment: a fixed number, so that offsets map to row groups without the footer.
pub const ROW_GROUP_ROWS: usize = 131_072;
/// The most rows one segment holds.
pub const SEGMENT_ROWS_MAX: usize = 1_048_576;
/// Name of the physical row id column of rewritten segments.
pub const ROW_ID_COLUMN: &str = "_rowid";

/// A file of a table, relative to the table's directory (or foreign, when it starts with a URL scheme).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileRef {
    /// Path below the table's directory, such as `seg/01J…/data.parquet`.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// BLAKE3 of the whole file.
    pub blake3: [u8; 32],
}

/// Where a segment's rows are.
#[derive(Debug, Clone)]
pub enum SegmentData {
    /// A Parquet file with [`ROW_GROUP_ROWS`] rows per row group (the last one may be shorter).
    File(FileRef),
    /// A few rows inside the commit, decoded.
    Inline(Arc<RecordBatch>),
}

/// How a segment's rows are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowIds {
    /// Row at offset `i` has id `first + i`.
    Contiguous {
        /// Id of the row at offset 0.
        first: RowId,
    },
    /// Ids stand in the physical column [`ROW_ID_COLUMN`] (non-null UInt64, last column of the data), ascending.
    Column,
}

/// What a sidecar holds. Storage treats the bytes as opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SidecarKind {
    /// Raw vectors at a fixed stride: see [`crate::vectors`].
    Vectors,
    /// Primary-key hashes: see [`crate::primary_key`].
    PrimaryKey,
    /// An index, named by its method (`hnsw`).
    Index(String),
}

/// A file beside a segment's data, registered by a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// What it holds.
    pub kind: SidecarKind,
    /// Columns it covers.
    pub columns: Vec<FieldId>,
    /// Parameters of its build, sorted by name.
    pub parameters: Vec<(String, String)>,
    /// Version of the file's own format.
    pub format_version: u16,
    /// The file.
    pub file: FileRef,
}

/// A scalar bound of a column in a segment, as a one-element Arrow array of the column's type.
pub type Bound = arrow::array::ArrayRef;

/// Statistics of one column of one segment. Bounds cover non-null values and may be absent, never wrong; deleted rows
/// still count.
#[derive(Debug, Clone)]
pub struct ColumnStats {
    /// The column.
    pub field: FieldId,
    /// Least value (exact, or a truncated lower bound for text longer than 64 bytes).
    pub min: Option<Bound>,
    /// Greatest value (exact, or an upper bound for text longer than 64 bytes).
    pub max: Option<Bound>,
    /// Whether `min` and `max` are exact.
    pub exact: bool,
    /// Rows that are NULL.
    pub null_count: u64,
}

/// The deletion vector of a segment: offsets of deleted rows.
#[derive(Debug, Clone, Default)]
pub enum Deletes {
    /// Nothing is deleted.
    #[default]
    None,
    /// A small bitmap, kept inside the commit.
    Inline(Arc<RoaringBitmap>),
    /// A file `dv/{ulid}.vdv` with `count` deleted rows.
    File {
        /// The file.
        file: FileRef,
        /// Deleted rows.
        count: u64,
    },
}

impl Deletes {
    /// How many rows are deleted.
    pub fn count(&self) -> u64 {
        match self {
            Deletes::None => 0,
            Deletes::Inline(bitmap) => bitmap.len(),
            Deletes::File { count, .. } => *count,
        }
    }
}

/// A segment as one snapshot sees it.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The segment.
    pub id: SegmentId,
    /// Its shard, given at commit.
    pub shard: ShardId,
    /// The schema its rows were written with.
    pub schema_id: SchemaId,
    /// Physical rows, deleted ones included; at most [`SEGMENT_ROWS_MAX`].
    pub rows: u64,
    /// How its rows are numbered.
    pub row_ids: RowIds,
    /// Its rows.
    pub data: SegmentData,
    /// Statistics by column; columns may be absent.
    pub stats: Vec<ColumnStats>,
    /// Files beside the data.
    pub sidecars: Vec<Sidecar>,
    /// Deleted rows.
    pub deletes: Deletes,
}

impl Segment {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows - self.deletes.count()
    }

    /// The raw vectors of a column, if the segment has them.
    pub fn vectors(&self, column: FieldId) -> Option<&Sidecar> {
        self.sidecars.iter().find(|s| s.kind == SidecarKind::Vectors && s.columns == [column])
    }
}

/// Arrow schema of a segment's data file: the table's columns, then [`ROW_ID_COLUMN`] where row ids are a column.
pub type DataSchema = SchemaRef;
