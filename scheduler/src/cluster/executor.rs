//! The role of an executor: it does what coordinators ask, and tells them that it is there.

mod beating;
mod running;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::task::JoinSet;
use tonic::Status;
use volley_storage::catalog::CatalogEntry;
use volley_storage::store::{Consistency, TableStore};

use self::beating::Beating;
use self::running::Running;
use super::calls;
use super::failure::status_of;
use super::heartbeat::{Ready, ReadyShards, ShardsMessage, Warm, decoded};
use super::listener::{Listener, Port};
use super::mark;
use super::member::{Member, NodeDescription, NodeId};
use super::messages::{Get, GetTask, Put, PutTask, actions};
use super::node::NodeConfig;
use super::service::{Rows, Tasks};
use super::worker_reads::Reader;
use super::{worker_indexing, worker_writes};
use crate::engine::{Engine, Shared};
use crate::error::{Error, Result};

/// Coordinators hear that it leaves before it stops taking work: so long what is on its way still arrives.
const GRACE: Duration = Duration::from_millis(300);

/// An executor that runs: the internal port of an engine, and its heartbeats.
#[derive(Debug)]
pub struct Executor {
    work: Arc<Work>,
    listens: SocketAddr,
    port: Port,
    beating: Arc<Beating>,
    /// A heartbeat for each coordinator.
    hearts: JoinSet<()>,
}

impl Executor {
    /// Opens the internal port and begins to tell the coordinators.
    ///
    /// # Errors
    /// An address that is taken, or a coordinator's that is none.
    pub async fn start(engine: &Arc<Engine>, config: NodeConfig) -> Result<Self> {
        let shared = engine.shared();
        let io = shared.runtimes.io();
        let listener = Listener::bind(config.listen).await?;
        let listens = listener.address();
        let env = shared.database.env();
        let node = config.describe(env.new_ulid(), listens);
        let coordinator = |address: &String| {
            // Of a coordinator only the address is known.
            let (id, name) = (NodeId(env.new_ulid()), address.clone());
            let described = NodeDescription { id, name, address: address.clone(), weight: node.weight };
            Member::new(described, &config.secret, &io)
        };
        let coordinators: Vec<Member> = config.coordinators.iter().map(coordinator).collect::<Result<_>>()?;
        let work = Arc::new(Work {
            node,
            shared: Arc::clone(shared),
            reader: Arc::new(Reader::new(engine.state(), shared.runtimes.cpu())),
            ready: Mutex::default(),
            running: Running::default(),
        });
        let port = listener.serve(Arc::clone(&work) as Arc<dyn Tasks>, &config.secret, &io)?;
        let beating = Arc::new(Beating::new(Arc::clone(&work)));
        let mut hearts = JoinSet::new();
        for coordinator in coordinators {
            hearts.spawn_on(Arc::clone(&beating).keep(coordinator), &io);
        }
        Ok(Self { work, listens, port, beating, hearts })
    }

    /// Where the internal port listens.
    pub fn address(&self) -> SocketAddr {
        self.listens
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.work.node.name
    }

    /// Leaves the cluster: takes no more work, lets what runs end for so long, and says goodbye.
    pub async fn shutdown(mut self, timeout: Duration) {
        self.beating.drain();
        tokio::time::sleep(GRACE).await;
        if tokio::time::timeout(timeout, self.work.running.idle()).await.is_err() {
            tracing::warn!("tasks still ran after shutdown_timeout and are broken off; others do them");
        }
        self.beating.leave();
        // Each says goodbye within its own time limit.
        while self.hearts.join_next().await.is_some() {}
        self.port.close().await;
    }
}

/// What an executor works with.
struct Work {
    node: NodeDescription,
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    ready: Mutex<Ready>,
    running: Running,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("node", &self.node).finish_non_exhaustive()
    }
}

#[async_trait]
impl Tasks for Work {
    async fn get(&self, task: GetTask) -> Result<Rows, Status> {
        let running = self.running.one();
        let rows = match task.task {
            Some(Get::Search(search)) => self.reader.search(search).await,
            Some(Get::Scan(scan)) => self.reader.scan(scan).await,
            None => Err(unknown("this task")),
        }?;
        Ok(running.until_the_end_of(rows))
    }

    async fn put(&self, task: PutTask, rows: Rows) -> Result<Bytes, Status> {
        let _running = self.running.one();
        match task.task {
            Some(Put::Stage(task)) => {
                let store: Arc<dyn TableStore> = Arc::new(self.shared.database.clone());
                worker_writes::stage(&store, &self.shared.runtimes.cpu(), task, rows).await
            }
            None => Err(unknown("this task")),
        }
    }

    async fn act(&self, kind: &str, body: Bytes) -> Result<Bytes, Status> {
        if kind == actions::HELLO {
            mark::look_for(self.shared.database.env(), &body).await?;
            return Ok(calls::introduced(&self.node));
        }
        let _running = self.running.one();
        match kind {
            actions::WARM => self.warm(body).await,
            actions::BUILD_INDEX => worker_indexing::build_index(&self.shared.indexer, body).await,
            actions::CALIBRATE => worker_indexing::calibrate(&self.shared.indexer, body).await,
            _ => Err(unknown(kind)),
        }
    }
}

fn unknown(what: &str) -> Status {
    Status::unimplemented(format!("an executor does not know {what}"))
}

impl Work {
    /// Bytes of the copies that this machine has of an object store's files.
    async fn cache_bytes(&self) -> u64 {
        let Some(cache) = self.shared.database.env().disk_cache.clone() else { return 0 };
        // It looks at every file there is.
        tokio::task::spawn_blocking(move || cache.totals().bytes).await.unwrap_or(0)
    }

    /// Has the files of some shards at hand; answers with all shards of the table that are.
    async fn warm(&self, body: Bytes) -> Result<Bytes, Status> {
        let shards =
            decoded::<Warm>(&body)?.shards.ok_or_else(|| Status::invalid_argument("no shards to make ready"))?;
        let (table, wanted) = shards.decoded()?;
        let database = self.shared.database.clone();
        let fetching = async move {
            let snapshot = match database.snapshot(table, Consistency::Exactly(wanted.version)).await {
                Ok(snapshot) => snapshot,
                // That version may be gone already; the newest has mostly the same files.
                Err(_) => database.snapshot(table, Consistency::Strong).await?,
            };
            for segment in snapshot.segments.iter().filter(|segment| wanted.shards.contains(&segment.shard)) {
                database.prefetch(table, segment).await?;
            }
            let names = database.catalog().recent_snapshot(1000).await?;
            Ok::<_, volley_storage::Error>((ReadyShards { version: snapshot.version, ..wanted }, names))
        };
        // Checksums are work for the threads that compute. It ends when nobody waits for it: who asks again would make it twice.
        let mut fetchers = JoinSet::new();
        fetchers.spawn_on(fetching, &self.shared.runtimes.cpu());
        let failed =
            |fault: String| status_of(&Error::Internal { detail: format!("making shards ready failed: {fault}") });
        let fetched = fetchers.join_next().await.ok_or_else(|| failed("nobody makes them ready".to_owned()))?;
        let fetched = fetched.map_err(|fault| failed(fault.to_string()))?;
        let (fresh, names) = fetched.map_err(|error| status_of(&Error::from(error)))?;
        let mut ready = self.ready.lock();
        let entries = names.schemas.values().flat_map(|entries| entries.values());
        let tables: Vec<_> = entries
            .filter_map(|entry| match entry {
                CatalogEntry::Table { id } => Some(*id),
                _ => None,
            })
            .collect();
        // Dropped tables are nobody's shards any more.
        ready.retain(|known, _| tables.contains(known));
        let known = ready.entry(table).or_default();
        // Shards that were ready at an older version have all files but the newest, and those are small.
        known.version = known.version.max(fresh.version);
        known.shards.extend(fresh.shards);
        let message = ShardsMessage::new(table, known.version, known.shards.iter().copied());
        Ok(message.encode_to_vec().into())
    }
}
