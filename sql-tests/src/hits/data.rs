//! The table `hits` as a Parquet file: 42 columns, the same rows every time.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::row::{Hit, TIMINGS};
use crate::tpch::data::TableFile;

/// Rows that are drawn from one seed.
const BATCH_ROWS: usize = 8192;

/// Rows of a row group: enough groups for every partition of a reader to have work.
const ROW_GROUP_ROWS: usize = 16 * BATCH_ROWS;

/// Writes `hits-{rows}.parquet` into a directory: Snappy, the writer's defaults for everything but the row groups. A file that
/// is there already is taken as it is.
///
/// # Errors
/// The file cannot be written.
pub fn generate(directory: &Path, rows: usize) -> Result<TableFile, ParquetError> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("hits-{rows}.parquet"));
    let schema = schema()?;
    if !path.exists() {
        write(&path, &schema, rows)?;
    }
    Ok(TableFile { name: "hits", path, schema, rows })
}

/// Written under another name first, so that an interrupted run leaves no half a file to be taken for a whole one.
fn write(path: &Path, schema: &SchemaRef, rows: usize) -> Result<(), ParquetError> {
    let unfinished = path.with_extension("unfinished");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(&unfinished)?, SchemaRef::clone(schema), Some(properties))?;
    for first in (0..rows).step_by(BATCH_ROWS) {
        writer.write(&batch(first, BATCH_ROWS.min(rows - first), rows)?)?;
    }
    writer.close()?;
    Ok(std::fs::rename(unfinished, path)?)
}

/// The columns' names and types.
///
/// # Errors
/// Does not happen: the columns are always of one length.
fn schema() -> Result<SchemaRef, ParquetError> {
    Ok(batch(0, 0, 0)?.schema())
}

/// So many rows from `first` on, of a table of `rows`.
///
/// # Errors
/// Does not happen: the columns are always of one length.
pub fn batch(first: usize, count: usize, rows: usize) -> Result<RecordBatch, ParquetError> {
    let mut rng = SmallRng::seed_from_u64(0x0001_7500 ^ first as u64);
    let hits: Vec<Hit> = (first..first + count).map(|number| Hit::draw(number, rows, &mut rng)).collect();
    let columns = columns(&hits);
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), name == "price")).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn columns(hits: &[Hit]) -> Vec<(String, ArrayRef)> {
    let small = |of: fn(&Hit) -> i16| Arc::new(Int16Array::from_iter_values(hits.iter().map(of))) as ArrayRef;
    let int = |of: fn(&Hit) -> i32| Arc::new(Int32Array::from_iter_values(hits.iter().map(of))) as ArrayRef;
    let big = |of: fn(&Hit) -> i64| Arc::new(Int64Array::from_iter_values(hits.iter().map(of))) as ArrayRef;
    let text = |of: fn(&Hit) -> &str| Arc::new(StringArray::from_iter_values(hits.iter().map(of))) as ArrayRef;
    let flag =
        |of: fn(&Hit) -> bool| Arc::new(BooleanArray::from_iter(hits.iter().map(|hit| Some(of(hit))))) as ArrayRef;
    let date = |hit: &Hit| (hit.time_us / 86_400_000_000) as i32;
    let named = [
        ("hit_id", big(|hit| hit.id)),
        ("event_time", Arc::new(TimestampMicrosecondArray::from_iter_values(hits.iter().map(|hit| hit.time_us))) as _),
        ("event_date", Arc::new(Date32Array::from_iter_values(hits.iter().map(date))) as _),
        ("user_id", big(|hit| hit.user)),
        ("session_id", big(|hit| hit.session)),
        ("site_id", int(|hit| hit.site)),
        ("region_id", int(|hit| hit.region)),
        ("country", text(|hit| hit.country)),
        ("url", text(|hit| &hit.url)),
        ("title", text(|hit| &hit.title)),
        ("referer", text(|hit| &hit.referer)),
        ("search_phrase", text(|hit| &hit.phrase)),
        ("search_engine_id", small(|hit| hit.engine)),
        ("os_id", small(|hit| hit.os)),
        ("browser_id", small(|hit| hit.browser)),
        ("phone_model", text(|hit| hit.model)),
        ("screen_width", small(|hit| hit.screen.0)),
        ("screen_height", small(|hit| hit.screen.1)),
        ("is_refresh", flag(|hit| hit.is_refresh)),
        ("ad_id", int(|hit| hit.ad)),
        ("price", Arc::new(Float64Array::from_iter(hits.iter().map(|hit| hit.price))) as _),
        ("bytes_sent", int(|hit| hit.sent)),
    ];
    let timings = (0..TIMINGS).map(|phase| {
        let values = hits.iter().map(|hit| hit.timings_ms[phase]);
        (format!("timing_{phase}"), Arc::new(Int32Array::from_iter_values(values)) as ArrayRef)
    });
    named.into_iter().map(|(name, column)| (name.to_owned(), column)).chain(timings).collect()
}
