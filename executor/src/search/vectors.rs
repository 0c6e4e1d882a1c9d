//! Where a segment's vectors are.

use std::sync::Arc;

use datafusion::arrow::array::{Array, FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::common::Result;
use datafusion::common::cast::{as_fixed_size_list_array, as_float32_array, as_uint64_array};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use volley_index::RowSet;
use volley_storage::ids::FieldId;
use volley_storage::schema::field_id;
use volley_storage::segment::SegmentData;
use volley_storage::vectors::OpenVectors;

use crate::error::Error;
use crate::segment_set::{SegmentHandle, SegmentSet, split_row_address};
use crate::segment_source::scan_config;

/// Vectors read from a data file.
#[derive(Debug)]
pub(super) struct Decoded {
    data: Vec<f32>,
    nulls: RowSet,
}

/// The vectors of one column of one segment, row by row, deleted rows included.
#[derive(Debug, Clone)]
pub(super) enum SegmentVectors {
    /// The raw vectors beside the segment's data, mapped where the store is local.
    Sidecar(OpenVectors),
    /// The column itself: rows inside a commit.
    Column(FixedSizeListArray),
    /// The column decoded from the data file, which has no sidecar for it.
    Decoded(Arc<Decoded>),
    /// The segment was written before the column existed.
    AllNull,
}

impl SegmentVectors {
    /// Opens the vectors of `column`, checking their dimension and number against what the version says.
    pub(super) async fn open(
        set: &Arc<SegmentSet>,
        segment: &SegmentHandle,
        column: FieldId,
        dim: usize,
        task: &Arc<TaskContext>,
    ) -> Result<Self> {
        let vectors = match (&segment.segment.data, segment.segment.vectors(column)) {
            (SegmentData::Inline(batch), _) => Self::of_batch(batch, column)?,
            (_, Some(sidecar)) => {
                let bytes = set.storage().open(set.table(), &sidecar.file).await.map_err(Error::from)?;
                Self::Sidecar(OpenVectors::new(bytes).map_err(Error::from)?)
            }
            (_, None) => Self::Decoded(Arc::new(decode(set, segment, column, dim, task).await?)),
        };
        vectors.check(segment, dim)?;
        Ok(vectors)
    }

    /// All values, `dim` a row; NULL rows hold anything.
    pub(super) fn data(&self) -> Result<&[f32]> {
        match self {
            Self::Sidecar(sidecar) => Ok(sidecar.view().data),
            Self::Column(column) => match column.values().as_any().downcast_ref::<Float32Array>() {
                Some(values) => Ok(values.values()),
                None => Err(Error::Internal { detail: format!("{} is no vector", column.data_type()) }.into()),
            },
            Self::Decoded(decoded) => Ok(&decoded.data),
            Self::AllNull => Ok(&[]),
        }
    }

    /// The rows that are NULL; `None` if there are none.
    pub(super) fn nulls(&self, rows: usize) -> Result<Option<RowSet>> {
        let mut nulls = RowSet::new_empty(rows);
        match self {
            Self::Sidecar(sidecar) => {
                let view = sidecar.view();
                if view.null_count == 0 {
                    return Ok(None);
                }
                (0..rows).filter(|row| view.is_null(*row)).for_each(|row| nulls.insert(row));
            }
            Self::Column(column) => match column.nulls().filter(|nulls| nulls.null_count() > 0) {
                Some(validity) => (0..rows).filter(|row| validity.is_null(*row)).for_each(|row| nulls.insert(row)),
                None => return Ok(None),
            },
            Self::Decoded(decoded) => return Ok(Some(decoded.nulls.clone())),
            Self::AllNull => nulls.insert_range(0..rows),
        }
        Ok(Some(nulls))
    }

    fn of_batch(batch: &RecordBatch, column: FieldId) -> Result<Self> {
        let schema = batch.schema();
        let Some(index) = schema.fields().iter().position(|field| field_id(field) == Some(column)) else {
            return Ok(Self::AllNull);
        };
        match batch.column(index).as_any().downcast_ref::<FixedSizeListArray>() {
            Some(vectors) => Ok(Self::Column(vectors.clone())),
            None => Err(Error::Internal { detail: format!("column {column} is no vector") }.into()),
        }
    }

    fn check(&self, segment: &SegmentHandle, dim: usize) -> Result<()> {
        let (rows, actual) = match self {
            Self::Sidecar(sidecar) => (sidecar.view().rows, sidecar.view().dim),
            Self::Column(column) => (column.len(), column.value_length() as usize),
            Self::Decoded(_) | Self::AllNull => return Ok(()),
        };
        if actual != dim {
            return Err(wrong_dimension(segment, actual, dim).into());
        }
        if rows as u64 != segment.segment.rows {
            let detail = format!("{} has {rows} vectors for {} rows", segment.path, segment.segment.rows);
            return Err(Error::Internal { detail }.into());
        }
        Ok(())
    }
}

/// Reads the column of a data file into memory. Deleted rows, which a scan leaves out, count as NULL.
async fn decode(
    set: &Arc<SegmentSet>,
    segment: &SegmentHandle,
    column: FieldId,
    dim: usize,
    task: &Arc<TaskContext>,
) -> Result<Decoded> {
    let rows = segment.segment.rows as usize;
    let reservation = MemoryConsumer::new("vectors without a sidecar").register(task.memory_pool());
    reservation.try_grow(rows * dim * size_of::<f32>())?;
    let mut decoded = Decoded { data: vec![0.0; rows * dim], nulls: RowSet::new_full(rows) };
    let projection = [set.column_index(column)?, set.row_address_index()];
    let options = task.session_config().options();
    let config = scan_config(set, &[vec![segment.ordinal.into()]], Some(&projection), None, options)?;
    let mut batches = DataSourceExec::from_data_source(config).execute(0, Arc::clone(task))?;
    while let Some(batch) = batches.try_next().await? {
        let vectors = as_fixed_size_list_array(batch.column(0))?;
        let addresses = as_uint64_array(batch.column(1))?;
        let values = as_float32_array(vectors.values())?.values();
        if vectors.value_length() as usize != dim {
            return Err(wrong_dimension(segment, vectors.value_length() as usize, dim).into());
        }
        for (row, address) in addresses.values().iter().enumerate().filter(|(row, _)| vectors.is_valid(*row)) {
            let offset = split_row_address(*address).1 as usize;
            decoded.data[offset * dim..][..dim].copy_from_slice(&values[row * dim..][..dim]);
            decoded.nulls.remove(offset);
        }
    }
    Ok(decoded)
}

fn wrong_dimension(segment: &SegmentHandle, actual: usize, dim: usize) -> Error {
    Error::Internal { detail: format!("the vectors of {} have {actual} dimensions, not {dim}", segment.path) }
}
