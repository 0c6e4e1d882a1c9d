//! A coordinator and executors in one process, over one directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::util::pretty::pretty_format_batches;
use tempfile::TempDir;

use super::proxy::Proxy;
use crate::cluster::{ClusterRole, ClusterSecret, Coordinator, Executor, NodeConfig, TaskKind};
use crate::{DataLocation, Engine, EngineConfig, QueryRequest, Result, Session};

/// Longer does nothing take that should be there at once.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Cluster {
    /// The same data in one process.
    pub(super) alone: Arc<Engine>,
    pub(super) engine: Arc<Engine>,
    pub(super) executors: Vec<(Executor, Arc<Engine>)>,
    /// In front of each executor.
    pub(super) proxies: Vec<Proxy>,
    session: Arc<Session>,
    _coordinator: Coordinator,
    _directory: TempDir,
}

impl Cluster {
    pub(super) async fn start(executors: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secret = ClusterSecret::of_text(b"a secret that only these tests have, long enough").unwrap();
        let data = DataLocation::Local(directory.path().to_owned());
        let open = async |cluster: Option<ClusterRole>| {
            let config = EngineConfig {
                threads: Some(2),
                memory_limit: Some(256 << 20),
                cluster,
                ..EngineConfig::new(data.clone())
            };
            Engine::open(config).await.unwrap()
        };
        let alone = open(None).await;
        let engine = open(Some(ClusterRole::Coordinator { secret: secret.clone(), replicas: 2 })).await;
        let node = |name: String, coordinators, advertise| NodeConfig {
            name: Some(name),
            listen: ([127, 0, 0, 1], 0).into(),
            advertise,
            secret: secret.clone(),
            weight: 100,
            coordinators,
        };
        let coordinator = Coordinator::start(&engine, node("c1".into(), Vec::new(), None)).await.unwrap();
        let (mut started, mut proxies) = (Vec::new(), Vec::new());
        for number in 0..executors {
            let executor = open(Some(ClusterRole::Executor)).await;
            let proxy = Proxy::start().await;
            let address = Some(proxy.address.to_string());
            let config = node(format!("e{number}"), vec![coordinator.address().to_string()], address);
            let running = Executor::start(&executor, config).await.unwrap();
            proxy.lead_to(running.address());
            proxies.push(proxy);
            started.push((running, executor));
        }
        let session = engine.session();
        let cluster = Self {
            alone,
            engine,
            executors: started,
            proxies,
            session,
            _coordinator: coordinator,
            _directory: directory,
        };
        cluster.until(|cluster| cluster.engine.members().unwrap().live().len() == executors).await;
        cluster
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < until, "it did not come about");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The answer of the cluster.
    pub(super) async fn run(&self, sql: &str) -> Result<String> {
        text(&self.engine, &self.session, sql).await
    }

    /// The answer of one process.
    pub(super) async fn run_alone(&self, sql: &str) -> Result<String> {
        text(&self.alone, &self.alone.session(), sql).await
    }

    /// Checks that both give the same answer.
    pub(super) async fn check(&self, sql: &str) -> String {
        let (ours, alone) = (self.run(sql).await, self.run_alone(sql).await.unwrap());
        let ours = ours.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(ours, alone, "{sql}");
        ours
    }

    /// Bytes to and from executors for calls of a kind, and the number of calls.
    pub(super) fn counted(&self, kind: TaskKind) -> (u64, u64) {
        let members = self.engine.members().unwrap().live();
        let counted = members.iter().map(|member| member.counters().of(kind).counted());
        counted.fold((0, 0), |(bytes, calls), one| (bytes + one.sent + one.received, calls + one.calls))
    }
}

async fn text(engine: &Engine, session: &Arc<Session>, sql: &str) -> Result<String> {
    let batches = engine.execute(QueryRequest::new(sql, session)).await?.collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

/// Statements that fill a table `docs` with this many segments of files, some inline rows and deleted ones.
pub(super) fn docs(segments: usize, rows: usize) -> Vec<String> {
    let mut statements =
        vec!["CREATE TABLE docs (id BIGINT PRIMARY KEY, tenant INT, body TEXT, e VECTOR(3))".to_owned()];
    for segment in 0..segments {
        let (from, to) = (segment * rows, (segment + 1) * rows - 1);
        statements.push(format!("INSERT INTO docs {}", rows_between(from, to)));
    }
    let end = segments * rows;
    statements.push(format!("INSERT INTO docs {}", rows_between(end, end + 9)));
    statements.push("DELETE FROM docs WHERE id % 13 = 5".to_owned());
    statements
}

/// Vectors repeat, so that there are ties; some are NULL.
fn rows_between(from: usize, to: usize) -> String {
    format!(
        "SELECT value, CAST(value % 5 AS INT), 'text of row ' || value, \
         CASE WHEN value % 11 = 3 THEN NULL ELSE CAST('[' || value % 17 || ',' || value % 7 || ',' || value % 3 || ']' AS VECTOR(3)) END \
         FROM generate_series({from}, {to})"
    )
}
