//! Reading files that others wrote.
//!
//! The Parquet reader panics on some damaged files instead of failing. Here that becomes an error that names the file, so
//! that it is the file that is at fault and not the engine.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use datafusion::common::Result;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt, StreamExt};
use volley_executor::segment_source::SegmentSource;
use volley_storage::ErrorKind;

use crate::error::Error;

/// Files that a sentence names, at most.
const NAMED_MAX: usize = 3;

/// The files of others that one partition of a plan node reads, for [`contain_stream`]; `None` if it reads none.
pub fn foreign_files(plan: &dyn ExecutionPlan, partition: usize) -> Option<String> {
    let config = plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
    if config.file_source().is::<SegmentSource>() {
        return None;
    }
    // Partitions without an order of their own share their files.
    let groups = match config.file_groups.get(partition) {
        Some(group) if config.output_partitioning.is_some() => std::slice::from_ref(group),
        _ => config.file_groups.as_slice(),
    };
    let mut names: Vec<&str> =
        groups.iter().flat_map(FileGroup::iter).map(|file| file.object_meta.location.as_ref()).collect();
    names.dedup();
    let shown = names.iter().take(NAMED_MAX).map(|name| format!("/{name}")).collect::<Vec<_>>().join(", ");
    Some(match names.len() {
        0 | 1 => shown,
        2..=NAMED_MAX => format!("one of {shown}"),
        more => format!("one of {shown} and {} more", more - NAMED_MAX),
    })
}

/// Runs what looks at `files`; a panic is an error.
pub(crate) async fn contain<T>(files: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(damaged(files, panic.as_ref()).into()))
}

/// The same for the rows that are read from `files`.
pub fn contain_stream(files: String, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = AssertUnwindSafe(rows).catch_unwind();
    let rows = rows.map(move |item| item.unwrap_or_else(|panic| Err(damaged(&files, panic.as_ref()).into())));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

fn damaged(files: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let detail = text.and_then(|text| text.lines().next()).unwrap_or("the reader gave up");
    Error::invalid(ErrorKind::BadCopyFile, format!("{files} cannot be read: it is damaged ({detail})"))
}
