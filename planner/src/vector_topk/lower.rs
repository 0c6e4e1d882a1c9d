//! The node to physical operators:
//!
//! ```text
//! FetchRowsExec                    the winners' columns, by address
//!   SortPreservingMergeExec        the k best of all partitions
//!     VectorTopKExec               the k best of the partition's segments
//!       DataSourceExec             the segments: never scanned, only named
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::compute::SortOptions;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, UserDefinedLogicalNode};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use volley_executor::fetch_rows::FetchRowsExec;
use volley_executor::search::{Approximate, FilterStrategy, Searcher};
use volley_executor::segment_source::SegmentSource;
use volley_executor::vector_topk::{ExactReason, Precision, Query, SearchFilter, TieBreaker, TopK, VectorTopKExec};
use volley_storage::ids::FieldId;
use volley_storage::schema::field_id;

use super::node::{Demanded, QueryVector, VectorTopK};
use super::settings::SearchSettings;

/// DataFusion's planner of physical plans, which also knows Volley's nodes.
#[derive(Debug, Default)]
pub struct VolleyQueryPlanner {}

impl VolleyQueryPlanner {
    /// The planner.
    pub fn new() -> Self {
        Self {}
    }
}

#[async_trait]
impl QueryPlanner for VolleyQueryPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planners: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> = vec![Arc::new(VectorTopKPlanner {})];
        DefaultPhysicalPlanner::with_extension_planners(planners).create_physical_plan(logical_plan, session).await
    }
}

/// Lowers [`VectorTopK`] nodes.
#[derive(Debug, Default)]
pub struct VectorTopKPlanner {}

#[async_trait]
impl ExtensionPlanner for VectorTopKPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<VectorTopK>() else { return Ok(None) };
        let [scan] = physical_inputs else { return internal_err!("VectorTopK has one input") };
        let LogicalPlan::TableScan(table) = &node.input else {
            return internal_err!("VectorTopK stands over a scan, not over {}", node.input.display());
        };
        let filter = match &node.search.filter {
            Some(filter) => Some(search_filter(filter, table, planner, session, context)?),
            None => None,
        };
        let search = &node.search;
        let query = match &search.query {
            QueryVector::Constant(vector) => Query::Constant(Arc::clone(&vector.0)),
            QueryVector::Subquery(expr) | QueryVector::Parameter(expr) => {
                Query::Expression(planner.create_physical_expr(expr, &DFSchema::empty(), session, context)?)
            }
        };
        let ties = search.ties.iter().map(|tie| TieBreaker {
            column: tie.column.field,
            options: SortOptions { descending: !tie.asc, nulls_first: tie.nulls_first },
        });
        let columns = node.input.schema().fields().iter().map(|field| match field_id(field) {
            Some(id) => Ok(id),
            None => internal_err!("column {} of a Volley table has no id", field.name()),
        });
        let columns = columns.collect::<Result<Vec<FieldId>>>()?;
        let ties: Vec<TieBreaker> = ties.collect();
        let topk = TopK {
            column: search.column.field,
            metric: search.metric,
            query,
            k: search.k,
            carried: carried(&columns, &ties, session),
            ties,
            filter,
            bound: search.bound.map(|bound| bound.0),
            precision: precision(&search.precision, session),
        };
        let searched = VectorTopKExec::try_new(topk, in_one_partition(scan)?)?;
        let set = Arc::clone(searched.segments());
        let order = searched.order().clone();
        let merged = SortPreservingMergeExec::new(order.clone(), Arc::new(searched)).with_fetch(Some(search.k));
        Ok(Some(Arc::new(FetchRowsExec::try_new(Arc::new(merged), order, set, columns, search.k)?)))
    }
}

/// The scan with all its segments in one partition.
///
/// A search works on many threads by itself, and knows best what to ask of a segment when it sees all of them.
pub(crate) fn in_one_partition(scan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some((config, _)) =
        scan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.downcast_to_file_source::<SegmentSource>())
    else {
        return Ok(Arc::clone(scan));
    };
    let files = config.file_groups.iter().flat_map(|group| group.iter().cloned()).collect();
    let config = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(vec![FileGroup::new(files)])
        .with_output_partitioning(Some(Partitioning::UnknownPartitioning(1)))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The columns that a search gives with its rows: where other processes search, all that are wanted of them, so that nobody
/// has to be asked twice.
fn carried(columns: &[FieldId], ties: &[TieBreaker], session: &dyn Session) -> Vec<FieldId> {
    let is_remote = session.config().get_extension::<Searcher>().is_some_and(|searcher| searcher.0.is_remote());
    let is_carried = |id: &&FieldId| is_remote && ties.iter().all(|tie| tie.column != **id);
    columns.iter().filter(is_carried).copied().collect()
}

/// What the query demands, completed by the session's settings.
fn precision(demanded: &Demanded, session: &dyn Session) -> Precision {
    let (index, recall) = match demanded {
        Demanded::Exact(reason) => return Precision::Exact(*reason),
        Demanded::Approximate { index, recall } => (index, *recall),
    };
    let settings = session.config().get_extension::<SearchSettings>().map(|found| *found).unwrap_or_default();
    if settings.strategy == FilterStrategy::Exact {
        return Precision::Exact(ExactReason::Setting);
    }
    let recall_target = recall.map_or(settings.recall_target, |recall| recall.0);
    // No index promises every neighbour.
    if recall_target >= 1.0 {
        return Precision::Exact(ExactReason::Asked);
    }
    Precision::Approximate {
        name: index.name.clone(),
        approximate: Approximate {
            index: index.definition.clone(),
            recall_target,
            // A recall in the query says more than an effort in the session.
            ef: settings.ef.filter(|_| recall.is_none()),
            strategy: settings.strategy,
        },
    }
}

/// The filter over just the columns it uses, which is what a segment is asked for.
fn search_filter(
    filter: &Expr,
    table: &TableScan,
    planner: &dyn PhysicalPlanner,
    session: &dyn Session,
    context: &PhysicalPlanningContext,
) -> Result<SearchFilter> {
    let schema = table.source.schema();
    let used: BTreeSet<usize> = filter.column_refs().iter().filter_map(|c| schema.index_of(&c.name).ok()).collect();
    let mut fields = Vec::with_capacity(used.len());
    let mut columns = Vec::with_capacity(used.len());
    for index in used {
        let field = &schema.fields()[index];
        let Some(id) = field_id(field) else {
            return internal_err!("column {} of a Volley table has no id", field.name());
        };
        fields.push((Some(table.table_name.clone()), Arc::clone(field)));
        columns.push(id);
    }
    let schema = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
    let predicate = planner.create_physical_expr(filter, &schema, session, context)?;
    Ok(SearchFilter { predicate, columns })
}
