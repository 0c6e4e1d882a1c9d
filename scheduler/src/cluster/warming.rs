//! New owners are told to have their shards at hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message;

use super::calls;
use super::counters::TaskKind;
use super::failure::is_unreachable;
use super::heartbeat::{ShardsMessage, Warm, decoded};
use super::member::NodeId;
use super::members::{Members, Owed};
use super::messages::actions;

/// What is owed is looked at so often, besides when placements change.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whoever could not make its shards ready is asked again after that.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Tells owners what to have at hand: one table at a time to each of them, all of them side by side.
pub(super) struct Warming {
    members: Arc<Members>,
    /// Who is at it; those who failed until they are asked again.
    busy: Arc<Mutex<HashMap<NodeId, Option<Instant>>>>,
}

impl Warming {
    pub(super) fn new(members: Arc<Members>) -> Self {
        Self { members, busy: Arc::default() }
    }

    /// Runs for as long as the coordinator does.
    pub(super) async fn run(self) {
        loop {
            let _ = tokio::time::timeout(LOOK_EVERY, self.members.changed()).await;
            self.busy.lock().retain(|_, until| until.is_none_or(|until| until > Instant::now()));
            let mut owed: HashMap<NodeId, Vec<Owed>> = HashMap::new();
            for one in self.members.owed() {
                owed.entry(one.member.id()).or_default().push(one);
            }
            for (id, tables) in owed {
                if self.begin(id) {
                    let (members, busy) = (Arc::clone(&self.members), Arc::clone(&self.busy));
                    tokio::spawn(async move {
                        let done = warm(&members, tables).await;
                        match done {
                            true => busy.lock().remove(&id),
                            false => busy.lock().insert(id, Some(Instant::now() + AGAIN_AFTER)),
                        }
                    });
                }
            }
        }
    }

    fn begin(&self, id: NodeId) -> bool {
        let mut busy = self.busy.lock();
        let is_free = !busy.contains_key(&id);
        if is_free {
            busy.insert(id, None);
        }
        is_free
    }
}

/// Has an executor make tables ready, one after the other; `false` when it could not make all of them.
async fn warm(members: &Members, tables: Vec<Owed>) -> bool {
    let mut are_all = true;
    for Owed { member, table, shards } in tables {
        let message = Warm { shards: Some(ShardsMessage::new(table, shards.version, shards.shards)) };
        let body = message.encode_to_vec();
        let counters = member.counters().of(TaskKind::Warm);
        let began = Instant::now();
        counters.begun(body.len() as u64);
        // It takes as long as the files take; a node that is gone is noticed by the connection.
        let answer = calls::act(member.client(), actions::WARM, body.into(), None).await;
        let answer = answer.and_then(|body| {
            counters.received(body.len() as u64);
            decoded::<ShardsMessage>(&body)?.decoded()
        });
        match answer {
            Ok((table, ready)) => {
                counters.answered(began.elapsed());
                members.ready(member.id(), table, ready);
            }
            Err(status) => {
                counters.failed();
                let (executor, detail) = (member.name(), status.message());
                tracing::warn!(executor, %table, detail, "an executor cannot make its shards ready");
                are_all = false;
                // What it could not read another may not read either, and its other tables may be readable.
                if is_unreachable(&status) {
                    if status.code() == tonic::Code::Unavailable {
                        members.failed(&member, status.message());
                    }
                    return false;
                }
            }
        }
    }
    are_all
}
