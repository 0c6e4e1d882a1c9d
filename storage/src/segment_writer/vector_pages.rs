//! The pages of a vector column: plain elements, under levels that say where each vector begins.
//!
//! ```text
//! page    length u32 · repetition levels · length u32 · definition levels · elements
//! levels  runs, each: count × 2 as a varint · level u8
//! ```
//! Parquet keeps a fixed-size list as one of any length: its first element has repetition level 0, the others 1; a NULL
//! vector has no elements and definition level 0. The stock writer works both levels out element by element; here they are
//! runs from the start.

use arrow::array::{Array, AsArray, FixedSizeListArray};
use arrow::datatypes::Float32Type;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use std::io::Write;

use super::layout::PAGE_ROWS;

/// Bytes of the elements of a page, at most (if one vector has not more).
const PAGE_BYTES: usize = 1 << 20;

/// The column chunk of vectors that is being written.
pub(super) struct VectorChunk {
    column: ColumnDescPtr,
    dim: usize,
    page_rows_max: usize,
    /// Levels and elements of the page to come.
    repetition: Runs,
    definition: Runs,
    elements: Vec<u8>,
    page_rows: usize,
    page_levels: usize,
    /// Where the chunk begins; known with its first page.
    begin: Option<u64>,
    bytes: u64,
    levels: usize,
    pages: OffsetIndexBuilder,
}

/// Levels, each with how often it follows.
#[derive(Debug, Default)]
struct Runs {
    bytes: Vec<u8>,
    level: u8,
    count: u64,
}

impl Runs {
    fn push(&mut self, level: u8, count: usize) {
        if level != self.level {
            self.end_run();
            self.level = level;
        }
        self.count += count as u64;
    }

    fn end_run(&mut self) {
        let mut rest = std::mem::take(&mut self.count) << 1;
        if rest == 0 {
            return;
        }
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.extend([rest as u8, self.level]);
    }

    /// Moves what was pushed to the end of a page.
    fn drain_to(&mut self, page: &mut Vec<u8>) {
        self.end_run();
        page.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        page.append(&mut self.bytes);
    }
}

impl VectorChunk {
    pub(super) fn new(column: ColumnDescPtr, dim: usize) -> Self {
        let page_rows_max = (PAGE_BYTES / (dim.max(1) * size_of::<f32>())).clamp(1, PAGE_ROWS);
        Self {
            column,
            dim,
            page_rows_max,
            repetition: Runs::default(),
            definition: Runs::default(),
            elements: Vec::new(),
            page_rows: 0,
            page_levels: 0,
            begin: None,
            bytes: 0,
            levels: 0,
            pages: OffsetIndexBuilder::new(),
        }
    }

    /// Appends vectors of the column's dimension; pages that are full go to the sink.
    pub(super) fn push<W: Write + Send>(
        &mut self,
        vectors: &FixedSizeListArray,
        sink: &mut TrackedWrite<W>,
    ) -> Result<()> {
        let mut from = 0;
        while from < vectors.len() {
            let count = (vectors.len() - from).min(self.page_rows_max - self.page_rows);
            self.append(&vectors.slice(from, count))?;
            from += count;
            if self.page_rows == self.page_rows_max {
                self.end_page(sink)?;
            }
        }
        Ok(())
    }

    /// Appends to the page to come.
    fn append(&mut self, vectors: &FixedSizeListArray) -> Result<()> {
        let elements = vectors.values().as_primitive_opt::<Float32Type>();
        let elements = elements.filter(|_| vectors.value_length() as usize == self.dim);
        let elements = elements.ok_or_else(|| ParquetError::General("not vectors of this column".into()))?;
        let stride = self.dim * size_of::<f32>();
        let first = vectors.value_offset(0) as usize * size_of::<f32>();
        let rows = &elements.values().inner().as_slice()[first..first + vectors.len() * stride];
        let present = self.column.max_def_level() as u8;
        match vectors.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                self.elements.extend_from_slice(rows);
                (0..vectors.len()).for_each(|_| self.push_levels(present));
            }
            Some(nulls) => {
                for (row, vector) in rows.chunks_exact(stride).enumerate() {
                    if nulls.is_valid(row) {
                        self.elements.extend_from_slice(vector);
                        self.push_levels(present);
                    } else {
                        self.push_levels(0);
                    }
                }
            }
        }
        self.page_rows += vectors.len();
        Ok(())
    }

    /// The levels of one row.
    fn push_levels(&mut self, definition: u8) {
        let count = if definition == 0 { 1 } else { self.dim };
        self.repetition.push(0, 1);
        self.repetition.push(1, count - 1);
        self.definition.push(definition, count);
        self.page_levels += count;
    }

    fn end_page<W: Write + Send>(&mut self, sink: &mut TrackedWrite<W>) -> Result<()> {
        let mut page = Vec::with_capacity(self.elements.len() + self.repetition.bytes.len() + PAGE_ROWS);
        self.repetition.drain_to(&mut page);
        self.definition.drain_to(&mut page);
        page.append(&mut self.elements);
        let (size, levels) = (page.len(), std::mem::take(&mut self.page_levels));
        let page = Page::DataPage {
            buf: page.into(),
            num_values: u32::try_from(levels)?,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = SerializedPageWriter::new(sink).write_page(CompressedPage::new(page, size))?;
        self.begin.get_or_insert(written.offset);
        self.bytes += written.bytes_written;
        self.levels += levels;
        self.pages.append_offset_and_size(i64::try_from(written.offset)?, i32::try_from(written.bytes_written)?);
        self.pages.append_row_count(std::mem::take(&mut self.page_rows) as i64);
        Ok(())
    }

    /// Ends the last page: what the footer says about the chunk, and where its pages are.
    pub(super) fn finish<W: Write + Send>(
        mut self,
        sink: &mut TrackedWrite<W>,
    ) -> Result<(ColumnChunkMetaData, OffsetIndexMetaData)> {
        if self.page_rows > 0 {
            self.end_page(sink)?;
        }
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_num_values(self.levels as i64)
            .set_total_compressed_size(self.bytes as i64)
            .set_total_uncompressed_size(self.bytes as i64)
            .set_data_page_offset(self.begin.unwrap_or_default() as i64)
            .build()?;
        Ok((metadata, self.pages.build()))
    }
}
