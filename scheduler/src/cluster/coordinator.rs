//! The role of a coordinator: it knows the executors, deals the shards out, and has an epoch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use super::calls;
use super::epochs::Epochs;
use super::heartbeat::{Heartbeat, HeartbeatReply, NodeMessage, Phase, decoded, ready_of};
use super::listener::{Listener, Port};
use super::mark;
use super::member::{NodeDescription, NodeId};
use super::members::Members;
use super::membership::{Heard, Report};
use super::messages::{GetTask, PutTask, actions};
use super::node::NodeConfig;
use super::service::{Rows, Tasks};
use super::tables::Tables;
use super::warming::Warming;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How often time passes for the executors' states.
const TICK: Duration = Duration::from_millis(250);

/// A coordinator that runs: the internal port of an engine that was opened for it.
#[derive(Debug)]
pub struct Coordinator {
    node: NodeDescription,
    listens: SocketAddr,
    port: Port,
    /// Ends everything that runs in the background.
    background: DropGuard,
}

impl Coordinator {
    /// Opens the internal port and begins to look after executors, shards and the epoch. Returns when executors can join.
    ///
    /// # Errors
    /// An address that is taken, or an engine that was not opened as a coordinator's.
    pub async fn start(engine: &Arc<Engine>, config: NodeConfig) -> Result<Self> {
        let shared = engine.shared();
        let Some(members) = engine.members().cloned() else {
            return Err(Error::Start { detail: "the engine was not opened as a coordinator's".to_owned() });
        };
        let io = shared.runtimes.io();
        let listener = Listener::bind(config.listen).await?;
        let listens = listener.address();
        let node = config.describe(shared.database.env().new_ulid(), listens);
        let (epoch, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
        let tasks = Arc::new(CoordinatorTasks {
            node: node.clone(),
            members: Arc::clone(&members),
            epoch: Arc::clone(&epoch),
            refused: Mutex::default(),
        });
        let port = listener.serve(Arc::clone(&tasks) as Arc<dyn Tasks>, &config.secret, &io)?;
        let mut epochs = Epochs::new(shared.database.env().clone(), node.clone(), config.secret, io.clone());
        // Before anybody is greeted, who looks for it.
        mark::leave(shared.database.env(), node.id).await?;
        // Once before anything else: who is alone is the active one at once.
        epochs.look().await;
        epoch.store(epochs.held(), Ordering::Release);
        let tables = Tables::new(shared, Arc::clone(&members), Arc::clone(&epoch));
        io.spawn(until(stop.clone(), keep_time(tasks)));
        io.spawn(until(stop.clone(), epochs.keep(epoch)));
        io.spawn(until(stop.clone(), Warming::new(members).run()));
        // Reading logs is the work of the threads that compute.
        shared.runtimes.cpu().spawn(until(stop.clone(), tables.run()));
        Ok(Self { node, listens, port, background: stop.drop_guard() })
    }

    /// Where the internal port listens.
    pub fn address(&self) -> SocketAddr {
        self.listens
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Closes the internal port. Another coordinator notices and takes over.
    pub async fn shutdown(self) {
        drop(self.background);
        self.port.close().await;
    }
}

/// Runs work until it is told to stop.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Notices silence, and greets who may have come back.
async fn keep_time(tasks: Arc<CoordinatorTasks>) {
    let mut every = tokio::time::interval(TICK);
    loop {
        every.tick().await;
        for node in tasks.members.tick() {
            let tasks = Arc::clone(&tasks);
            tokio::spawn(async move { tasks.greet(&node).await });
        }
    }
}

/// What a coordinator does for other nodes.
struct CoordinatorTasks {
    node: NodeDescription,
    members: Arc<Members>,
    /// 0 as long as another coordinator is the active one.
    epoch: Arc<AtomicU64>,
    /// The run that was last refused because of its name, which the log tells once.
    refused: Mutex<Option<NodeId>>,
}

#[async_trait]
impl Tasks for CoordinatorTasks {
    async fn get(&self, _task: GetTask) -> Result<Rows, Status> {
        Err(self.has_no_rows())
    }

    async fn put(&self, _task: PutTask, _rows: Rows) -> Result<Bytes, Status> {
        Err(self.has_no_rows())
    }

    async fn act(&self, kind: &str, body: Bytes) -> Result<Bytes, Status> {
        match kind {
            actions::HELLO => Ok(calls::introduced(&self.node)),
            actions::HEARTBEAT => self.heartbeat(decoded(&body)?).await,
            actions::LEAVE => {
                self.members.left(decoded::<NodeMessage>(&body)?.description()?.id);
                Ok(Bytes::new())
            }
            _ => Err(Status::unimplemented(format!("{} is a coordinator and does not do {kind}", self.node.name))),
        }
    }
}

impl CoordinatorTasks {
    fn has_no_rows(&self) -> Status {
        Status::unimplemented(format!("{} is a coordinator and does not work on rows for others", self.node.name))
    }

    async fn heartbeat(&self, beat: Heartbeat) -> Result<Bytes, Status> {
        let node = beat.node.ok_or_else(|| Status::invalid_argument("a heartbeat that does not say whose it is"))?;
        let node = node.description()?;
        let phase = Phase::try_from(beat.phase).unwrap_or(Phase::Live);
        let report = Report { memory: beat.memory, cache: beat.cache, ready: ready_of(beat.ready)? };
        let heard = self.members.heard(node.clone(), phase, report.clone());
        match heard.map_err(Status::failed_precondition)? {
            Heard::Noted => {}
            Heard::Greet => self.greet(&node).await,
            Heard::Rival(other) => self.rival(&node, &other, report).await?,
        }
        let obstacle = self.members.obstacle(node.id).unwrap_or_default();
        let epoch = self.epoch.load(Ordering::Acquire);
        Ok(HeartbeatReply { epoch, obstacle }.encode_to_vec().into())
    }

    /// Calls an executor back, so that it is given work only if work can reach it.
    async fn greet(&self, node: &NodeDescription) {
        let outcome = match self.members.connection(node) {
            Some(member) => calls::greet(&member, self.node.id).await,
            // Another took its place meanwhile.
            None => return,
        };
        self.members.greeted(node, outcome);
    }

    /// Two runs have one name: the one that was there first keeps it, if it is still there.
    async fn rival(&self, node: &NodeDescription, other: &NodeDescription, report: Report) -> Result<(), Status> {
        let answers = match self.members.connection(other) {
            Some(member) => calls::greet(&member, self.node.id).await.is_ok(),
            None => false,
        };
        if answers {
            let (name, first, second) = (&node.name, &other.address, &node.address);
            if self.refused.lock().replace(node.id) != Some(node.id) {
                tracing::warn!(name, first, second, "two executors have the same name; the second one is refused");
            }
            return Err(Status::already_exists(format!(
                "the executor at {first} is named {name} already; give the one at {second} another name"
            )));
        }
        self.members.replace(node.clone(), report).map_err(Status::failed_precondition)?;
        self.greet(node).await;
        Ok(())
    }
}
