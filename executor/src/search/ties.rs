//! Which of the rows that are equally far away come first, where the caller has said what decides.

use std::sync::Arc;

use datafusion::arrow::array::{Float32Array, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};
use datafusion::common::Result;

use crate::search::SearchHit;

/// Ascending, nothing last.
const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: false };

/// The k first hits by distance, then by `columns` in their orders, then by row id; in the order in which they came.
pub(super) fn first_of(
    hits: &[SearchHit],
    columns: &RecordBatch,
    orders: &[SortOptions],
    k: usize,
) -> Result<Vec<SearchHit>> {
    let distances = Arc::new(hits.iter().map(|hit| hit.distance).collect::<Float32Array>());
    let row_ids = Arc::new(hits.iter().map(|hit| hit.row_id).collect::<UInt64Array>());
    let mut keys = vec![SortColumn { values: distances, options: Some(ASCENDING) }];
    for (values, options) in columns.columns().iter().zip(orders) {
        keys.push(SortColumn { values: Arc::clone(values), options: Some(*options) });
    }
    keys.push(SortColumn { values: row_ids, options: Some(ASCENDING) });
    let mut first = lexsort_to_indices(&keys, Some(k))?.values().to_vec();
    first.sort_unstable();
    Ok(first.into_iter().filter_map(|index| hits.get(index as usize).copied()).collect())
}
