//! Which segments can hold a row that a filter keeps, by each segment's bounds and null counts.

use std::collections::HashSet;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt64Array, new_null_array};
use datafusion::arrow::compute::concat;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use volley_storage::schema::field_id;
use volley_storage::segment::ColumnStats;
use volley_storage::snapshot::Snapshot;

/// Ordinals of the segments of `snapshot` that may hold a row for which all `filters` are true.
///
/// Never drops a segment with such a row; a filter that says nothing about bounds keeps every segment.
pub fn matching_segments(snapshot: &Snapshot, filters: &[Expr]) -> Result<Vec<u32>> {
    let all = 0..snapshot.segments.len() as u32;
    let Some(filter) = conjunction(unnormalize_cols(filters.iter().cloned())) else {
        return Ok(all.collect());
    };
    let schema = &snapshot.schema.arrow;
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    // Filters over system columns or with subqueries cannot be turned into expressions over the schema: keep all.
    let Ok(expr) =
        create_physical_expr(&filter, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
    else {
        return Ok(all.collect());
    };
    let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(expr) else {
        return Ok(all.collect());
    };
    let keep = predicate.prune(&SegmentBounds { snapshot })?;
    Ok(all.zip(keep).filter_map(|(ordinal, keep)| keep.then_some(ordinal)).collect())
}

/// One container per segment.
struct SegmentBounds<'a> {
    snapshot: &'a Snapshot,
}

impl SegmentBounds<'_> {
    /// One element per segment: the bound that `pick` takes, NULL where it is not known.
    fn bounds(&self, column: &Column, pick: impl Fn(&ColumnStats) -> Option<&ArrayRef>) -> Option<ArrayRef> {
        let field = self.snapshot.schema.arrow.field_with_name(column.name()).ok()?;
        let id = field_id(field)?;
        let unknown = new_null_array(field.data_type(), 1);
        let parts: Vec<ArrayRef> = self
            .snapshot
            .segments
            .iter()
            .map(|segment| {
                let stats = segment.stats.iter().find(|s| s.field == id);
                match stats.and_then(&pick) {
                    Some(bound) if bound.data_type() == field.data_type() => bound.clone(),
                    _ => unknown.clone(),
                }
            })
            .collect();
        concat(&parts.iter().map(|p| p.as_ref()).collect::<Vec<_>>()).ok()
    }
}

impl PruningStatistics for SegmentBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.min.as_ref())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.max.as_ref())
    }

    fn num_containers(&self) -> usize {
        self.snapshot.segments.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let field = self.snapshot.schema.arrow.field_with_name(column.name()).ok()?;
        let id = field_id(field)?;
        let counts: UInt64Array = self
            .snapshot
            .segments
            .iter()
            .map(|segment| segment.stats.iter().find(|s| s.field == id).map(|s| s.null_count))
            .collect();
        Some(std::sync::Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.snapshot.segments.iter().map(|s| Some(s.rows)).collect();
        Some(std::sync::Arc::new(counts))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
