//! What goes into the engine and what comes out.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
pub use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use volley_planner::error::Error as PlannerError;
use volley_planner::sql::redacted;
use volley_storage::ErrorKind;

use crate::progress::Progress;
use crate::session::Session;

/// The identity of one query, for logs, errors and cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub Ulid);

impl QueryId {
    /// A new identity.
    pub fn generate() -> Self {
        // The clock part only orders ids for people; nothing depends on it being right.
        let now = std::time::SystemTime::now();
        QueryId(Ulid::from_datetime(now))
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for QueryId {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sentence = "the id of a query has 26 digits and letters, as volley.queries shows it";
        Ulid::from_string(text).map(QueryId).map_err(|_| PlannerError::invalid(ErrorKind::InvalidText, sentence).into())
    }
}

/// Values for `$1`, `$2` … (or `?`, in the order of appearance).
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Parameters {
    /// The statement has none.
    #[default]
    None,
    /// The value of `$i` stands at `i - 1`. Vectors come as `FixedSizeList<Float32>`, `List` of numbers, or text.
    Positional(Vec<ScalarValue>),
    /// Several rows of such values: for queries, which answer each, and for INSERT and DELETE, which count all.
    Rows(Arc<[Vec<ScalarValue>]>),
}

impl Parameters {
    /// The values; those of the first row where there are several.
    pub fn values(&self) -> &[ScalarValue] {
        match self {
            Parameters::None => &[],
            Parameters::Positional(values) => values,
            Parameters::Rows(rows) => rows.first().map_or(&[], Vec::as_slice),
        }
    }
}

/// One statement to execute.
#[derive(Clone)]
pub struct QueryRequest {
    /// The statement's text.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Parameters,
    /// The client's session.
    pub session: Arc<Session>,
    /// The query's identity.
    pub query_id: QueryId,
    /// When the query has to be done; `volley.statement_timeout` may bring it nearer.
    pub deadline: Option<Instant>,
    /// Cancels the query: work stops within 100 ms. Dropping the result's stream cancels too, and so does CANCEL QUERY, by
    /// means of this token, which is therefore of this query alone.
    pub cancel: CancellationToken,
    /// Where a statement that takes long says how far it is.
    pub progress: Option<Arc<Progress>>,
}

impl fmt::Debug for QueryRequest {
    /// The statement without passwords: debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRequest")
            .field("sql", &redacted(&self.sql))
            .field("parameters", &self.parameters)
            .field("session", &self.session)
            .field("query_id", &self.query_id)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl QueryRequest {
    /// A statement without parameters and deadline.
    pub fn new(sql: impl Into<String>, session: &Arc<Session>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Parameters::None,
            session: Arc::clone(session),
            query_id: QueryId::generate(),
            deadline: None,
            cancel: CancellationToken::new(),
            progress: None,
        }
    }

    /// The same with values for its parameters.
    pub fn with_parameters(mut self, values: Vec<ScalarValue>) -> Self {
        self.parameters = Parameters::Positional(values);
        self
    }

    /// The same statement for each of several rows of values.
    ///
    /// A query's answer has one batch for each row, in order, also where no row of the table qualifies; searches for many
    /// vectors at once share what they have in common. The rows of an INSERT land with one commit; a DELETE commits for each.
    pub fn with_parameter_rows(mut self, rows: Vec<Vec<ScalarValue>>) -> Self {
        self.parameters = Parameters::Rows(rows.into());
        self
    }
}

/// What sort of answer a statement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// Rows (SELECT, EXPLAIN, SHOW …).
    Rows,
    /// A number of rows changed; the stream holds one row with the column `count`.
    Affected(u64),
    /// Nothing to return (DDL, SET …); the stream is empty.
    Done,
}

/// What a statement takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// PostgreSQL's command tag, without counts.
    pub tag: &'static str,
    /// The columns of its answer; `None` where it returns no rows.
    pub schema: Option<SchemaRef>,
    /// The types of `$1`, `$2` …, text where the statement leaves them open.
    pub parameters: Vec<FieldRef>,
}

/// The answer to one statement.
pub struct QueryResult {
    /// Schema of the stream.
    pub schema: SchemaRef,
    /// The rows. Errors convert into [`crate::Error`] by `From`.
    pub stream: SendableRecordBatchStream,
    /// What sort of answer it is.
    pub kind: ResultKind,
    /// PostgreSQL's command tag: `SELECT`, `INSERT 0 3`, `CREATE TABLE` …
    pub tag: String,
    /// What the user should know although nothing failed, a sentence each.
    pub notices: Vec<String>,
}

impl fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryResult")
            .field("schema", &self.schema)
            .field("kind", &self.kind)
            .field("tag", &self.tag)
            .field("notices", &self.notices)
            .finish_non_exhaustive()
    }
}

impl QueryResult {
    /// Rows that stream.
    pub(crate) fn rows(tag: &str, stream: SendableRecordBatchStream) -> Self {
        Self { schema: stream.schema(), stream, kind: ResultKind::Rows, tag: tag.to_owned(), notices: Vec::new() }
    }

    /// Rows that are there.
    pub(crate) fn batch(tag: &str, batch: RecordBatch) -> Self {
        Self::batches(tag, batch.schema(), vec![batch])
    }

    /// The same in several batches, or none.
    pub(crate) fn batches(tag: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::rows(tag, stream_of(schema, batches))
    }

    /// A count of changed rows.
    pub(crate) fn affected(tag: String, count: u64) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
        let column = Arc::new(UInt64Array::from(vec![count]));
        let batches = RecordBatch::try_new(Arc::clone(&schema), vec![column]).into_iter().collect();
        let stream = stream_of(Arc::clone(&schema), batches);
        Self { schema, stream, kind: ResultKind::Affected(count), tag, notices: Vec::new() }
    }

    /// Nothing.
    pub(crate) fn done(tag: &str) -> Self {
        let schema = Arc::new(Schema::empty());
        let stream = stream_of(Arc::clone(&schema), Vec::new());
        Self { schema, stream, kind: ResultKind::Done, tag: tag.to_owned(), notices: Vec::new() }
    }

    /// The same with a notice.
    pub(crate) fn with_notice(mut self, notice: impl Into<String>) -> Self {
        self.notices.push(notice.into());
        self
    }

    /// The same with more rows behind it.
    pub(crate) fn followed_by(self, rows: Vec<RecordBatch>) -> Self {
        if rows.is_empty() {
            return self;
        }
        let stream = self.stream.chain(futures::stream::iter(rows.into_iter().map(Ok)));
        let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream));
        Self { stream, ..self }
    }

    /// Collects every row.
    pub async fn collect(self) -> crate::Result<Vec<RecordBatch>> {
        Ok(datafusion::physical_plan::common::collect(self.stream).await?)
    }
}

fn stream_of(schema: SchemaRef, batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    Box::pin(RecordBatchStreamAdapter::new(schema, stream))
}
