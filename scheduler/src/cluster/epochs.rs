//! Which coordinator is the active one: the one that holds the highest epoch.
//!
//! ```text
//! cluster/epoch-{n:020}     who holds epoch n: name, address, id, since when
//! ```
//!
//! An epoch is taken by creating its object, which only one coordinator can do. The active coordinator has background work
//! done; all others serve as well, because commits are compare-and-set whoever makes them. So two that both believe to be
//! active for a moment do some work twice and no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use prost::Message;
use tokio::runtime::Handle;
use volley_storage::Env;

use super::calls;
use super::heartbeat::NodeMessage;
use super::mark;
use super::member::{Member, NodeDescription};
use super::secret::ClusterSecret;

/// How often the store is asked who holds the highest epoch.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An active coordinator that does not answer for so long has lost its epoch to whoever takes the next.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// The directory of the epochs.
const DIRECTORY: &str = "cluster";
/// Epochs that stay to be looked at; older ones are deleted.
const KEPT: u64 = 8;

/// What stands in an epoch's object.
#[derive(Clone, PartialEq, Message)]
struct EpochRecord {
    #[prost(message, optional, tag = "1")]
    node: Option<NodeMessage>,
    /// Milliseconds since the Unix epoch, for people; nothing is computed with it.
    #[prost(int64, tag = "2")]
    started_ms: i64,
}

/// One coordinator's part in the epochs.
pub(super) struct Epochs {
    env: Env,
    node: NodeDescription,
    secret: ClusterSecret,
    io: Handle,
    /// The epoch that this coordinator holds; 0 for none.
    held: u64,
    /// The active coordinator, if it is another one.
    other: Option<Other>,
}

/// Another coordinator that is the active one.
struct Other {
    epoch: u64,
    /// The connection to it; `None` where its address is none.
    member: Option<Member>,
    /// When it last answered, or was first seen.
    answered: Instant,
}

impl Epochs {
    pub(super) fn new(env: Env, node: NodeDescription, secret: ClusterSecret, io: Handle) -> Self {
        Self { env, node, secret, io, held: 0, other: None }
    }

    /// The epoch that this coordinator holds; 0 for none.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Looks every few seconds, for as long as the coordinator runs, and publishes the epoch that it holds.
    pub(super) async fn keep(mut self, epoch: Arc<AtomicU64>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.look().await;
            epoch.store(self.held, Ordering::Release);
        }
    }

    /// Finds out who is the active coordinator; takes the next epoch if nobody is.
    pub(super) async fn look(&mut self) {
        mark::keep(&self.env, self.node.id, self.held > 0).await;
        // A store that does not answer changes nothing: who was active stays it, and can commit nothing either.
        let Some(newest) = self.newest().await else { return };
        match newest {
            None => self.take(1).await,
            Some((epoch, Some(holder))) if holder.id == self.node.id => self.hold(epoch),
            Some((epoch, holder)) => {
                if self.held > 0 {
                    let by = holder.as_ref().map_or("somebody unknown", |holder| &holder.name);
                    tracing::warn!(
                        epoch = self.held,
                        newer = epoch,
                        by,
                        "another coordinator has taken over; this one stands by"
                    );
                    self.held = 0;
                }
                if self.is_gone(epoch, holder).await {
                    self.take(epoch.saturating_add(1)).await;
                }
            }
        }
    }

    /// Whether the holder of the highest epoch is gone.
    async fn is_gone(&mut self, epoch: u64, holder: Option<NodeDescription>) -> bool {
        // Nobody else can have this coordinator's name and listen on its address: it is an earlier run of it.
        let is_earlier =
            |holder: &NodeDescription| (&holder.name, &holder.address) == (&self.node.name, &self.node.address);
        if holder.as_ref().is_none_or(is_earlier) {
            return true;
        }
        if self.other.as_ref().is_none_or(|other| other.epoch != epoch) {
            if let Some(holder) = &holder {
                tracing::info!(epoch, active = holder.name, address = holder.address, "another coordinator is active");
            }
            let member = holder.and_then(|holder| Member::new(holder, &self.secret, &self.io).ok());
            self.other = Some(Other { epoch, member, answered: Instant::now() });
        }
        let Some(other) = &mut self.other else { return false };
        if let Some(member) = &other.member
            && calls::greet(member, self.node.id).await.is_ok()
        {
            other.answered = Instant::now();
        }
        other.answered.elapsed() >= SILENCE_MAX
    }

    /// Creates an epoch's object. Whether that succeeded shows when it is read: a reply may get lost.
    async fn take(&mut self, epoch: u64) {
        let record = EpochRecord { node: Some((&self.node).into()), started_ms: self.env.clock.now_ms() };
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(Bytes::from(record.encode_to_vec()));
        if let Err(error) = self.env.store.put_opts(&path(epoch), payload, options).await {
            tracing::debug!(%error, epoch, "the epoch was not taken, or the store does not say so");
        }
        match self.newest().await {
            Some(Some((newest, Some(holder)))) if holder.id == self.node.id => self.hold(newest),
            _ => {}
        }
    }

    fn hold(&mut self, epoch: u64) {
        if self.held != epoch {
            tracing::info!(epoch, name = self.node.name, "this coordinator is the active one");
        }
        (self.held, self.other) = (epoch, None);
    }

    /// The highest epoch and who holds it, which is `None` where the object says nothing that can be read. Without epochs
    /// `Some(None)`; `None` when the store does not tell.
    async fn newest(&self) -> Option<Option<(u64, Option<NodeDescription>)>> {
        let store = &self.env.store;
        let objects: Vec<_> = store.list(Some(&Path::from(DIRECTORY))).try_collect().await.ok()?;
        let mut epochs: Vec<u64> = objects.iter().filter_map(|object| number(&object.location)).collect();
        epochs.sort_unstable();
        let Some(newest) = epochs.pop() else { return Some(None) };
        if self.held == newest {
            for old in epochs.into_iter().filter(|old| old.saturating_add(KEPT) < newest) {
                // What cannot be deleted is no harm.
                let _ = store.delete(&path(old)).await;
            }
        }
        let bytes = store.get(&path(newest)).await.ok()?.bytes().await.ok()?;
        let record = EpochRecord::decode(bytes).ok();
        Some(Some((newest, record.and_then(|record| record.node?.description().ok()))))
    }
}

fn path(epoch: u64) -> Path {
    Path::from(DIRECTORY).join(format!("epoch-{epoch:020}"))
}

/// The epoch of an object, if it is one's.
fn number(location: &Path) -> Option<u64> {
    location.filename()?.strip_prefix("epoch-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use ulid::Ulid;
    use volley_storage::memory_env;

    use super::*;
    use crate::cluster::member::NodeId;

    fn coordinator(env: &Env, id: u128, address: &str) -> Epochs {
        let node =
            NodeDescription { id: NodeId(Ulid(id)), name: format!("c{id}"), address: address.to_owned(), weight: 100 };
        let secret = ClusterSecret::of_text(&[7; 32]).expect("long enough");
        Epochs::new(env.clone(), node, secret, Handle::current())
    }

    #[tokio::test]
    async fn one_is_active_and_others_stand_by() {
        let env = memory_env();
        // Nothing listens at these addresses; only silence for long enough makes anybody think so.
        let (mut first, mut second) = (coordinator(&env, 1, "127.0.0.1:1"), coordinator(&env, 2, "127.0.0.1:2"));
        first.look().await;
        second.look().await;
        assert_eq!((first.held(), second.held()), (1, 0));
        first.look().await;
        assert_eq!(first.held(), 1);
        if let Some(other) = &mut second.other {
            other.answered -= SILENCE_MAX;
        }
        second.look().await;
        assert_eq!(second.held(), 2);
        first.look().await;
        assert_eq!(first.held(), 0, "a coordinator that lost its epoch notices");
    }

    #[tokio::test]
    async fn a_coordinator_follows_itself_at_once() {
        let env = memory_env();
        for run in 1..=20 {
            let mut epochs = coordinator(&env, run, "127.0.0.1:1");
            epochs.node.name = "c".to_owned();
            epochs.look().await;
            assert_eq!(u128::from(epochs.held()), run);
            epochs.look().await;
        }
        let left: Vec<_> = env.store.list(Some(&Path::from(DIRECTORY))).try_collect().await.expect("listed");
        let epochs = left.iter().filter_map(|object| number(&object.location)).count();
        assert_eq!(epochs as u64, KEPT + 1, "old epochs are deleted");
    }

    #[tokio::test]
    async fn of_many_at_once_one_wins() {
        let env = memory_env();
        let mut all: Vec<Epochs> = (1..=8).map(|id| coordinator(&env, id, &format!("127.0.0.1:{id}"))).collect();
        futures::future::join_all(all.iter_mut().map(Epochs::look)).await;
        assert_eq!(all.iter().filter(|epochs| epochs.held() == 1).count(), 1);
    }
}
