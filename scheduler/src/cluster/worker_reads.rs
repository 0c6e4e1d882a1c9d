//! An executor's side of queries: searches and small parts of plans, over table versions that it opens itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow_flight::FlightData;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use volley_executor::codec::{Circumstances, PartTask, SearchAnswer, SearchTask};
use volley_executor::interrupt::Interrupt;
use volley_executor::search::{SearchResponse, Searcher, ShardSearcher};
use volley_executor::segment_set::SegmentSet;
use volley_storage::ids::{TableId, Version};

use super::batches;
use super::failure::status_of;
use super::service::Rows;
use super::versions::Versions;
use crate::drive::Limits;
use crate::error::{Error, Result};
use crate::interrupt::interruptible;

/// Answers the reading tasks of other nodes.
pub(crate) struct Reader {
    state: SessionState,
    searcher: Arc<dyn ShardSearcher>,
    cpu: Handle,
    versions: Versions,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// A reader that works like the sessions of this state, on these threads.
    pub(crate) fn new(state: SessionState, cpu: Handle) -> Self {
        let searcher = Searcher::of(&TaskContext::from(&state));
        Self { state, searcher, cpu, versions: Versions::default() }
    }

    /// Answers a search: one message with the hits and their first columns, and more where the columns take more.
    pub(crate) async fn search(self: &Arc<Self>, body: Bytes) -> Result<Rows, Status> {
        let task = SearchTask::decode(body).map_err(refused)?;
        let limits = Limits::new(CancellationToken::new(), task.circumstances().deadline());
        let (this, stopped) = (Arc::clone(self), limits.stopped().clone());
        let working = async move { this.found(&task, stopped).await };
        let (messages, held) = limits.run(&self.cpu, working).await.map_err(|error| status_of(&error))?;
        let messages = stream::iter(messages.into_iter().map(Ok));
        // They take memory until the last one is on its way.
        Ok(messages.inspect(move |_| _ = &held).boxed())
    }

    async fn found(
        &self,
        search: &SearchTask,
        stopped: CancellationToken,
    ) -> Result<(Vec<FlightData>, MemoryReservation)> {
        let held = MemoryConsumer::new("answer to a search").register(&self.state.runtime_env().memory_pool);
        let segments = self.segments(search.version()?).await?;
        if let Some((index, ordinals)) = search.index_and_segments()? {
            let asked = segments.only(ordinals)?;
            let unusable = self.searcher.unusable(&asked, &index).await;
            let answer = SearchAnswer::of_unusable(unusable).to_bytes();
            return Ok((vec![FlightData::new().with_app_metadata(answer)], held));
        }
        let task = self.task(&search.circumstances(), stopped, search.has_filter());
        let request = search.request(&segments, &task)?;
        let response = self.searcher.search(request, &task).await?;
        let messages = messages_of(&response)?;
        held.try_grow(messages.iter().map(|message| message.data_body.len() + message.app_metadata.len()).sum())?;
        Ok((messages, held))
    }

    /// Runs a part of a plan; its rows are followed by a message that says how many there were.
    pub(crate) async fn scan(self: &Arc<Self>, body: Bytes) -> Result<Rows, Status> {
        let part = PartTask::decode(body).map_err(refused)?;
        let circumstances = part.circumstances();
        let limits = Limits::new(CancellationToken::new(), circumstances.deadline());
        let (this, stopped) = (Arc::clone(self), limits.stopped().clone());
        let beginning = async move {
            let segments = this.segments(part.version()?).await?;
            let task = this.task(&circumstances, stopped.clone(), true);
            let plan = part.plan(&segments, this.state.config().target_partitions(), &task)?;
            let plan = interruptible(in_one_partition(plan), &stopped)?;
            Ok(plan.execute(0, task)?)
        };
        let rows = limits.run(&self.cpu, beginning).await.map_err(|error| status_of(&error))?;
        Ok(messages_of_rows(limits.stream(&self.cpu, rows)))
    }

    async fn segments(&self, (table, version): (TableId, Version)) -> Result<Arc<SegmentSet>> {
        self.versions.open(&self.state, table, version).await
    }

    /// The context of a task: with the settings that decide what its expressions mean, and the functions where it has any.
    fn task(&self, circumstances: &Circumstances, stopped: CancellationToken, has_functions: bool) -> Arc<TaskContext> {
        let mut config = self.state.config().clone().with_extension(Arc::new(Interrupt(stopped)));
        if config.options().execution.time_zone != circumstances.zone {
            config.options_mut().execution.time_zone.clone_from(&circumstances.zone);
        }
        if has_functions {
            return Arc::new(TaskContext::from(&self.state).with_session_config(config));
        }
        let (scalar, higher, aggregate, window) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        let (session, runtime) = (self.state.session_id().to_owned(), Arc::clone(self.state.runtime_env()));
        Arc::new(TaskContext::new(None, session, config, scalar, higher, aggregate, window, runtime))
    }
}

/// A task that cannot be read.
fn refused(error: DataFusionError) -> Status {
    status_of(&Error::from(error))
}

fn cannot_encode(error: arrow::error::ArrowError) -> Status {
    status_of(&Error::Internal { detail: format!("rows cannot be encoded: {error}") })
}

fn in_one_partition(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.output_partitioning().partition_count() {
        1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// The messages of an answer to a search: the hits, and the columns of all queries one behind another.
fn messages_of(response: &SearchResponse) -> Result<Vec<FlightData>> {
    let columns: Vec<&RecordBatch> = response.queries.iter().map(|query| &query.columns).collect();
    let mut messages = match columns.as_slice() {
        [] => Vec::new(),
        [first, ..] if first.num_columns() == 0 => Vec::new(),
        [one] => batches::encode(one).map_err(DataFusionError::from)?,
        [first, ..] => {
            let all = concat_batches(&first.schema(), columns.iter().copied()).map_err(DataFusionError::from)?;
            batches::encode(&all).map_err(DataFusionError::from)?
        }
    };
    if messages.is_empty() {
        messages.push(FlightData::new());
    }
    messages[0].app_metadata = SearchAnswer::of(response).to_bytes();
    Ok(messages)
}

/// The messages of a stream of rows, with their number behind them.
fn messages_of_rows(rows: SendableRecordBatchStream) -> Rows {
    let messages = stream::unfold(Some((rows, 0u64)), |state| async move {
        let (mut rows, count) = state?;
        match rows.next().await {
            Some(Ok(batch)) => {
                let count = count + batch.num_rows() as u64;
                Some((batches::encode(&batch).map_err(cannot_encode), Some((rows, count))))
            }
            Some(Err(error)) => Some((Err(status_of(&Error::from(error))), None)),
            None => Some((Ok(vec![end_after(count)]), None)),
        }
    });
    messages.flat_map(|part| stream::iter(each(part))).boxed()
}

fn each(part: Result<Vec<FlightData>, Status>) -> Vec<Result<FlightData, Status>> {
    match part {
        Ok(messages) => messages.into_iter().map(Ok).collect(),
        Err(status) => vec![Err(status)],
    }
}

/// The message behind the last row. A call that was broken off may look like one that ended.
fn end_after(rows: u64) -> FlightData {
    FlightData::new().with_app_metadata(rows.to_le_bytes().to_vec())
}

/// The number of rows before a message, where it is the one behind the last row.
pub(super) fn rows_before(message: &FlightData) -> Option<u64> {
    let bytes = <[u8; 8]>::try_from(message.app_metadata.as_ref()).ok()?;
    message.data_header.is_empty().then(|| u64::from_le_bytes(bytes))
}
