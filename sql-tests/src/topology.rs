//! Where statements run.

mod cluster;
mod server;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use volley_scheduler::{DataLocation, Engine, EngineConfig, Error, QueryRequest, Session};

use crate::object_store::ObjectStore;
pub(crate) use server::connect_to;

/// A way to deploy Volley. A file of records passes on each of them, or it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topology {
    /// The engine inside this process.
    Embedded,
    /// An engine behind a server, reached over Flight SQL.
    Server,
    /// A coordinator and three executors, each a process of its own.
    Cluster,
    /// The same over an S3 server, where there is one.
    ClusterOnObjectStore,
    /// The engine inside this process over an S3 server, where there is one.
    ObjectStore,
}

impl Topology {
    /// Every topology there is.
    pub const ALL: &'static [Topology] = &[
        Topology::Embedded,
        Topology::Server,
        Topology::Cluster,
        Topology::ClusterOnObjectStore,
        Topology::ObjectStore,
    ];

    /// Starts a deployment on an empty data directory, in memory when `directory` is `None`, which a cluster cannot be.
    pub async fn start(self, directory: Option<&Path>) -> Result<Arc<dyn Deployment>, Refusal> {
        if matches!(self, Topology::Cluster | Topology::ClusterOnObjectStore) {
            let sentence = "the processes of a cluster share no memory; give a directory".to_owned();
            let directory = directory.ok_or(Refusal { sentence, sqlstate: "0A000" })?;
            let store = if self == Topology::Cluster { None } else { ObjectStore::shared() };
            return Ok(Arc::new(cluster::Clustered::start(directory, store.map(ObjectStore::place)).await?));
        }
        let data = directory.map_or(DataLocation::Memory, |path| DataLocation::Local(path.to_owned()));
        let config = match self {
            Topology::ObjectStore => {
                let sentence = "there is no S3 server, or no directory for copies of its files".to_owned();
                let missing = || Refusal { sentence: sentence.clone(), sqlstate: "0A000" };
                let store = ObjectStore::shared().ok_or_else(missing)?;
                store.place().config(directory.ok_or_else(missing)?)
            }
            _ => EngineConfig { threads: Some(2), ..EngineConfig::new(data) },
        };
        let engine = Engine::open(config).await?;
        match self {
            Topology::Embedded | Topology::ObjectStore => Ok(Arc::new(Embedded(engine))),
            Topology::Server | Topology::Cluster | Topology::ClusterOnObjectStore => {
                Ok(Arc::new(server::Served::start(engine).await?))
            }
        }
    }
}

/// Volley, running.
#[async_trait]
pub trait Deployment: Send + Sync {
    /// A new client with default settings.
    async fn connect(&self) -> Result<Box<dyn Connection>, Refusal>;

    /// Ends it in good order.
    async fn stop(&self);
}

/// One client.
#[async_trait]
pub trait Connection: Send {
    /// Runs one statement to its end.
    async fn run(&mut self, sql: &str) -> Result<Answer, Refusal>;
}

/// What a statement answered.
#[derive(Debug)]
pub struct Answer {
    /// Columns of the rows; empty where the statement returns none.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// PostgreSQL's command tag.
    pub tag: String,
    /// Rows changed, for statements that change rows.
    pub affected: Option<u64>,
    /// What the user was told beside the result.
    pub notices: Vec<String>,
}

/// Why a statement was refused, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The sentence.
    pub sentence: String,
    /// Its SQLSTATE.
    pub sqlstate: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sentence)
    }
}

impl std::error::Error for Refusal {}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { sentence: error.to_string(), sqlstate: error.kind().sqlstate() }
    }
}

struct Embedded(Arc<Engine>);

#[async_trait]
impl Deployment for Embedded {
    async fn connect(&self) -> Result<Box<dyn Connection>, Refusal> {
        Ok(Box::new(EmbeddedConnection { engine: Arc::clone(&self.0), session: self.0.session() }))
    }

    async fn stop(&self) {
        self.0.close().await;
    }
}

struct EmbeddedConnection {
    engine: Arc<Engine>,
    session: Arc<Session>,
}

#[async_trait]
impl Connection for EmbeddedConnection {
    async fn run(&mut self, sql: &str) -> Result<Answer, Refusal> {
        let result = self.engine.execute(QueryRequest::new(sql, &self.session)).await?;
        let affected = match result.kind {
            volley_scheduler::ResultKind::Affected(count) => Some(count),
            _ => None,
        };
        let (schema, tag, notices) = (Arc::clone(&result.schema), result.tag.clone(), result.notices.clone());
        let batches = result.collect().await?;
        Ok(Answer { schema, batches, tag, affected, notices })
    }
}
