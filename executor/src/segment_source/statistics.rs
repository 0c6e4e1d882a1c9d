//! What may be believed about a segment without reading it.

use std::ops::Range;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use volley_storage::segment::{ColumnStats, SegmentData};

use crate::segment_set::{SegmentHandle, SegmentSet};

/// Statistics for the opener, which prunes with them: bounds that hold for every row, deleted ones included.
///
/// Everything is called exact, since pruning only believes what is exact, and bounds need not be attained to prune.
pub(super) fn opening_statistics(set: &SegmentSet, segment: &SegmentHandle) -> Statistics {
    let column = |stats: &ColumnStats, bounds: (Precision<ScalarValue>, Precision<ScalarValue>)| ColumnStatistics {
        min_value: bounds.0,
        max_value: bounds.1,
        null_count: Precision::Exact(stats.null_count as usize),
        ..ColumnStatistics::new_unknown()
    };
    Statistics {
        num_rows: Precision::Exact(segment.segment.rows as usize),
        total_byte_size: Precision::Absent,
        column_statistics: columns(set, segment, column),
    }
}

/// Statistics for the planner, which may answer `count(*)`, `min` and `max` from what is called exact.
///
/// The number of rows is exact even with deletions. Bounds are exact only where they are attained for sure: in a whole
/// segment without deletions, and not for floats, whose NaN Parquet and SQL order differently.
pub(super) fn planning_statistics(set: &SegmentSet, segment: &SegmentHandle, part: Option<&Range<u32>>) -> Statistics {
    let whole = part.is_none() && segment.deletes.is_none();
    let rows = match part {
        None => segment.live_rows(),
        Some(part) => {
            let deleted = segment.deletes.as_ref().map_or(0, |d| d.range_cardinality(part.clone()));
            u64::from(part.end - part.start).saturating_sub(deleted)
        }
    };
    let column = |stats: &ColumnStats, bounds: (Precision<ScalarValue>, Precision<ScalarValue>)| {
        let is_float = bounds.0.get_value().is_some_and(|bound| bound.data_type().is_floating());
        let null_count = Precision::Exact(stats.null_count as usize);
        let exact_bounds = whole && stats.exact && !is_float;
        ColumnStatistics {
            min_value: if exact_bounds { bounds.0 } else { bounds.0.to_inexact() },
            max_value: if exact_bounds { bounds.1 } else { bounds.1.to_inexact() },
            null_count: if whole { null_count } else { null_count.to_inexact() },
            ..ColumnStatistics::new_unknown()
        }
    };
    let bytes = match &segment.segment.data {
        SegmentData::File(file) => file.length,
        SegmentData::Inline(rows) => rows.get_array_memory_size() as u64,
    };
    let share = rows as f64 / segment.segment.rows.max(1) as f64;
    Statistics {
        num_rows: Precision::Exact(rows as usize),
        total_byte_size: Precision::Inexact((bytes as f64 * share) as usize),
        column_statistics: columns(set, segment, column),
    }
}

/// One entry for each column of the scan schema; a column without statistics is unknown, and so are system columns.
fn columns(
    set: &SegmentSet,
    segment: &SegmentHandle,
    make: impl Fn(&ColumnStats, (Precision<ScalarValue>, Precision<ScalarValue>)) -> ColumnStatistics,
) -> Vec<ColumnStatistics> {
    let mut columns = Statistics::unknown_column(set.scan_schema());
    for stats in &segment.segment.stats {
        let Some(index) = set.schema().index_of(stats.field) else { continue };
        let data_type = set.scan_schema().field(index).data_type();
        let bound = |bound: &Option<volley_storage::segment::Bound>| {
            let bound = bound.as_ref().filter(|array| array.len() == 1 && array.data_type() == data_type);
            match bound.map(|array| ScalarValue::try_from_array(array, 0)) {
                Some(Ok(value)) if !value.is_null() => Precision::Exact(value),
                _ => Precision::Absent,
            }
        };
        columns[index] = make(stats, (bound(&stats.min), bound(&stats.max)));
    }
    columns
}
