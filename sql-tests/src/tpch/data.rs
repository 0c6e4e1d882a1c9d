//! The eight tables, generated as Parquet files, and the statements that load them into Volley.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator, RegionArrow,
    SupplierArrow,
};

/// The tables' names, small ones first.
pub const TABLES: [&str; 8] = ["region", "nation", "supplier", "part", "customer", "partsupp", "orders", "lineitem"];

/// One table as a Parquet file.
#[derive(Debug, Clone)]
pub struct TableFile {
    /// The table's name.
    pub name: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// The columns in the file.
    pub schema: SchemaRef,
    /// Rows in the file.
    pub rows: usize,
}

impl TableFile {
    /// CREATE TABLE with the file's columns and types.
    pub fn create_statement(&self) -> String {
        let columns: Vec<String> = self
            .schema
            .fields()
            .iter()
            .map(|field| {
                let null = if field.is_nullable() { "" } else { " NOT NULL" };
                format!("{} {}{null}", field.name(), sql_type(field.data_type()))
            })
            .collect();
        format!("CREATE TABLE {} ({})", self.name, columns.join(", "))
    }

    /// COPY FROM the file.
    pub fn copy_statement(&self) -> String {
        format!("COPY {} FROM '{}'", self.name, self.path.display())
    }
}

/// Writes all tables as `{name}.parquet` into a directory: Snappy, row groups of a million rows, the writer's defaults for
/// everything else. Files that are there already are taken as they are.
///
/// # Errors
/// A file cannot be written or read.
pub fn generate(directory: &Path, scale: f64) -> Result<Vec<TableFile>, ParquetError> {
    std::fs::create_dir_all(directory)?;
    TABLES.iter().map(|name| table(directory, name, scale)).collect()
}

fn table(directory: &Path, name: &'static str, scale: f64) -> Result<TableFile, ParquetError> {
    let path = directory.join(format!("{name}.parquet"));
    let mut rows: Box<dyn RecordBatchIterator> = match name {
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1))),
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1))),
        _ => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))),
    };
    let schema = SchemaRef::clone(rows.schema());
    if !path.exists() {
        write(&path, &schema, rows.as_mut())?;
    }
    let reader = parquet::file::reader::SerializedFileReader::new(File::open(&path)?)?;
    let metadata = parquet::file::reader::FileReader::metadata(&reader);
    let rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
    Ok(TableFile { name, path, schema, rows })
}

/// Written under another name first, so that an interrupted run leaves no half a file to be taken for a whole one.
fn write(path: &Path, schema: &SchemaRef, rows: &mut dyn RecordBatchIterator) -> Result<(), ParquetError> {
    let unfinished = path.with_extension("unfinished");
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(&unfinished)?, SchemaRef::clone(schema), Some(properties))?;
    for batch in rows {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(std::fs::rename(unfinished, path)?)
}

fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Float64 => "DOUBLE PRECISION".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        _ => "TEXT".to_owned(),
    }
}
