//! The executors as a coordinator sees them: who is there, who owns what, whom to ask.

mod report;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use volley_storage::ids::{ShardId, TableId};

use super::counters::Counters;
use super::heartbeat::{Phase, ReadyShards};
use super::member::{Member, NodeDescription, NodeId};
use super::membership::{Heard, Known, Membership, Report};
use super::secret::ClusterSecret;
use view::View;

/// The executors of a cluster. Queries ask [`candidates`](Self::candidates), which looks at a view that never changes; what
/// happens to executors makes a new view.
pub struct Members {
    secret: ClusterSecret,
    io: Handle,
    replicas: usize,
    /// Times are counted from here: by a clock that only goes forward.
    started: Instant,
    inner: Mutex<Inner>,
    view: RwLock<Arc<View>>,
    turn: AtomicUsize,
    changed: Notify,
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("live", &self.live().len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    membership: Membership,
    connections: HashMap<NodeId, Arc<Member>>,
    /// What was counted, by name: it goes on when an executor is started again.
    counters: BTreeMap<String, Arc<Counters>>,
    /// The shards that have rows, by table.
    tables: BTreeMap<TableId, ReadyShards>,
    /// Whether something changed that the view does not show.
    stale: bool,
}

impl Inner {
    /// Lets go of connections and counters that belong to nobody.
    fn forget(&mut self) {
        let Self { membership, connections, counters, .. } = self;
        connections.retain(|id, _| membership.get(*id).is_some());
        counters.retain(|name, _| membership.known().any(|known| known.description.name == *name));
    }
}

/// Shards that an owner does not have at hand yet, of one table.
#[derive(Debug, Clone)]
pub(crate) struct Owed {
    pub(crate) member: Arc<Member>,
    pub(crate) table: TableId,
    pub(crate) shards: ReadyShards,
}

impl Members {
    /// Nobody yet. Every shard will have `replicas` owners; connections are served by `io`.
    pub fn new(secret: ClusterSecret, replicas: usize, io: Handle) -> Self {
        Self {
            secret,
            io,
            replicas: replicas.max(1),
            started: Instant::now(),
            inner: Mutex::default(),
            view: RwLock::default(),
            turn: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// Live executors that may be asked about a shard, best first: owners that have it ready, its other owners, then
    /// everybody else. Somebody who has it ready and is no owner any more comes before an owner who has not. Empty when nobody
    /// is alive.
    pub fn candidates(&self, table: TableId, shard: ShardId) -> Vec<Arc<Member>> {
        let view = Arc::clone(&self.view.read());
        view.candidates((table, shard))
    }

    /// A live executor for work that belongs to no shard, in turn.
    pub fn any(&self) -> Option<Arc<Member>> {
        let view = self.view.read();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        view.live.get(turn % view.live.len().max(1)).cloned()
    }

    /// Whether nobody else can do any work.
    pub fn is_alone(&self) -> bool {
        self.view.read().live.is_empty()
    }

    /// Everybody who is given work, by name.
    pub fn live(&self) -> Vec<Arc<Member>> {
        self.view.read().live.clone()
    }

    /// A call to it failed for a reason of its own: it is asked no more until it has answered a hello.
    pub fn failed(&self, member: &Member, why: &str) {
        let ejected = self.update(|inner, now| inner.membership.failed(member.id(), why, now));
        if ejected {
            tracing::warn!(executor = member.name(), id = %member.id(), why, "an executor is asked no more until it answers");
        }
    }

    /// A heartbeat arrived.
    ///
    /// # Errors
    /// A sentence, where the executor cannot be one of this cluster.
    pub(crate) fn heard(&self, node: NodeDescription, phase: Phase, report: Report) -> Result<Heard, String> {
        let name = node.name.clone();
        let (heard, drains) = self.update(|inner, now| {
            let known = inner.membership.get(node.id);
            let was_live = known.is_some_and(Known::is_live);
            inner.stale |= known.is_some_and(|known| known.report.ready != report.ready);
            self.connect(inner, &node)?;
            let heard = inner.membership.heard(node, phase, report, now)?;
            Ok::<_, String>((heard, was_live && phase == Phase::Draining))
        })?;
        if drains {
            tracing::info!(executor = name, "an executor ends what runs and leaves");
        }
        Ok(heard)
    }

    /// Another run of a name takes the place of one that does not answer any more.
    ///
    /// # Errors
    /// An address that is none.
    pub(crate) fn replace(&self, node: NodeDescription, report: Report) -> Result<(), String> {
        self.update(|inner, now| {
            self.connect(inner, &node)?;
            inner.membership.insert(node, report, now);
            Ok(())
        })
    }

    /// How a greeting went.
    pub(crate) fn greeted(&self, node: &NodeDescription, outcome: Result<(), String>) {
        let why = outcome.as_ref().err().cloned();
        let (joined, is_news) = self.update(|inner, now| {
            let before = inner.membership.get(node.id).and_then(Known::obstacle).map(str::to_owned);
            (inner.membership.greeted(node.id, outcome, now), before != why)
        });
        match why {
            _ if joined => {
                tracing::info!(executor = node.name, id = %node.id, address = node.address, "an executor is given work")
            }
            // Whoever is gone is tried again and again.
            Some(why) if is_news => {
                tracing::warn!(executor = node.name, address = node.address, why, "an executor is not reached")
            }
            _ => {}
        }
    }

    /// An executor says goodbye.
    pub(crate) fn left(&self, id: NodeId) {
        if self.update(|inner, _| inner.membership.left(id)) {
            tracing::info!(%id, "an executor has left");
        }
    }

    /// Why a run is given no work; `None` when it is.
    pub(crate) fn obstacle(&self, id: NodeId) -> Option<String> {
        let inner = self.inner.lock();
        match inner.membership.get(id) {
            Some(known) => known.obstacle().map(str::to_owned),
            None => Some("it is not known".to_owned()),
        }
    }

    /// Time has passed: returns whom to greet.
    pub(crate) fn tick(&self) -> Vec<NodeDescription> {
        let (greet, ejected) = self.update(|inner, now| {
            let ticked = inner.membership.tick(now);
            inner.forget();
            ticked
        });
        for executor in ejected {
            tracing::warn!(executor, "an executor was silent for too long and is given no more work");
        }
        greet
    }

    /// The tables there are, with their newest version and the shards that have rows.
    pub(crate) fn set_tables(&self, tables: BTreeMap<TableId, ReadyShards>) {
        self.update(|inner, _| {
            inner.stale |= inner.tables != tables;
            inner.tables = tables;
        });
    }

    /// An executor has shards of a table at hand.
    pub(crate) fn ready(&self, id: NodeId, table: TableId, shards: ReadyShards) {
        self.update(|inner, _| {
            if let Some(report) = inner.membership.report_mut(id) {
                inner.stale |= report.ready.get(&table) != Some(&shards);
                report.ready.insert(table, shards);
            }
        });
    }

    /// What owners do not have at hand yet.
    pub(crate) fn owed(&self) -> Vec<Owed> {
        let view = Arc::clone(&self.view.read());
        let inner = self.inner.lock();
        let mut owed = Vec::new();
        for member in &view.live {
            let Some(known) = inner.membership.get(member.id()) else { continue };
            for (table, newest) in &inner.tables {
                let owns = |shard: &&ShardId| view.owns(member.id(), (*table, **shard));
                let shards: BTreeSet<ShardId> = newest.shards.iter().filter(owns).copied().collect();
                let is_ready = known
                    .report
                    .ready
                    .get(table)
                    .is_some_and(|ready| ready.version >= newest.version && shards.is_subset(&ready.shards));
                if !shards.is_empty() && !is_ready {
                    let shards = ReadyShards { version: newest.version, shards };
                    owed.push(Owed { member: Arc::clone(member), table: *table, shards });
                }
            }
        }
        owed
    }

    /// Waits until somebody came, went, or owns something else.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The connection to a run that was heard of.
    pub(crate) fn connection(&self, node: &NodeDescription) -> Option<Arc<Member>> {
        self.inner.lock().connections.get(&node.id).cloned()
    }

    /// Makes a connection to a run that is heard of for the first time.
    fn connect(&self, inner: &mut Inner, node: &NodeDescription) -> Result<(), String> {
        if node.name.is_empty() {
            return Err("an executor without a name; set name".to_owned());
        }
        if !inner.connections.contains_key(&node.id) {
            let member = Member::new(node.clone(), &self.secret, &self.io).map_err(|error| error.to_string())?;
            let counters = Arc::clone(inner.counters.entry(node.name.clone()).or_default());
            inner.connections.insert(node.id, Arc::new(member.counting(counters)));
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Changes what is known; makes a new view where that changes whom to ask.
    fn update<T>(&self, change: impl FnOnce(&mut Inner, Duration) -> T) -> T {
        let now = self.now();
        let mut inner = self.inner.lock();
        let before: Vec<NodeId> = inner.membership.live().map(|known| known.description.id).collect();
        let outcome = change(&mut inner, now);
        let same = inner.membership.live().map(|known| known.description.id).eq(before);
        if !same || inner.stale {
            inner.stale = false;
            // Written under the lock, so that no older view can follow a newer one.
            *self.view.write() = Arc::new(View::new(&inner, self.replicas));
            self.changed.notify_one();
        }
        outcome
    }
}
