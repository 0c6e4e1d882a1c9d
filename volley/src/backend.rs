//! Where statements run: in this process, or on a server. The shell and the script runner know only this.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use volley::{CancellationToken, Engine, ErrorKind, Progress, QueryRequest, ResultKind, Session};

use crate::failure::Failure;
use crate::remote::Connection;

/// Where statements run, with the session whose settings hold.
#[derive(Clone)]
pub(crate) enum Backend {
    /// The engine of this process.
    Local {
        /// The engine.
        engine: Arc<Engine>,
        /// Its session.
        session: Arc<Session>,
    },
    /// A server.
    Remote(Arc<Connection>),
}

/// A statement to run.
pub(crate) struct Request {
    /// The statement.
    pub(crate) sql: String,
    /// Values for `$1`, `$2` …
    pub(crate) values: Vec<ScalarValue>,
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
    /// Cancels it.
    pub(crate) cancel: CancellationToken,
    /// Hears how far it is.
    pub(crate) progress: Option<Arc<Progress>>,
}

impl Request {
    /// A statement without parameters.
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        let cancel = CancellationToken::new();
        Self { sql: sql.into(), values: Vec::new(), deadline: None, cancel, progress: None }
    }
}

/// Rows as they arrive.
pub(crate) type Rows = BoxStream<'static, Result<RecordBatch, Failure>>;

/// What came of a statement.
pub(crate) struct Answer {
    /// The columns of the rows.
    pub(crate) schema: SchemaRef,
    /// The rows; `None` where the statement returns none.
    pub(crate) rows: Option<Rows>,
    /// What was done: `SELECT`, `INSERT 0 3` …
    pub(crate) tag: String,
    /// What the user should know.
    pub(crate) notices: Vec<String>,
}

impl Answer {
    /// Every row, in one batch at least.
    pub(crate) async fn collect(self) -> Result<Vec<RecordBatch>, Failure> {
        let mut batches: Vec<RecordBatch> = match self.rows {
            Some(rows) => rows.try_collect().await?,
            None => Vec::new(),
        };
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(self.schema));
        }
        Ok(batches)
    }
}

impl Backend {
    /// This process, with a new session.
    pub(crate) fn local(engine: &Arc<Engine>) -> Self {
        Backend::Local { engine: Arc::clone(engine), session: engine.session() }
    }

    /// The same place with a session of its own, whose settings are the defaults.
    pub(crate) fn apart(&self) -> Result<Self, Failure> {
        Ok(match self {
            Backend::Local { engine, .. } => Backend::local(engine),
            Backend::Remote(connection) => Backend::Remote(Arc::new(connection.apart()?)),
        })
    }

    /// Runs one statement.
    pub(crate) async fn execute(&self, request: Request) -> Result<Answer, Failure> {
        match self {
            Backend::Local { engine, session } => execute_locally(engine, session, request).await,
            Backend::Remote(_) if !request.values.is_empty() => Err(Failure::Refused {
                kind: ErrorKind::Unsupported,
                sentence: "values for parameters are not sent to a server; write them into the statement".to_owned(),
            }),
            Backend::Remote(connection) => connection.execute(request).await,
        }
    }
}

async fn execute_locally(engine: &Engine, session: &Arc<Session>, given: Request) -> Result<Answer, Failure> {
    let mut request = QueryRequest::new(given.sql, session);
    if !given.values.is_empty() {
        request = request.with_parameters(given.values);
    }
    request.cancel = given.cancel;
    request.deadline = given.deadline;
    request.progress = given.progress;
    let result = engine.execute(request).await?;
    let rows = match result.kind {
        ResultKind::Rows => {
            let rows = result.stream.map_err(|error| Failure::Statement(error.into()));
            Some(rows.boxed())
        }
        ResultKind::Affected(_) | ResultKind::Done => None,
    };
    Ok(Answer { schema: result.schema, rows, tag: result.tag, notices: result.notices })
}
