//! The data file of a segment, as Parquet: vectors go out as they come, other columns row group by row group.
//!
//! ```text
//! "PAR1" · for each row group: pages of the first vector column · the other columns · … · page indexes · footer
//! ```
//! The stock writer keeps a whole row group in memory, because a column lies in one piece and it writes them in order.
//! Where each lies is the footer's to say, though, so the largest can be written first, while the others are gathered.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    FileMetaData, ParquetColumnIndex, ParquetMetaDataBuilder, ParquetMetaDataWriter, ParquetOffsetIndex,
    RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter, TrackedWrite};

use super::layout::{Layout, ParquetLayout};
use super::output::Output;
use super::vector_pages::VectorChunk;
use crate::segment::ROW_GROUP_ROWS;

/// The mark at the beginning of every Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";

/// A data file being written.
pub(super) struct DataFile {
    layout: Arc<Layout>,
    parquet: Arc<ParquetLayout>,
    output: Shared,
    sink: TrackedWrite<Shared>,
    columns: ArrowRowGroupWriterFactory,
    group: Option<Group>,
    groups: Vec<RowGroupMetaData>,
    column_indexes: ParquetColumnIndex,
    offset_indexes: ParquetOffsetIndex,
}

/// The row group being written.
struct Group {
    rows: usize,
    /// A writer for each leaf of the schema; that of the first vector column is not used.
    leaves: Vec<ArrowColumnWriter>,
    vectors: Option<VectorChunk>,
}

/// The file's output; shared, because the writer of footers keeps what it is given.
#[derive(Clone)]
struct Shared(Arc<Mutex<Output>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

impl fmt::Debug for DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataFile").field("bytes", &self.sink.bytes_written()).finish_non_exhaustive()
    }
}

fn internal(detail: &str) -> ParquetError {
    ParquetError::General(detail.to_owned())
}

impl DataFile {
    pub(super) fn new(layout: Arc<Layout>, parquet: Arc<ParquetLayout>, output: Output) -> Result<Self> {
        let output = Shared(Arc::new(Mutex::new(output)));
        let mut sink = TrackedWrite::new(output.clone());
        sink.write_all(MAGIC)?;
        // Only to make column writers: nothing is written to it.
        let stock =
            SerializedFileWriter::new(io::sink(), parquet.schema.root_schema_ptr(), parquet.properties.clone())?;
        let columns = ArrowRowGroupWriterFactory::new(&stock, Arc::clone(&layout.data_schema));
        let (groups, column_indexes, offset_indexes) = Default::default();
        Ok(Self { layout, parquet, output, sink, columns, group: None, groups, column_indexes, offset_indexes })
    }

    /// Appends rows under the layout's schema.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let mut group = match self.group.take() {
                Some(group) => group,
                None => self.begin_group()?,
            };
            let count = (batch.num_rows() - from).min(ROW_GROUP_ROWS - group.rows);
            self.write_to(&mut group, &batch.slice(from, count))?;
            from += count;
            if group.rows == ROW_GROUP_ROWS {
                self.end_group(group)?;
            } else {
                self.group = Some(group);
            }
        }
        Ok(())
    }

    fn begin_group(&self) -> Result<Group> {
        let vectors = self.layout.vectors.first().zip(self.parquet.first_vector_leaf);
        let vectors = vectors.map(|(vector, leaf)| VectorChunk::new(self.parquet.schema.column(leaf), vector.dim));
        Ok(Group { rows: 0, leaves: self.columns.create_column_writers(self.groups.len())?, vectors })
    }

    fn write_to(&mut self, group: &mut Group, batch: &RecordBatch) -> Result<()> {
        let mut leaves = group.leaves.iter_mut();
        let first_vector = self.layout.vectors.first().map(|vector| vector.position);
        for (position, (field, array)) in self.layout.data_schema.fields().iter().zip(batch.columns()).enumerate() {
            if let Some(vectors) = group.vectors.as_mut().filter(|_| Some(position) == first_vector) {
                let _ = leaves.next();
                vectors.push(array.as_fixed_size_list(), &mut self.sink)?;
                continue;
            }
            for leaf in compute_leaves(field, array)? {
                leaves.next().ok_or_else(|| internal("a column has more leaves than its type"))?.write(&leaf)?;
            }
        }
        group.rows += batch.num_rows();
        Ok(())
    }

    /// Writes the columns that were gathered behind the vectors.
    fn end_group(&mut self, group: Group) -> Result<()> {
        let vectors = group.vectors.map(|vectors| vectors.finish(&mut self.sink)).transpose()?;
        let vectors = self.parquet.first_vector_leaf.zip(vectors);
        let mut written = None;
        let ordinal = i16::try_from(self.groups.len())?;
        let keep = |_: &mut _, metadata, _, columns, offsets| {
            written = Some((metadata, columns, offsets));
            Ok(())
        };
        let (schema, properties) = (Arc::clone(&self.parquet.schema), Arc::clone(&self.parquet.properties));
        let mut writer =
            SerializedRowGroupWriter::new(schema, properties, &mut self.sink, ordinal, Some(Box::new(keep)));
        for (leaf, column) in group.leaves.into_iter().enumerate() {
            match &vectors {
                // The vectors are there already: a chunk without bytes stands for them until the group is complete.
                Some((first, (metadata, _))) if *first == leaf => {
                    let metadata = metadata.clone().into_builder();
                    let metadata = metadata.set_total_compressed_size(0).set_data_page_offset(0).build()?;
                    let (bytes_written, rows_written) = (0, group.rows as u64);
                    let (bloom_filter, column_index, offset_index) = (None, None, None);
                    let close = ColumnCloseResult {
                        bytes_written,
                        rows_written,
                        metadata,
                        bloom_filter,
                        column_index,
                        offset_index,
                    };
                    writer.append_column(&Bytes::new(), close)?;
                }
                _ => column.close()?.append_to_row_group(&mut writer)?,
            }
        }
        writer.close()?;
        let (metadata, columns, mut offsets) = written.ok_or_else(|| internal("a row group was not closed"))?;
        let mut metadata: RowGroupMetaData = metadata;
        if let Some((leaf, (vectors, pages))) = vectors {
            let mut builder = metadata.into_builder();
            let mut chunks = builder.take_columns();
            chunks[leaf] = vectors;
            offsets[leaf] = Some(pages);
            metadata = builder.set_column_metadata(chunks).build()?;
        }
        self.groups.push(metadata);
        self.column_indexes.push(columns.into_iter().map(|index| index.unwrap_or(ColumnIndexMetaData::NONE)).collect());
        let offsets: Option<Vec<_>> = offsets.into_iter().collect();
        self.offset_indexes.push(offsets.ok_or_else(|| internal("a column's pages are not known"))?);
        Ok(())
    }

    /// Ends the file; what is left to do with its output.
    pub(super) fn finish(mut self) -> Result<Output> {
        if let Some(group) = self.group.take() {
            self.end_group(group)?;
        }
        let Self { parquet, output, mut sink, groups, column_indexes, offset_indexes, .. } = self;
        let properties = &parquet.properties;
        let file = FileMetaData::new(
            properties.writer_version().as_num(),
            groups.iter().map(RowGroupMetaData::num_rows).sum(),
            Some(properties.created_by().to_owned()),
            properties.key_value_metadata().cloned(),
            Arc::clone(&parquet.schema),
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(file)
            .set_row_groups(groups)
            .set_column_index(Some(column_indexes))
            .set_offset_index(Some(offset_indexes))
            .build();
        // Flushed here, where an error is seen.
        sink.flush()?;
        ParquetMetaDataWriter::new_with_tracked(sink, &metadata).finish()?;
        let output = Arc::try_unwrap(output.0).map_err(|_| internal("a file's output is still in use"))?;
        Ok(output.into_inner())
    }
}
