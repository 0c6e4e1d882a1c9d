//! A few rows by address.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{concat_batches, interleave};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::cast::as_uint64_array;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, common};
use futures::stream::{self, StreamExt, TryStreamExt};
use roaring::RoaringBitmap;
use volley_storage::ids::FieldId;
use volley_storage::segment::Sidecar;
use volley_storage::vectors::View;

use super::access::WantedRows;
use super::scan_config;
use crate::error::Error;
use crate::hot_columns::HotColumns;
use crate::segment_set::{SegmentSet, split_row_address};

/// Segments read at the same time.
const SEGMENTS_AT_ONCE: usize = 8;

/// The rows at these addresses, in this order, with these columns. An address may stand there more than once.
///
/// Parquet is read page by page, and only pages that hold a wanted row; vectors come from their sidecar where there is one,
/// and columns that are read again and again from memory ([`HotColumns`]).
/// A deleted row, or one that never was, is an error: addresses come from the same set.
pub async fn fetch_rows(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    addresses: &[u64],
    columns: &[FieldId],
) -> Result<RecordBatch> {
    let indexes = columns.iter().map(|&column| set.column_index(column)).collect::<crate::error::Result<Vec<_>>>()?;
    let fields = indexes.iter().map(|&i| Arc::clone(&set.scan_schema().fields()[i])).collect::<Vec<FieldRef>>();
    let schema = Arc::new(Schema::new(fields));
    let mut wanted = BTreeMap::<u32, RoaringBitmap>::new();
    for &address in addresses {
        let (ordinal, offset) = split_row_address(address);
        wanted.entry(ordinal).or_default().insert(offset);
    }
    if wanted.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }

    let mut found = Vec::with_capacity(wanted.len());
    let mut place = HashMap::with_capacity(addresses.len());
    let reads = wanted.into_iter().map(|(ordinal, offsets)| {
        let indexes = indexes.as_slice();
        async move {
            let offsets = Arc::new(offsets);
            let arrays = read_segment(task, set, ordinal, &offsets, indexes).await?;
            Ok::<_, DataFusionError>((ordinal, arrays, offsets))
        }
    });
    let mut reads = stream::iter(reads).buffered(SEGMENTS_AT_ONCE);
    while let Some((ordinal, arrays, offsets)) = reads.try_next().await? {
        let positions = offsets.iter().enumerate();
        place.extend(positions.map(|(row, offset)| ((ordinal, offset), (found.len(), row))));
        found.push(arrays);
    }

    let order = addresses
        .iter()
        .map(|&address| place.get(&split_row_address(address)).copied())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::Internal { detail: "a row address was read and then lost".into() })?;
    let gathered = (0..columns.len()).map(|column| {
        let parts = found.iter().map(|arrays| arrays[column].as_ref()).collect::<Vec<_>>();
        interleave(&parts, &order)
    });
    let gathered = gathered.collect::<Result<Vec<_>, _>>()?;
    let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(order.len()));
    Ok(RecordBatch::try_new_with_options(schema, gathered, &options)?)
}

/// The wanted rows of one segment by ascending offset: one array for each column of the scan schema in `indexes`.
async fn read_segment(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    ordinal: u32,
    offsets: &Arc<RoaringBitmap>,
    indexes: &[usize],
) -> Result<Vec<ArrayRef>> {
    let segment = set.get(ordinal)?;
    let lost = |offset: u32| Error::Internal { detail: format!("row {offset} of {} is not there", segment.path) };
    if let Some(offset) = offsets.iter().find(|&o| u64::from(o) >= segment.segment.rows || segment.is_deleted(o)) {
        return Err(lost(offset).into());
    }
    let sidecar = |index: usize| {
        let field = set.schema().arrow.fields().get(index)?;
        segment.segment.vectors(volley_storage::schema::field_id(field)?)
    };
    let hot = HotColumns::of(task);
    let mut known = Vec::with_capacity(indexes.len());
    for &index in indexes {
        known.push(match (sidecar(index), &hot) {
            (Some(sidecar), _) => {
                Some(read_vectors(set, sidecar, offsets, set.scan_schema().field(index).data_type()).await?)
            }
            (None, Some(hot)) => hot.rows(task, set, segment, index, offsets).await?,
            (None, None) => None,
        });
    }
    let missing = indexes.iter().zip(&known).filter(|(_, known)| known.is_none());
    let missing: Vec<usize> = missing.map(|(index, _)| *index).collect();
    let mut data = match missing.is_empty() {
        true => Vec::new().into_iter(),
        false => read_data(task, set, ordinal, offsets, &missing).await?.into_iter(),
    };
    let mut arrays = Vec::with_capacity(indexes.len());
    for known in known {
        let array = known.or_else(|| data.next()).ok_or_else(|| lost(0))?;
        if array.len() as u64 != offsets.len() {
            return Err(lost(offsets.min().unwrap_or_default()).into());
        }
        arrays.push(array);
    }
    Ok(arrays)
}

/// Columns out of the segment's data, through the same source as any scan.
async fn read_data(
    task: &Arc<TaskContext>,
    set: &Arc<SegmentSet>,
    ordinal: u32,
    offsets: &Arc<RoaringBitmap>,
    indexes: &[usize],
) -> Result<Vec<ArrayRef>> {
    let mut projection = indexes.to_vec();
    projection.push(set.row_address_index());
    let options = task.session_config().options();
    let mut config = scan_config(set, &[vec![ordinal.into()]], Some(&projection), None, options)?;
    for group in &mut config.file_groups {
        let files = std::mem::take(group).into_inner().into_iter();
        *group = files.map(|file| file.with_extension(WantedRows(Arc::clone(offsets)))).collect::<Vec<_>>().into();
    }
    let scan = DataSourceExec::from_data_source(config);
    let schema = scan.schema();
    let batches = common::collect(scan.execute(0, Arc::clone(task))?).await?;
    let rows = concat_batches(&schema, &batches)?;
    let mut columns = rows.columns().to_vec();
    let addresses = columns.pop();
    let addresses = addresses.as_deref().map(|array| as_uint64_array(array)).transpose()?;
    let read = addresses.into_iter().flat_map(|array| array.values()).map(|&address| split_row_address(address).1);
    if !read.eq(offsets.iter()) {
        return Err(
            Error::Internal { detail: format!("{} gave other rows than asked for", set.get(ordinal)?.path) }.into()
        );
    }
    Ok(columns)
}

/// Vectors out of their sidecar.
async fn read_vectors(
    set: &SegmentSet,
    sidecar: &Sidecar,
    offsets: &RoaringBitmap,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let bytes = set.storage().open(set.table(), &sidecar.file).await.map_err(Error::from)?;
    let view = View::parse(bytes.as_slice()).map_err(Error::from)?;
    let DataType::FixedSizeList(item, dim) = data_type else {
        return Err(Error::Internal { detail: format!("{} holds vectors of a {data_type}", sidecar.file.path) }.into());
    };
    let dim_rows = usize::try_from(*dim).unwrap_or_default();
    if view.dim != dim_rows || offsets.max().is_some_and(|last| last as usize >= view.rows) {
        return Err(Error::Internal { detail: format!("{} has another shape", sidecar.file.path) }.into());
    }
    let mut values = Vec::with_capacity(offsets.len() as usize * dim_rows);
    for offset in offsets {
        let start = offset as usize * dim_rows;
        values.extend_from_slice(&view.data[start..start + dim_rows]);
    }
    let valid = offsets.iter().map(|offset| !view.is_null(offset as usize)).collect::<NullBuffer>();
    let valid = Some(valid).filter(|valid| valid.null_count() > 0);
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *dim, values, valid)?))
}
