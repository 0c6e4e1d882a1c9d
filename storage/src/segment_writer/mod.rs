//! Rows become segments: checked, encoded as Parquet with their sidecars, hashed and made durable.
//!
//! ```text
//! rows ─► checks ─► few enough? ─► one inline segment, no file at all
//!                       │
//!                       └─► encoder, on a thread of its own ─► parts ─► uploads, on the I/O runtime
//! ```
//!
//! The stream is polled here, the encoder works on the blocking pool, and bounded channels lie on both sides of it, so a
//! slow store slows the rows down instead of filling the memory. What is buffered is one Parquet row group without the
//! vectors of its first vector column (data_file.rs), and a few parts.

mod data_file;
mod encoder;
mod inline;
mod layout;
mod output;
mod rows;
mod size;
mod statistics;
mod vector_pages;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::{FieldId, TableId};
use crate::schema::TableSchema;
use crate::segment::ColumnStats;
use crate::snapshot::Snapshot;
use crate::store::StagedSegment;
use encoder::{Encoded, Encoder};
use layout::Layout;
use output::{Delivery, Destination};
pub use size::data_bytes;

/// Inline segments have at most so many rows.
const INLINE_ROWS_MAX: usize = 1024;
/// Up to so many bytes are encoded where they are: a few milliseconds are not worth another thread.
const IN_PLACE_BYTES_MAX: usize = 128 << 10;
/// Batches that may wait for the encoder.
const BATCHES_WAITING_MAX: usize = 4;

/// How rows are staged.
#[derive(Debug, Clone, Copy)]
pub struct StageOptions {
    /// The rows carry a physical row id column after the table's columns.
    pub row_ids: bool,
    /// Rows with fewer bytes than this become an inline segment, if they are few; 0 never inlines.
    pub inline_bytes_max: usize,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self { row_ids: false, inline_bytes_max: 64 << 10 }
    }
}

/// How much one segment of a table holds: rows are cut off when either is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Rows, at most.
    pub rows: usize,
    /// Bytes of data after which no more rows are added.
    pub bytes: usize,
}

/// How much one segment of a table with this schema holds.
///
/// # Errors
/// A schema whose columns have no field ids.
pub fn segment_limits(schema: &Arc<TableSchema>) -> Result<SegmentLimits> {
    let layout = Layout::new(schema, false)?;
    Ok(SegmentLimits { rows: layout.segment_rows_max, bytes: layout::SEGMENT_BYTES_MAX })
}

/// Writes rows as segments; see [`crate::store::TableStore::stage`]. Everything is durable when the call returns, and
/// nothing is visible. Files of a call that failed or was dropped are orphans for the garbage collector.
pub async fn stage(
    env: &Env,
    table: TableId,
    snapshot: &Snapshot,
    mut rows: BoxStream<'_, Result<RecordBatch>>,
    options: StageOptions,
) -> Result<Vec<StagedSegment>> {
    let layout = Arc::new(Layout::new(&snapshot.schema, options.row_ids)?);
    let (head, ended) = read_head(&mut rows, options.inline_bytes_max.max(IN_PLACE_BYTES_MAX)).await?;
    let count: usize = head.iter().map(RecordBatch::num_rows).sum();
    let bytes: usize = head.iter().map(data_bytes).sum();
    if ended && count == 0 {
        return Ok(Vec::new());
    }
    if ended && count <= INLINE_ROWS_MAX && bytes < options.inline_bytes_max {
        return Ok(vec![inline::segment(env, &layout, &head)?]);
    }
    let destination = Destination {
        store: Arc::clone(&env.store),
        table: Path::from_iter(["tables".to_string(), table.to_string()]),
        uploads: None,
        failure: Arc::new(Mutex::new(None)),
    };
    let encoded = if ended && bytes <= IN_PLACE_BYTES_MAX {
        let mut encoder = Encoder::new(env.clone(), layout, destination.clone())?;
        for batch in &head {
            encoder.push(batch)?;
        }
        encoder.finish()?
    } else {
        let destination = Destination { uploads: Some(Handle::current()), ..destination.clone() };
        encode_on_thread(Encoder::new(env.clone(), layout, destination)?, head, rows).await?
    };
    deliver(encoded, &destination).await
}

/// Reads until the stream ends or more than `bytes_max` have come.
async fn read_head(
    rows: &mut BoxStream<'_, Result<RecordBatch>>,
    bytes_max: usize,
) -> Result<(Vec<RecordBatch>, bool)> {
    let (mut head, mut bytes) = (Vec::new(), 0);
    while bytes <= bytes_max {
        match rows.next().await.transpose()? {
            Some(batch) if batch.num_rows() == 0 => {}
            Some(batch) => {
                bytes += data_bytes(&batch);
                head.push(batch);
            }
            None => return Ok((head, true)),
        }
    }
    Ok((head, false))
}

/// The statistics of one column's values, as they would be recorded for a segment of exactly these rows.
pub fn column_stats(field: FieldId, values: &ArrayRef) -> ColumnStats {
    let mut stats = statistics::Accumulator::new(field);
    stats.update(values);
    stats.finish()
}

enum Work {
    Batch(RecordBatch),
    /// Without this a closed channel means that the caller is gone, and nothing is finished.
    Finish,
}

/// Feeds the encoder on the blocking pool.
async fn encode_on_thread(
    mut encoder: Encoder,
    head: Vec<RecordBatch>,
    mut rows: BoxStream<'_, Result<RecordBatch>>,
) -> Result<Vec<Encoded>> {
    let (sender, mut work) = mpsc::channel(BATCHES_WAITING_MAX);
    let thread = tokio::task::spawn_blocking(move || {
        for batch in &head {
            encoder.push(batch)?;
        }
        drop(head);
        while let Some(next) = work.blocking_recv() {
            match next {
                Work::Batch(batch) => encoder.push(&batch)?,
                Work::Finish => return encoder.finish(),
            }
        }
        Err(Error::Internal { detail: "staging was abandoned".into() })
    });
    let fed = async {
        while let Some(batch) = rows.next().await.transpose()? {
            if sender.send(Work::Batch(batch)).await.is_err() {
                // The encoder has failed; its error says why.
                return Ok(());
            }
        }
        let _ = sender.send(Work::Finish).await;
        Ok(())
    }
    .await;
    drop(sender);
    let encoded = thread.await.map_err(|e| Error::Internal { detail: format!("the encoder ended abnormally: {e}") })?;
    fed.and(encoded)
}

/// Waits until every file is durable.
async fn deliver(encoded: Vec<Encoded>, destination: &Destination) -> Result<Vec<StagedSegment>> {
    let mut segments = Vec::with_capacity(encoded.len());
    for Encoded { segment, deliveries } in encoded {
        let waits = deliveries.into_iter().map(|d: Delivery| d.complete(&destination.store));
        let outcome = futures::future::try_join_all(waits).await;
        if let Err(error) = outcome {
            // The upload's own error, where it left one, says more than that it failed.
            return Err(destination.failure.lock().take().unwrap_or(error));
        }
        segments.push(segment);
    }
    Ok(segments)
}
