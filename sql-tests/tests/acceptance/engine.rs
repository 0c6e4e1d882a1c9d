//! An engine in this process, with the words tests need.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig, Error, QueryRequest, Session};

/// An engine, a session and the runtime of whoever waits for them.
pub(super) struct Db {
    pub(super) runtime: Runtime,
    pub(super) engine: Arc<Engine>,
    pub(super) session: Arc<Session>,
}

impl Db {
    /// Data in memory.
    pub(super) fn memory() -> Self {
        Self::open(EngineConfig::new(DataLocation::Memory))
    }

    /// Data in a directory.
    pub(super) fn local(path: &Path) -> Self {
        Self::open(EngineConfig::new(DataLocation::Local(path.to_owned())))
    }

    pub(super) fn open(config: EngineConfig) -> Self {
        let runtime = Runtime::new().expect("threads");
        let engine = runtime.block_on(Engine::open(config)).expect("opens");
        let session = engine.session();
        Db { runtime, engine, session }
    }

    /// A statement for this session.
    pub(super) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest::new(sql, &self.session)
    }

    /// Runs a request to its end.
    pub(super) fn run(&self, request: QueryRequest) -> Result<Vec<RecordBatch>, Error> {
        self.runtime.block_on(async { self.engine.execute(request).await?.collect().await })
    }

    /// A statement that must succeed.
    #[track_caller]
    pub(super) fn sql(&self, sql: &str) -> Vec<RecordBatch> {
        self.run(self.request(sql)).unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    /// A statement that must fail.
    #[track_caller]
    pub(super) fn refused(&self, sql: &str) -> Error {
        match self.run(self.request(sql)) {
            Ok(_) => panic!("succeeded: {sql}"),
            Err(error) => error,
        }
    }

    /// The one number that a query returns.
    #[track_caller]
    pub(super) fn number(&self, sql: &str) -> i64 {
        let batches = self.sql(sql);
        let batch = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
        let column = cast(batch.column(0), &DataType::Int64).expect("a number");
        column.as_primitive::<Int64Type>().value(0)
    }

    /// What EXPLAIN says.
    #[track_caller]
    pub(super) fn plan(&self, sql: &str) -> String {
        let batches = self.sql(&format!("EXPLAIN {sql}"));
        arrow::util::pretty::pretty_format_batches(&batches).expect("text").to_string()
    }
}
