//! COPY FROM: files read with the types their columns should have, then assigned to the table's columns.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::file_format::FileFormat as DataFusionFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use futures::TryStreamExt;
use volley_storage::ErrorKind;
use volley_storage::schema::TableSchema;

use super::insert::target_columns;
use super::parquet_footer::check_footers;
use super::{AssignmentMode, assign_columns};
use crate::damaged_files::contain;
use crate::error::{Error, ObjectKind};
use crate::sql::{CopyOptions, FileFormat};

/// Plans a COPY FROM into a table of this schema; the plan's rows are the new rows.
///
/// CSV columns fill the table's (or the column list's) by position; Parquet and JSON columns by name. `path` is a file, a
/// directory (ending in `/`) or a pattern.
pub async fn plan_copy_from(
    state: &SessionState,
    table: &str,
    schema: &TableSchema,
    columns: &[String],
    path: &str,
    options: &CopyOptions,
) -> Result<LogicalPlan> {
    let targets = target_columns(table, schema, columns)?;
    let url = ListingTableUrl::parse(path)?;
    let first = first_file(state, &url, path).await?;
    let compression = compression(options, &first)?;
    let format: Arc<dyn DataFusionFormat> = match options.format {
        FileFormat::Parquet => Arc::new(ParquetFormat::default().with_options(state.table_options().parquet.clone())),
        FileFormat::Csv => Arc::new(csv_format(options).with_file_compression_type(compression)),
        FileFormat::Json => Arc::new(JsonFormat::default().with_file_compression_type(compression)),
    };
    // Files are what the statement names, whatever their endings.
    let listing = ListingOptions::new(format).with_file_extension("");
    let file_schema = match options.format {
        FileFormat::Parquet => {
            check_footers(state, &url, "").await?;
            contain(path, listing.infer_schema(state, &url)).await?
        }
        FileFormat::Csv => csv_schema(schema, &targets),
        FileFormat::Json => json_schema(schema, &targets),
    };
    let sources = match options.format {
        FileFormat::Csv => {
            let mut sources = vec![None; schema.arrow.fields().len()];
            targets.iter().enumerate().for_each(|(position, target)| sources[*target] = Some(position));
            sources
        }
        FileFormat::Parquet | FileFormat::Json => by_name(path, table, schema, &targets, &file_schema)?,
    };
    let mode = match options.format {
        FileFormat::Parquet => AssignmentMode::SameMeaning,
        FileFormat::Csv | FileFormat::Json => AssignmentMode::Cast,
    };
    let config = ListingTableConfig::new(url).with_listing_options(listing).with_schema(file_schema);
    let files: Arc<dyn TableProvider> = Arc::new(ListingTable::try_new(config)?);
    let scan = LogicalPlanBuilder::scan("file", provider_as_source(files), None)?.build()?;
    assign_columns(state, scan, schema, &sources, mode)
}

/// The first file that a path names.
///
/// # Errors
/// There is none.
pub async fn first_file(state: &SessionState, url: &ListingTableUrl, path: &str) -> Result<String> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    match files.try_next().await {
        Ok(Some(file)) => Ok(file.location.to_string()),
        Err(error) if matches!(&error, DataFusionError::ObjectStore(cause) if is_denied(cause)) => Err(error),
        Ok(None) | Err(_) => {
            Err(Error::invalid(ErrorKind::UndefinedFile, format!("no file matches \"{path}\"; check the path")).into())
        }
    }
}

/// Whether a file may not be read, which is another thing than that there is none.
fn is_denied(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::PermissionDenied { .. })
}

/// The compression the statement names, or the one of the file's ending.
fn compression(options: &CopyOptions, file: &str) -> Result<FileCompressionType> {
    let named = options.compression.clone().or_else(|| match file.rsplit('.').next() {
        Some("gz") => Some("gzip".to_owned()),
        Some("zst") => Some("zstd".to_owned()),
        Some("bz2") => Some("bzip2".to_owned()),
        Some("xz") => Some("xz".to_owned()),
        _ => None,
    });
    match named {
        None => Ok(FileCompressionType::UNCOMPRESSED),
        Some(name) => name.parse(),
    }
}

fn csv_format(options: &CopyOptions) -> CsvFormat {
    let mut format = CsvFormat::default()
        .with_has_header(options.header.unwrap_or(true))
        .with_delimiter(options.delimiter.unwrap_or(b','))
        .with_quote(options.quote.unwrap_or(b'"'))
        .with_escape(options.escape)
        .with_newlines_in_values(true);
    if let Some(null) = &options.null {
        format = format.with_null_regex(Some(format!("^{}$", escape_regex(null))));
    }
    format
}

/// The text as a regular expression that matches just it.
fn escape_regex(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$#&-~".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// CSV columns in the types of the columns they fill; types CSV has no form for are read as text.
fn csv_schema(schema: &TableSchema, targets: &[usize]) -> SchemaRef {
    let fields = targets.iter().map(|target| {
        let field = schema.arrow.field(*target);
        let data_type = match field.data_type() {
            nested if nested.is_nested() => DataType::Utf8,
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::Binary | DataType::BinaryView | DataType::Interval(_) | DataType::Time64(_) => DataType::Utf8,
            DataType::Time32(_) => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// JSON members in the types of the columns they fill; vectors are arrays of numbers.
fn json_schema(schema: &TableSchema, targets: &[usize]) -> SchemaRef {
    let fields = targets.iter().map(|target| {
        let field = schema.arrow.field(*target);
        let data_type = match field.data_type() {
            DataType::FixedSizeList(item, _) => {
                DataType::List(Arc::new(Field::new_list_field(item.data_type().clone(), true)))
            }
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// For each column of the table the one of the same name among those of rows that come from elsewhere; the rows have no
/// others.
pub fn columns_by_name(table: &str, schema: &TableSchema, given: &SchemaRef) -> Result<Vec<Option<usize>>, Error> {
    let known = || schema.arrow.fields().iter().map(|field| field.name());
    if let Some(field) = given.fields().iter().find(|field| schema.arrow.index_of(field.name()).is_err()) {
        let name = format!("{table}.{}", field.name());
        return Err(Error::undefined(ObjectKind::Column, &name, known().map(|known| format!("{table}.{known}"))));
    }
    Ok(known().map(|name| given.index_of(name).ok()).collect())
}

/// For each column of the table the file's column of the same name; the two have to have the same columns.
fn by_name(
    path: &str,
    table: &str,
    schema: &TableSchema,
    targets: &[usize],
    file: &SchemaRef,
) -> Result<Vec<Option<usize>>, Error> {
    let mut sources = vec![None; schema.arrow.fields().len()];
    for target in targets {
        let name = schema.arrow.field(*target).name();
        let Ok(position) = file.index_of(name) else {
            let sentence = format!(
                "\"{path}\" has no column \"{name}\" of table \"{table}\"; name the columns to fill: COPY {table} (…) FROM"
            );
            return Err(Error::invalid(ErrorKind::BadCopyFile, sentence));
        };
        sources[*target] = Some(position);
    }
    let whole_table = targets.len() == schema.arrow.fields().len();
    let unknown = file.fields().iter().find(|field| schema.arrow.index_of(field.name()).is_err());
    match unknown {
        Some(field) if whole_table => {
            let known = schema.arrow.fields().iter().map(|f| f.name());
            let nearest = match Error::undefined(ObjectKind::Column, field.name(), known) {
                Error::Undefined { nearest: Some(nearest), .. } => format!(" (the nearest is \"{nearest}\")"),
                _ => String::new(),
            };
            let sentence = format!(
                "\"{path}\" has a column \"{}\" that table \"{table}\" has not{nearest}; name the columns to fill",
                field.name()
            );
            Err(Error::invalid(ErrorKind::BadCopyFile, sentence))
        }
        _ => Ok(sources),
    }
}
