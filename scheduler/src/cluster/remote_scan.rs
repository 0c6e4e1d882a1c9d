//! Small parts of plans, run by the executors that own the segments.
//!
//! ```text
//! AggregateExec mode=Final                       AggregateExec mode=Final
//!   CoalescePartitionsExec                         CoalescePartitionsExec
//!     AggregateExec mode=Partial      becomes        RemoteScanExec part=[AggregateExec, FilterExec, …]
//!       FilterExec
//!         DataSourceExec
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tonic::Status;
use volley_executor::codec::{PartScan, PartTask};
use volley_executor::interrupt::Interrupt;

use super::asking::{Answered, Asker, Question};
use super::batches;
use super::counters::TaskKind;
use super::failure::own_fault;
use super::messages::Get;
use super::remote_search::malformed;
use super::service::Rows;
use super::worker_reads::rows_before;
use crate::error::Error;
use crate::interrupt::interruptible;

/// A part of a plan that the owners of its segments run, each over its own. It has one partition.
///
/// What an executor answers is taken whole: up to there it is held in memory, so that another one can take its place. Where that
/// is more memory than there is, this process runs the part and hands its rows on as they come.
#[derive(Debug)]
pub(crate) struct RemoteScanExec {
    part: Arc<dyn ExecutionPlan>,
    scan: PartScan,
    task: PartTask,
    asker: Arc<Asker>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// Who answered, once somebody has: for EXPLAIN ANALYZE.
    report: Arc<Mutex<Vec<String>>>,
}

impl RemoteScanExec {
    /// The part, which has been written as `task`.
    pub(super) fn new(part: Arc<dyn ExecutionPlan>, scan: PartScan, task: PartTask, asker: Arc<Asker>) -> Self {
        let properties = PlanProperties::new(
            part.properties().eq_properties.clone(),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (properties, metrics, report) = (Arc::new(properties), ExecutionPlanMetricsSet::new(), Arc::default());
        Self { part, scan, task, asker, properties, metrics, report }
    }
}

impl DisplayAs for RemoteScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let (segments, rows) = (self.scan.ordinals.len(), self.scan.rows);
        if format == DisplayFormatType::TreeRender {
            return writeln!(f, "segments={segments}\nrows={rows}");
        }
        write!(f, "RemoteScanExec: segments={segments}, rows={rows}, part=[")?;
        let mut node = Some(&self.part);
        while let Some(part) = node {
            node = part.children().first().copied();
            match node {
                // How many threads work on it is for whoever runs it to say.
                Some(_) if part.is::<RepartitionExec>() => {}
                Some(_) => {
                    part.fmt_as(format, f)?;
                    f.write_str(" <- ")?;
                }
                None => f.write_str(part.name())?,
            }
        }
        f.write_str("]")?;
        let report = self.report.lock();
        if !report.is_empty() {
            write!(f, ", nodes=[{}]", report.join("; "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RemoteScanExec {
    fn name(&self) -> &str {
        "RemoteScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let (part, asker) = (Arc::clone(&self.part), Arc::clone(&self.asker));
        Ok(Arc::new(Self::new(part, self.scan.clone(), self.task.clone(), asker)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("RemoteScanExec has one partition, not {partition}");
        }
        let (part, scan, is_full) = (self.task.clone(), self.scan.clone(), AtomicBool::new(false));
        let question = ScanQuestion { part, schema: self.schema(), scan, context, is_full };
        let (asker, report) = (Arc::clone(&self.asker), Arc::clone(&self.report));
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let calls = MetricBuilder::new(&self.metrics).counter("calls", partition);
        let asked = async move {
            let PartScan { segments, ordinals, .. } = &question.scan;
            let answers = match asker.ask(&question, segments, ordinals).await {
                Ok(answers) => answers,
                Err(_) if question.is_full.load(Ordering::Relaxed) => {
                    *report.lock() = vec!["coordinator: the answers take more memory than there is".to_owned()];
                    return Ok(question.rows_here(ordinals)?.left_stream());
                }
                Err(error) => return Err(error.into()),
            };
            calls.add(answers.len());
            *report.lock() = answers.iter().map(shown).collect();
            let given = stream::iter(answers).flat_map(|answered| answered.answer.given());
            Ok::<_, DataFusionError>(given.right_stream())
        };
        let rows = stream::once(asked).try_flatten().map(move |batch| batch.record_output(&baseline));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The rows of one answer, and the memory that they take.
pub(super) struct HeldRows {
    batches: Vec<RecordBatch>,
    held: MemoryReservation,
}

impl HeldRows {
    fn new(context: &TaskContext) -> Self {
        let held = MemoryConsumer::new("rows of executors").register(context.memory_pool());
        Self { batches: Vec::new(), held }
    }

    /// A batch that takes so many bytes.
    fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<()> {
        self.held.try_grow(bytes)?;
        self.batches.push(batch);
        Ok(())
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows, which stay accounted for until all have been handed on.
    fn given(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let Self { batches, held } = self;
        stream::iter(batches).map(move |batch| {
            let _accounted = &held;
            Ok(batch)
        })
    }
}

/// One answer, for EXPLAIN ANALYZE.
fn shown(answered: &Answered<HeldRows>) -> String {
    let (segments, rows) = (answered.ordinals.len(), answered.answer.rows());
    let plural = if segments == 1 { "" } else { "s" };
    format!(
        "{}: {segments} segment{plural}, {rows} rows, time={:.3}ms",
        answered.node,
        answered.time.as_secs_f64() * 1e3
    )
}

/// The rows of a part.
struct ScanQuestion {
    part: PartTask,
    schema: SchemaRef,
    scan: PartScan,
    context: Arc<TaskContext>,
    /// Whether the answers took more memory than this process has.
    is_full: AtomicBool,
}

impl ScanQuestion {
    fn push(&self, rows: &mut HeldRows, batch: RecordBatch, bytes: usize) -> Result<()> {
        let pushed = rows.push(batch, bytes);
        self.is_full.fetch_or(pushed.is_err(), Ordering::Relaxed);
        pushed
    }

    /// The rows of some segments, read by this process.
    fn rows_here(&self, ordinals: &[u32]) -> Result<SendableRecordBatchStream> {
        let partitions = self.context.session_config().target_partitions();
        let plan = self.part.over(ordinals).plan(&self.scan.segments, partitions, &self.context)?;
        let plan = interruptible(plan, &Interrupt::of(&self.context).0)?;
        execute_stream(plan, Arc::clone(&self.context))
    }
}

#[async_trait]
impl Question for ScanQuestion {
    type Answer = HeldRows;

    fn kind(&self) -> TaskKind {
        TaskKind::Scan
    }

    fn task(&self, ordinals: &[u32]) -> Get {
        Get::Scan(self.part.for_segments(ordinals, &self.context))
    }

    async fn read(&self, _ordinals: &[u32], mut messages: Rows) -> Result<HeldRows, Status> {
        let mut rows = HeldRows::new(&self.context);
        while let Some(message) = messages.try_next().await? {
            if let Some(count) = rows_before(&message) {
                return match count == rows.rows() as u64 {
                    true => Ok(rows),
                    false => Err(malformed("some of its rows are missing")),
                };
            }
            let batch = batches::decode(&message, &self.schema).map_err(malformed)?;
            // Another executor would send as much.
            let pushed = self.push(&mut rows, batch, message.data_body.len());
            pushed.map_err(|error| own_fault(&Error::from(error)))?;
        }
        Err(malformed("its rows have no end"))
    }

    async fn here(&self, ordinals: &[u32]) -> Result<HeldRows, Error> {
        let mut batches = self.rows_here(ordinals)?;
        let (mut rows, mut counter) = (HeldRows::new(&self.context), RecordBatchMemoryCounter::new());
        while let Some(batch) = batches.try_next().await? {
            let bytes = counter.count_batch(&batch);
            self.push(&mut rows, batch, bytes)?;
        }
        Ok(rows)
    }
}
