//! Reading the columns of rows that have won, by address.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::cast::as_uint64_array;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, CardinalityEffect, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PhysicalExpr, PlanProperties,
    StatisticsArgs,
};
use futures::{TryStreamExt, stream};
use volley_storage::ids::FieldId;
use volley_storage::schema::field_id;

use crate::segment_set::{ROW_ADDRESS_COLUMN, SegmentSet};
use crate::segment_source::fetch_rows;
use crate::vector_topk::DISTANCE_COLUMN;

/// The first k rows of a search with their columns.
///
/// ```text
/// input:  one partition in the search's order: tie-breakers, carried columns, _rowaddr, _rowid, __distance
/// output: `columns` of the table, then __distance: the first k rows of the input, in its order
/// ```
///
/// Where [each batch](Self::of_each_batch) of the input is the answer to a query of its own, the first k rows of each.
///
/// It stands above the merge of all partitions, so that only winners are read. Both requirements are stated, because
/// optimizers move merges and sorts about: with another order the first k rows would be other rows.
#[derive(Debug, Clone)]
pub struct FetchRowsExec {
    input: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    segments: Arc<SegmentSet>,
    columns: Vec<FieldId>,
    k: usize,
    is_each: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FetchRowsExec {
    /// Reads `columns` of the first `k` rows of `input`, a search of `segments` whose order is `order`.
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        order: LexOrdering,
        segments: Arc<SegmentSet>,
        columns: Vec<FieldId>,
        k: usize,
    ) -> Result<Self> {
        let searched = input.schema();
        let mut fields = Vec::with_capacity(columns.len() + 1);
        for column in &columns {
            fields.push(Arc::clone(&segments.schema().arrow.fields()[segments.column_index(*column)?]));
        }
        fields.push(Arc::new(Field::clone(searched.field_with_name(DISTANCE_COLUMN)?)));
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), output_order(&order, &searched, &schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, order, segments, columns, k, is_each: false, properties: Arc::new(properties), metrics })
    }

    /// The first k rows of every batch of another input, a batch for each.
    pub fn of_each_batch(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, is_each: true, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    /// The search.
    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// The order that the input has to have.
    pub fn order(&self) -> &LexOrdering {
        &self.order
    }

    /// The table version that is read.
    pub fn segments(&self) -> &Arc<SegmentSet> {
        &self.segments
    }

    /// The columns that are read, in order.
    pub fn columns(&self) -> &[FieldId] {
        &self.columns
    }

    /// How many rows are read at most.
    pub fn k(&self) -> usize {
        self.k
    }
}

/// The input's order in terms of the output: up to the first key that the output does not have.
fn output_order(order: &LexOrdering, searched: &SchemaRef, output: &SchemaRef) -> Option<LexOrdering> {
    let same = |index: usize| match field_id(searched.field(index)) {
        Some(id) => output.fields().iter().position(|field| field_id(field) == Some(id)),
        None => output.index_of(searched.field(index).name()).ok(),
    };
    let key = |key: &PhysicalSortExpr| {
        let index = same(key.expr.downcast_ref::<Column>()?.index())?;
        let column = Column::new(output.field(index).name(), index);
        Some(PhysicalSortExpr::new(Arc::new(column), key.options))
    };
    LexOrdering::new(order.iter().map_while(key))
}

/// What to read.
struct Fetch {
    segments: Arc<SegmentSet>,
    columns: Vec<FieldId>,
    k: usize,
    is_each: bool,
    schema: SchemaRef,
    metrics: BaselineMetrics,
}

impl Fetch {
    /// Takes the first k rows of the input, or of each of its batches, and reads their columns.
    async fn run(self, mut input: SendableRecordBatchStream, task: Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
        let searched = input.schema();
        let mut batches = Vec::new();
        let mut missing = self.k;
        while missing > 0 {
            let Some(batch) = input.try_next().await? else { break };
            let batch = batch.slice(0, missing.min(batch.num_rows()));
            missing -= if self.is_each { 0 } else { batch.num_rows() };
            batches.push(batch);
        }
        // What is still running in the search is of no use any more.
        drop(input);
        let winners = concat_batches(&searched, &batches)?;
        let addresses = as_uint64_array(winners.column(searched.index_of(ROW_ADDRESS_COLUMN)?))?;

        // Tie-breakers, and what the search carries, have been read by it.
        let known = |id: FieldId| searched.fields().iter().position(|field| field_id(field) == Some(id));
        let unknown: Vec<FieldId> = self.columns.iter().copied().filter(|id| known(*id).is_none()).collect();
        let fetched = fetch_rows(&task, &self.segments, addresses.values(), &unknown).await?;
        let _timer = self.metrics.elapsed_compute().timer();
        let mut fetched = fetched.columns().iter();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for id in self.columns {
            match known(id).map(|index| winners.column(index)).or_else(|| fetched.next()) {
                Some(array) => arrays.push(Arc::clone(array)),
                None => return internal_err!("a fetched column is missing"),
            }
        }
        arrays.push(Arc::clone(winners.column(searched.index_of(DISTANCE_COLUMN)?)));
        let rows = RecordBatch::try_new(self.schema, arrays)?.record_output(&self.metrics);
        if !self.is_each {
            return Ok(vec![rows]);
        }
        let mut start = 0;
        let part = |batch: RecordBatch| {
            let part = rows.slice(start, batch.num_rows());
            start += batch.num_rows();
            part
        };
        Ok(batches.into_iter().map(part).collect())
    }
}

impl DisplayAs for FetchRowsExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.properties.eq_properties.schema();
        let columns: Vec<_> = schema.fields()[..self.columns.len()].iter().map(|field| field.name().as_str()).collect();
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "k={}\ncolumns={}", self.k, columns.join(", ")),
            _ => write!(f, "FetchRowsExec: k={}, columns=[{}]", self.k, columns.join(", ")),
        }
    }
}

impl ExecutionPlan for FetchRowsExec {
    fn name(&self) -> &str {
        "FetchRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    /// It keeps the order, but says no: an optimizer that hears yes may put a sort of its own below, and then other rows
    /// are the first k. The output's order is stated by the properties.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) if options.children_properties == ChildrenPropertiesMode::Keep => {
                let metrics = ExecutionPlanMetricsSet::new();
                Ok(Arc::new(Self { input, metrics, ..(*self).clone() }))
            }
            (Some(input), true) => {
                let (order, segments) = (self.order.clone(), Arc::clone(&self.segments));
                Ok(Arc::new(Self::try_new(input, order, segments, self.columns.clone(), self.k)?))
            }
            _ => internal_err!("FetchRowsExec has one child"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("FetchRowsExec has one partition, not {partition}");
        }
        let input = self.input.execute(0, Arc::clone(&context))?;
        let fetch = Fetch {
            segments: Arc::clone(&self.segments),
            columns: self.columns.clone(),
            k: self.k,
            is_each: self.is_each,
            schema: self.schema(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let rows = stream::once(fetch.run(input, context));
        let batches = rows.map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows = self.k.min(usize::try_from(self.segments.live_rows()).unwrap_or(usize::MAX));
        let unknown = Statistics::new_unknown(&self.schema());
        Ok(Arc::new(Statistics { num_rows: Precision::Inexact(rows), ..unknown }))
    }

    fn fetch(&self) -> Option<usize> {
        Some(self.k)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let k = limit.filter(|limit| *limit <= self.k)?;
        Some(Arc::new(Self { k, ..self.clone() }))
    }
}
