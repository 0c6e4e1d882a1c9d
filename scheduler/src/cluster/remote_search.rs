//! Searching by asking the executors that own the segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tonic::Status;
use volley_executor::codec::{SearchAnswer, SearchTask};
use volley_executor::search::{LocalSearcher, SearchRequest, SearchResponse, ShardSearcher};
use volley_executor::segment_set::SegmentSet;
use volley_storage::ids::{TableId, Version};
use volley_storage::index_definition::IndexDefinition;

use super::asking::{Asker, Question};
use super::counters::TaskKind;
use super::failure::{own_fault, status_of};
use super::merging::Found;
use super::messages::Get;
use super::service::Rows;
use super::{batches, merging};
use crate::error::Error;

/// A notice about damaged indexes is not worth waiting longer for.
const UNUSABLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Where nobody answered for damaged indexes, nobody is asked for so long: every search that is planned would wait.
const UNUSABLE_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Versions whose damaged indexes are remembered.
const REMEMBERED_MAX: usize = 64;

/// Damaged indexes of a version.
type Damaged = ((TableId, Version), IndexDefinition, u64);

/// Asks executors to search; what none of them answers is searched in this process.
#[derive(Debug)]
pub(crate) struct RemoteSearcher {
    asker: Arc<Asker>,
    local: LocalSearcher,
    damaged: Mutex<Vec<Damaged>>,
    /// When damaged indexes may be asked for again.
    not_before: Mutex<Option<Instant>>,
}

impl RemoteSearcher {
    /// A searcher that asks by this asker.
    pub(crate) fn new(asker: Arc<Asker>, local: LocalSearcher) -> Self {
        Self { asker, local, damaged: Mutex::default(), not_before: Mutex::default() }
    }
}

#[async_trait]
impl ShardSearcher for RemoteSearcher {
    /// Asked once for each version: whoever searches it has its indexes open anyway.
    async fn unusable(&self, segments: &SegmentSet, index: &IndexDefinition) -> u64 {
        let version = (segments.table(), segments.version());
        let is_known = |known: &&Damaged| known.0 == version && known.1 == *index;
        if let Some((_, _, count)) = self.damaged.lock().iter().find(is_known) {
            return *count;
        }
        if self.not_before.lock().is_some_and(|then| Instant::now() < then) {
            return 0;
        }
        let question =
            UnusableQuestion { task: SearchTask::unusable(segments, index), segments, index, local: &self.local };
        let ordinals: Vec<u32> = segments.iter().map(|segment| segment.ordinal).collect();
        let asking = self.asker.ask(&question, segments, &ordinals);
        let Ok(Ok(answers)) = tokio::time::timeout(UNUSABLE_TIMEOUT, asking).await else {
            *self.not_before.lock() = Some(Instant::now() + UNUSABLE_AGAIN_AFTER);
            return 0;
        };
        let count = answers.iter().map(|answered| answered.answer).sum();
        let mut damaged = self.damaged.lock();
        if damaged.len() >= REMEMBERED_MAX {
            damaged.remove(0);
        }
        damaged.push((version, index.clone(), count));
        count
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn search(&self, request: SearchRequest, task: &Arc<TaskContext>) -> Result<SearchResponse> {
        request.check()?;
        let is_alone = request.ordinals.is_empty() || self.asker.members().is_alone();
        let schema = columns_of(&request)?;
        // What cannot be sent can be searched for here.
        let sent = match is_alone || !batches::is_plain(&schema) {
            true => None,
            false => SearchTask::of(&request, task).ok(),
        };
        let Some(sent) = sent else { return self.local.search(request, task).await };
        let question = SearchQuestion { sent, request: &request, schema, local: &self.local, task };
        let answers = self.asker.ask(&question, &request.segments, &request.ordinals).await?;
        merging::merge(&request, &answers)
    }
}

/// The columns of the answer.
fn columns_of(request: &SearchRequest) -> Result<SchemaRef> {
    let table = &request.segments.schema().arrow;
    let mut fields = Vec::with_capacity(request.projection.len());
    for column in &request.projection {
        fields.push(Arc::clone(&table.fields()[request.segments.column_index(*column)?]));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Which rows are nearest.
struct SearchQuestion<'a> {
    sent: SearchTask,
    request: &'a SearchRequest,
    schema: SchemaRef,
    local: &'a LocalSearcher,
    task: &'a Arc<TaskContext>,
}

impl SearchQuestion<'_> {
    fn nothing_held(&self) -> MemoryReservation {
        MemoryConsumer::new("rows of executors").register(self.task.memory_pool())
    }
}

#[async_trait]
impl Question for SearchQuestion<'_> {
    type Answer = Found;

    fn kind(&self) -> TaskKind {
        TaskKind::Search
    }

    fn task(&self, ordinals: &[u32]) -> Get {
        Get::Search(self.sent.asked_by(self.task).for_segments(ordinals))
    }

    async fn read(&self, ordinals: &[u32], mut messages: Rows) -> Result<Found, Status> {
        let first = messages.try_next().await?.ok_or_else(|| malformed("no answer"))?;
        let answer = SearchAnswer::from_bytes(first.app_metadata.clone()).map_err(malformed)?;
        let held = self.nothing_held();
        let mut parts = Vec::new();
        let mut next = Some(first).filter(|message| !message.data_header.is_empty());
        while let Some(message) = next {
            // The columns stay in the bytes that came.
            held.try_grow(message.data_body.len()).map_err(|error| own_fault(&Error::from(error)))?;
            parts.push(batches::decode(&message, &self.schema).map_err(malformed)?);
            next = messages.try_next().await?;
        }
        let columns = match parts.as_slice() {
            [one] => one.clone(),
            [] => {
                let rows = RecordBatchOptions::new().with_row_count(Some(answer.rows()));
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), Vec::new(), &rows).map_err(malformed)?
            }
            parts => concat_batches(&self.schema, parts).map_err(malformed)?,
        };
        let response = answer.response(self.request, ordinals, &columns).map_err(malformed)?;
        Ok(Found { response, _held: held })
    }

    async fn here(&self, ordinals: &[u32]) -> Result<Found, Error> {
        let request = SearchRequest { ordinals: ordinals.to_vec(), ..self.request.clone() };
        let response = self.local.search(request, self.task).await?;
        Ok(Found { response, _held: self.nothing_held() })
    }
}

/// How many indexes cannot be used.
struct UnusableQuestion<'a> {
    task: SearchTask,
    segments: &'a SegmentSet,
    index: &'a IndexDefinition,
    local: &'a LocalSearcher,
}

#[async_trait]
impl Question for UnusableQuestion<'_> {
    type Answer = u64;

    fn kind(&self) -> TaskKind {
        TaskKind::Search
    }

    fn is_ordinary(&self) -> bool {
        false
    }

    fn task(&self, ordinals: &[u32]) -> Get {
        Get::Search(self.task.for_segments(ordinals))
    }

    async fn read(&self, _ordinals: &[u32], mut messages: Rows) -> Result<u64, Status> {
        let first = messages.try_next().await?.ok_or_else(|| malformed("no answer"))?;
        Ok(SearchAnswer::from_bytes(first.app_metadata).map_err(malformed)?.unusable())
    }

    async fn here(&self, ordinals: &[u32]) -> Result<u64, Error> {
        Ok(self.local.unusable(self.segments.only(ordinals)?.as_ref(), self.index).await)
    }
}

/// An answer that makes no sense: another executor is asked, and this one stays.
pub(super) fn malformed(detail: impl ToString) -> Status {
    status_of(&Error::Internal { detail: format!("an answer cannot be understood: {}", detail.to_string()) })
}
