//! [`VectorTopKExec`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
    apply_expression_roots,
};
use futures::{TryStreamExt, stream};
use parking_lot::Mutex;
use volley_storage::schema::vector_dimension;

use super::order::{output_batch, output_order, output_schema};
use super::query::{constant, resolve};
use super::report::{Report, Verify, measured_recall};
use super::{Precision, Query, TopK};
use crate::error::Error;
use crate::search::{QueryHits, SearchMetrics, SearchRequest, Searcher};
use crate::segment_set::SegmentSet;
use crate::segment_source::{SegmentSource, parts_of};

/// Characters of a query vector's expression that plans show.
const SHOWN_MAX: usize = 60;

/// Makes an expression another one: one without parameters.
pub type Bind<'a> = dyn Fn(&Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> + 'a;

/// The k rows of each partition's segments that are nearest to a vector.
///
/// ```text
/// input:  DataSourceExec over segments. Its file groups say which segments each partition has; it is never executed
/// output: the tie-breakers, what is carried, _rowaddr, _rowid, __distance: at most k rows a partition, ordered by
///         distance with NULL last, then by the tie-breakers, then by row id; of several queries one batch each
/// ```
///
/// It knows of its partitions only what the scan below says, so whoever slices that scan's file groups (a router, a
/// distributed scheduler) slices the search. The rows' other columns are read later, by [`crate::fetch_rows`], once
/// the merge above has decided which k rows of all partitions win; where other processes search, they carry them along.
#[derive(Debug, Clone)]
pub struct VectorTopKExec {
    topk: TopK,
    input: Arc<dyn ExecutionPlan>,
    segments: Arc<SegmentSet>,
    /// The segments that a filter leaves, ascending, where that was found out later than the scan was planned.
    left: Option<Arc<[u32]>>,
    dimension: usize,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// What was done, once it has been: by partition.
    reports: Arc<Mutex<BTreeMap<usize, Report>>>,
}

impl VectorTopKExec {
    /// A search of the segments that `input`, a scan of segments, names.
    pub fn try_new(topk: TopK, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let segments = match scan_of(&input) {
            Some((_, source)) => Arc::clone(source.segments()),
            None => return internal_err!("a vector search needs a scan of segments below it, not {}", input.name()),
        };
        let column = segments.schema().arrow.field(segments.column_index(topk.column)?);
        let Some(dimension) = vector_dimension(column.data_type()) else {
            return internal_err!("column {} is no vector", column.name());
        };
        let schema = output_schema(&segments, &topk.ties, &topk.carried)?;
        let order = output_order(&schema, &topk.ties)?;
        // A scan of no segments may have no partition, but every plan has to put out something.
        let partitions = input.output_partitioning().partition_count().max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, [order.clone()]),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        let (properties, reports) = (Arc::new(properties), Arc::default());
        Ok(Self { topk, input, segments, left: None, dimension, order, properties, metrics, reports })
    }

    /// The same search, not yet made, of what `bind` makes of its expressions and of no more than these segments; `None` where
    /// that gives no vector to search with.
    pub fn bound(&self, bind: &Bind<'_>, segments: Option<&[u32]>) -> Result<Option<Self>> {
        let mut topk = self.topk.clone();
        if let Query::Expression(expr) = &topk.query {
            match constant(&bind(expr)?)?.filter(|vector| vector.len() == self.dimension) {
                Some(vector) => topk.query = Query::Constant(vector),
                None => return Ok(None),
            }
        }
        if let Some(filter) = &mut topk.filter {
            filter.predicate = bind(&filter.predicate)?;
        }
        let (metrics, reports) = (ExecutionPlanMetricsSet::new(), Arc::default());
        Ok(Some(Self { topk, left: segments.map(Arc::from), metrics, reports, ..self.clone() }))
    }

    /// The same for several bindings at once: of one partition, a batch for each. `None` where they differ in more than the query
    /// vector, and where one gives no vector to search with.
    pub fn bound_to_all(&self, all: &[&Bind<'_>], segments: Option<&[u32]>) -> Result<Option<Self>> {
        let Some((first, others)) = all.split_first() else { return Ok(None) };
        let Some(mut bound) = self.bound(first, segments)? else { return Ok(None) };
        let (Query::Expression(expr), Query::Constant(vector)) = (&self.topk.query, &bound.topk.query) else {
            return Ok(None);
        };
        let mut vectors = vector.to_vec();
        for bind in others {
            if let (Some(open), Some(filter)) = (&self.topk.filter, &bound.topk.filter)
                && bind(&open.predicate)?.as_ref() != filter.predicate.as_ref()
            {
                return Ok(None);
            }
            match constant(&bind(expr)?)?.filter(|vector| vector.len() == self.dimension) {
                Some(vector) => vectors.extend_from_slice(&vector),
                None => return Ok(None),
            }
        }
        bound.topk.query = Query::Several(vectors.into());
        Ok(Some(bound))
    }

    /// What is searched for.
    pub fn topk(&self) -> &TopK {
        &self.topk
    }

    /// The scan that names the segments.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The table version that is searched; row addresses in the output are valid within it.
    pub fn segments(&self) -> &Arc<SegmentSet> {
        &self.segments
    }

    /// The order of each partition's output.
    pub fn order(&self) -> &LexOrdering {
        &self.order
    }

    /// The segments that one partition searches.
    fn ordinals(&self, partition: usize) -> Result<Vec<u32>> {
        let parts = match scan_of(&self.input) {
            Some((config, _)) if config.file_groups.is_empty() => return Ok(Vec::new()),
            Some((config, _)) => parts_of(config, partition),
            None => None,
        };
        let Some(parts) = parts else {
            return internal_err!("the scan below a vector search has no partition {partition}");
        };
        // A scan may cut a segment into parts; whoever has its first row searches all of it.
        let whole = parts?.into_iter().filter(|part| part.rows.as_ref().is_none_or(|rows| rows.start == 0));
        let is_left = |ordinal: &u32| self.left.as_ref().is_none_or(|left| left.binary_search(ordinal).is_ok());
        Ok(whole.map(|part| part.ordinal).filter(is_left).collect())
    }

    /// The request for these segments. Evaluates the query vector, so it is not for planning.
    fn request(&self, ordinals: Vec<u32>) -> Result<SearchRequest> {
        let topk = &self.topk;
        let (metric, query) = resolve(&topk.query, topk.metric, self.dimension)?;
        let count = query.len().checked_div(self.dimension).unwrap_or(0);
        Ok(SearchRequest {
            segments: Arc::clone(&self.segments),
            ordinals,
            column: topk.column,
            metric,
            queries: query,
            dim: self.dimension,
            k: topk.k,
            ties: !topk.ties.is_empty(),
            tie_order: topk.ties.iter().map(|tie| tie.options).collect(),
            filter: topk.filter.as_ref().map(|filter| Arc::clone(&filter.predicate)),
            filter_columns: topk.filter.as_ref().map(|filter| filter.columns.clone()).unwrap_or_default(),
            approximate: match &topk.precision {
                Precision::Exact(_) => None,
                Precision::Approximate { approximate, .. } => Some(approximate.clone()),
            },
            floor: topk.bound.map(|bound| vec![bound; count].into()),
            projection: topk.ties.iter().map(|tie| tie.column).chain(topk.carried.iter().copied()).collect(),
            deadline: None,
        })
    }

    /// Searches these segments: a batch for each query.
    async fn search(self, ordinals: Vec<u32>, counters: Counters, task: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let request = self.request(ordinals)?;
        let begun = Instant::now();
        let searcher = Searcher::of(&task);
        let response = searcher.search(request.clone(), &task).await?;
        let time = begun.elapsed();
        counters.add(&response.metrics);
        let Some(first) = response.queries.first().filter(|_| response.queries.len() == request.query_count()) else {
            return Err(Error::Internal { detail: "a searcher did not answer every query".into() }.into());
        };
        let batch =
            |found: &QueryHits| output_batch(&self.schema(), &self.topk.ties, self.topk.k, &found.hits, &found.columns);
        let batches = response.queries.iter().map(batch).collect::<Result<Vec<_>>>()?;
        let requested = self.topk.k * batches.len();
        let measured_recall = match task.session_config().get_extension::<Verify>() {
            Some(_) => Some(measured_recall(searcher.as_ref(), request, &first.hits, &task).await?),
            None => None,
        };
        let returned = batches.iter().map(RecordBatch::num_rows).sum();
        let report = Report { metrics: response.metrics, returned, requested, measured_recall, time };
        self.reports.lock().insert(counters.partition, report);
        Ok(batches)
    }
}

/// The scan of segments at the bottom of a chain of nodes with one child each.
fn scan_of(plan: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &SegmentSource)> {
    let mut plan = plan;
    loop {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            return scan.downcast_to_file_source::<SegmentSource>();
        }
        plan = match plan.children().as_slice() {
            [child] => *child,
            _ => return None,
        };
    }
}

/// The beginning of a text that may hold a whole vector.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The metrics of one partition.
struct Counters {
    partition: usize,
    segments: Count,
    distances: Count,
    rows_filtered: Count,
    bytes: Count,
}

impl Counters {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            partition,
            segments: counter("segments"),
            distances: counter("distances"),
            rows_filtered: counter("rows_filtered"),
            bytes: counter("bytes"),
        }
    }

    fn add(&self, done: &SearchMetrics) {
        self.segments.add(done.segments as usize);
        self.distances.add(done.distances as usize);
        self.rows_filtered.add(done.rows_filtered as usize);
        self.bytes.add(done.bytes as usize);
    }
}

impl DisplayAs for VectorTopKExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = &self.segments.schema();
        let name = |id| schema.index_of(id).map_or_else(|| id.to_string(), |i| schema.arrow.field(i).name().clone());
        let topk = &self.topk;
        let column = name(topk.column);
        if format == DisplayFormatType::TreeRender {
            writeln!(f, "k={}\nmetric={}\ncolumn={column}", topk.k, topk.metric)?;
            return writeln!(f, "{}", topk.precision);
        }
        write!(f, "VectorTopKExec: k={}, metric={}, column={column}", topk.k, topk.metric)?;
        write!(f, ", dimension={}", self.dimension)?;
        if let Query::Expression(query) = &topk.query {
            write!(f, ", query={}", shortened(&query.to_string()))?;
        }
        if let Query::Several(vectors) = &topk.query {
            write!(f, ", queries={}", vectors.len() / self.dimension)?;
        }
        if !topk.ties.is_empty() {
            let ties = topk.ties.iter().map(|tie| format!("{} {}", name(tie.column), tie.options));
            write!(f, ", ties=[{}]", ties.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(filter) = &topk.filter {
            write!(f, ", filter={}", filter.predicate)?;
        }
        if let Some(bound) = topk.bound {
            write!(f, ", distance<={bound}")?;
        }
        write!(f, ", {}", topk.precision)?;
        for report in self.reports.lock().values() {
            write!(f, ", {report}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for VectorTopKExec {
    fn name(&self) -> &str {
        "VectorTopKExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// Segments are dealt out when the scan is planned; a repartition below would only be in the way.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let query = match &self.topk.query {
            Query::Constant(_) | Query::Several(_) => None,
            Query::Expression(query) => Some(query),
        };
        apply_expression_roots(self.topk.filter.iter().map(|filter| &filter.predicate).chain(query), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::try_new(self.topk.clone(), input)?)),
            _ => internal_err!("VectorTopKExec has one child"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let ordinals = self.ordinals(partition)?;
        let counters = Counters::new(&self.metrics, partition);
        let searched = self.clone().search(ordinals, counters, context);
        let batches = stream::once(searched).map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
