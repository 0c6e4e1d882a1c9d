//! [`HotColumns`]: columns of segments, decoded once and kept.
//!
//! A search reads a value here and there: the winners' ids, the columns of a filter. To decode pages for each query anew
//! costs more than the search itself. Segments never change, so a decoded column is right as long as its segment is, and
//! deletes are looked at by those who read it: the column holds every row, also those that are deleted.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use volley_storage::ids::{FieldId, SegmentId};
use volley_storage::schema::field_id;
use volley_storage::segment::SegmentData;

use crate::error::Error;
use crate::kept::{Kept, KeptStatistics, Reclaim};
use crate::segment_set::{SegmentHandle, SegmentSet, StorageHandle};
use crate::segment_source::scan_config;

/// Reads of a few rows after which a column is worth decoding as a whole.
const READS_BEFORE: u32 = 2;
/// The same, in addition, where other columns would have to go.
const READS_WHEN_FULL: u32 = 16;
/// One column may take this part of what the cache may.
const LARGEST: usize = 4;

/// Decoded columns, as a session extension (`SessionConfig::with_extension`). Without one everything is read from pages.
/// Clones share them.
#[derive(Debug, Clone)]
pub struct HotColumns(Kept<Key, Entry>);

/// A column of a segment; `None` is the column of row ids.
type Key = (SegmentId, Option<FieldId>);

#[derive(Debug, Clone)]
enum Entry {
    /// Every row of the segment.
    Column(ArrayRef),
    /// How often a few rows of it have been read.
    Read(Arc<AtomicU32>),
    /// It takes more memory than it should.
    TooLarge,
}

impl HotColumns {
    /// No columns yet.
    pub fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self(Kept::new("decoded columns", pool))
    }

    /// Those of a task.
    pub(crate) fn of(task: &TaskContext) -> Option<Arc<HotColumns>> {
        task.session_config().get_extension::<HotColumns>()
    }

    /// The cache as whoever is short of memory sees it.
    pub fn reclaimable(&self) -> Weak<dyn Reclaim> {
        self.0.reclaimable()
    }

    /// What it holds, and how useful it was.
    pub fn statistics(&self) -> KeptStatistics {
        self.0.statistics()
    }

    /// The rows at these offsets, ascending, of a column that is often asked for a few of its rows; `None` where it is not
    /// kept, or not yet.
    pub(crate) async fn rows(
        &self,
        task: &Arc<TaskContext>,
        set: &Arc<SegmentSet>,
        segment: &SegmentHandle,
        index: usize,
        offsets: &RoaringBitmap,
    ) -> Result<Option<ArrayRef>> {
        let Some(column) = self.column(task, set, segment, index, READS_BEFORE).await? else { return Ok(None) };
        let offsets = UInt32Array::from_iter_values(offsets.iter());
        Ok(Some(compact(&take(&column, &offsets, None)?)))
    }

    /// Every row of a column that is about to be read as a whole; `None` where it is not kept.
    pub(crate) async fn whole(
        &self,
        task: &Arc<TaskContext>,
        set: &Arc<SegmentSet>,
        segment: &SegmentHandle,
        index: usize,
    ) -> Result<Option<ArrayRef>> {
        self.column(task, set, segment, index, 0).await
    }

    /// A column; `None` where it is not kept, or was not read as often as that before.
    async fn column(
        &self,
        task: &Arc<TaskContext>,
        set: &Arc<SegmentSet>,
        segment: &SegmentHandle,
        index: usize,
        reads_before: u32,
    ) -> Result<Option<ArrayRef>> {
        let Some((key, bytes)) = self.key(set, segment, index) else { return Ok(None) };
        let reads = match self.0.get(&key) {
            Some(Entry::Column(column)) => return Ok(Some(column)),
            Some(Entry::TooLarge) => return Ok(None),
            Some(Entry::Read(times)) => times.fetch_add(1, Ordering::Relaxed),
            None => {
                self.0.put(key, Entry::Read(Arc::new(AtomicU32::new(1))), 0);
                0
            }
        };
        // Where others would have to go, columns that are read in turn would push each other out for nothing.
        let wanted = if self.0.has_room(bytes) { reads_before } else { reads_before + READS_WHEN_FULL };
        if reads < wanted {
            return Ok(None);
        }
        // While it is decoded there are the pieces and the whole.
        let decoding = MemoryConsumer::new("decoding a column").register(self.0.pool());
        if decoding.try_grow(2 * bytes).is_err() {
            return Ok(None);
        }
        let column = decode(task, set, segment, index).await?;
        let bytes = column.get_array_memory_size();
        decoding.free();
        match bytes > self.0.limit() / LARGEST {
            true => self.0.put(key, Entry::TooLarge, 0),
            false => self.0.put(key, Entry::Column(Arc::clone(&column)), bytes),
        }
        Ok(Some(column))
    }

    /// What a column of the scan schema is kept by, and about how many bytes it takes; `None` for columns that are not kept:
    /// rows of a commit are in memory already, and nested values are rarely asked for.
    fn key(&self, set: &SegmentSet, segment: &SegmentHandle, index: usize) -> Option<(Key, usize)> {
        let SegmentData::File(file) = &segment.segment.data else { return None };
        let field = set.scan_schema().fields().get(index)?;
        let rows = usize::try_from(segment.segment.rows).ok()?;
        let bytes = match field.data_type() {
            DataType::Boolean => rows / 8,
            DataType::Utf8View | DataType::BinaryView | DataType::Utf8 | DataType::Binary => {
                // Vectors are about as large in the file as beside it; what is left is shared by the other columns.
                let vectors =
                    set.schema().arrow.fields().iter().filter_map(|field| segment.segment.vectors(field_id(field)?));
                let vectors: u64 = vectors.map(|sidecar| sidecar.file.length).sum();
                16 * rows + usize::try_from(file.length.saturating_sub(vectors)).ok()?
            }
            other => other.primitive_width()? * rows,
        };
        let id = match index == set.row_id_index() {
            true => None,
            false => Some(field_id(field)?),
        };
        (bytes <= self.0.limit() / LARGEST).then_some(((segment.segment.id, id), bytes))
    }
}

/// Every row of a column, deleted ones included.
async fn decode(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    segment: &SegmentHandle,
    index: usize,
) -> Result<ArrayRef> {
    let whole = SegmentSet::new(
        StorageHandle(Arc::clone(set.storage())),
        &task.runtime_env(),
        (set.table(), set.version()),
        Arc::clone(set.schema()),
        vec![(segment.ordinal, Arc::clone(&segment.segment), None)],
    )?;
    let options = task.session_config().options();
    let config = scan_config(&whole, &[vec![segment.ordinal.into()]], Some(&[index]), None, options)?;
    let mut batches = DataSourceExec::from_data_source(config).execute(0, Arc::clone(task))?;
    let mut parts = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        parts.push(Arc::clone(batch.column(0)));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
    let column = match parts.is_empty() {
        true => datafusion::arrow::array::new_empty_array(set.scan_schema().field(index).data_type()),
        false => concat(&parts)?,
    };
    if column.len() as u64 != segment.segment.rows {
        let detail = format!("{} has {} rows, not {}", segment.path, column.len(), segment.segment.rows);
        return Err(Error::Internal { detail }.into());
    }
    Ok(column)
}

/// The same values without the buffers of the column that they are from.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}
