//! How a table's rows become columns of a segment: the data file's schema and Parquet settings.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding, LogicalType, Type as PhysicalType};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{ColumnDescriptor, SchemaDescPtr, SchemaDescriptor};

use crate::error::{Error, Result};
use crate::ids::FieldId;
use crate::schema::{TableSchema, field_id, vector_dimension};
use crate::segment::{ROW_GROUP_ROWS, ROW_ID_COLUMN, SEGMENT_ROWS_MAX};

/// A segment is cut before its vectors, or roughly its other data, exceed this.
pub(super) const SEGMENT_BYTES_MAX: usize = 1 << 30;
/// Rows per page of a scalar column: late fetch reads whole pages to return a few rows.
pub(super) const PAGE_ROWS: usize = 8192;

/// A vector column.
#[derive(Debug, Clone, Copy)]
pub(super) struct VectorColumn {
    pub(super) position: usize,
    pub(super) field: FieldId,
    pub(super) dim: usize,
}

/// Everything about a table that the writer needs, computed once per call.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: Arc<TableSchema>,
    /// The table's columns, then the row id column where there is one.
    pub(super) data_schema: SchemaRef,
    pub(super) has_row_ids: bool,
    pub(super) vectors: Vec<VectorColumn>,
    /// Columns with statistics: position and id.
    pub(super) columns: Vec<(usize, FieldId)>,
    pub(super) segment_rows_max: usize,
}

impl Layout {
    pub(super) fn new(schema: &Arc<TableSchema>, has_row_ids: bool) -> Result<Self> {
        let table_fields = schema.arrow.fields();
        let mut fields: Vec<Arc<Field>> = table_fields.iter().cloned().collect();
        if has_row_ids {
            fields.push(Arc::new(Field::new(ROW_ID_COLUMN, DataType::UInt64, false)));
        }
        let data_schema = Arc::new(Schema::new(fields));
        let (mut vectors, mut columns) = (Vec::new(), Vec::new());
        for (position, field) in table_fields.iter().enumerate() {
            let id = field_id(field)
                .ok_or_else(|| Error::Internal { detail: format!("column \"{}\" has no field id", field.name()) })?;
            columns.push((position, id));
            if let Some(dim) = vector_dimension(field.data_type()) {
                vectors.push(VectorColumn { position, field: id, dim });
            }
        }
        let segment_rows_max = segment_rows_max(&vectors);
        Ok(Self { schema: Arc::clone(schema), data_schema, has_row_ids, vectors, columns, segment_rows_max })
    }
}

/// The data file's part of a layout, in Parquet's terms; rows that need no file do without.
#[derive(Debug)]
pub(super) struct ParquetLayout {
    pub(super) schema: SchemaDescPtr,
    pub(super) properties: WriterPropertiesPtr,
    /// Where the first vector column stands among the leaves of the schema.
    pub(super) first_vector_leaf: Option<usize>,
}

impl ParquetLayout {
    pub(super) fn new(layout: &Layout) -> Result<Self> {
        let schema = ArrowSchemaConverter::new().convert(&layout.data_schema).map_err(|source| Error::Parquet {
            action: "describe the columns of",
            path: "a segment".into(),
            source,
        })?;
        let properties = properties(&layout.data_schema, &schema, &layout.vectors);
        let first = layout.vectors.first();
        let is_first = |leaf: &usize| first.is_some_and(|v| v.position == schema.get_column_root_idx(*leaf));
        let first_vector_leaf = (0..schema.num_columns()).find(is_first);
        Ok(Self { schema: Arc::new(schema), properties: Arc::new(properties), first_vector_leaf })
    }
}

/// Rows per segment: whole row groups where more than one fits.
fn segment_rows_max(vectors: &[VectorColumn]) -> usize {
    let row_bytes: usize = vectors.iter().map(|v| v.dim * size_of::<f32>()).sum();
    let rows = SEGMENT_BYTES_MAX.checked_div(row_bytes).unwrap_or(SEGMENT_ROWS_MAX).clamp(1, SEGMENT_ROWS_MAX);
    if rows > ROW_GROUP_ROWS { rows - rows % ROW_GROUP_ROWS } else { rows }
}

fn is_float(column: &ColumnDescriptor) -> bool {
    matches!(column.physical_type(), PhysicalType::FLOAT | PhysicalType::DOUBLE)
        || matches!(column.logical_type_ref(), Some(LogicalType::Float16))
}

/// Scalar columns are compressed lightly, because scans decode them again and again, and carry statistics per page.
/// Vectors are stored plain: they do not compress, and no bound of an element says anything about a distance.
fn properties(schema: &Schema, parquet: &SchemaDescriptor, vectors: &[VectorColumn]) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("volley version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS);
    for leaf in 0..parquet.num_columns() {
        let root = parquet.get_column_root_idx(leaf);
        if vectors.iter().any(|v| v.position == root) {
            let column = parquet.column(leaf).path().clone();
            properties = properties
                .set_column_encoding(column.clone(), Encoding::PLAIN)
                .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_statistics_enabled(column, EnabledStatistics::None);
        } else if is_float(&parquet.column(leaf)) {
            // Parquet's bounds leave NaN out, SQL's comparisons do not: a reader would skip pages whose NaN qualify. The
            // segment's own bounds in the log know about NaN.
            let column = parquet.column(leaf).path().clone();
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
        }
    }
    let mut properties = properties.build();
    add_encoded_arrow_schema_to_metadata(schema, &mut properties);
    properties
}
