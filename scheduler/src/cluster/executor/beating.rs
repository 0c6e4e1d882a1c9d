//! An executor's heartbeats.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::memory_pool::MemoryPool;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::Work;
use crate::cluster::calls;
use crate::cluster::heartbeat::{Heartbeat, HeartbeatReply, NodeMessage, Phase, decoded, ready_messages};
use crate::cluster::member::Member;
use crate::cluster::messages::actions;

/// How often a coordinator hears of it.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How soon it is tried again when nobody was there: a coordinator that was started again knows nobody.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long an answer may take; a coordinator calls back before it answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// What all heartbeats of an executor have in common.
#[derive(Debug)]
pub(super) struct Beating {
    work: Arc<Work>,
    draining: CancellationToken,
    leaving: CancellationToken,
}

impl Beating {
    pub(super) fn new(work: Arc<Work>) -> Self {
        Self { work, draining: CancellationToken::new(), leaving: CancellationToken::new() }
    }

    /// From now on coordinators hear that it takes no more work; they hear so at once.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends all heartbeats with a goodbye.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Tells one coordinator until the executor leaves.
    pub(super) async fn keep(self: Arc<Self>, coordinator: Member) {
        let mut told = Told::Nothing;
        loop {
            let drains = self.draining.is_cancelled();
            let beat = self.beat(&coordinator);
            let outcome = tokio::select! {
                biased;
                () = self.leaving.cancelled() => break,
                outcome = beat => outcome,
            };
            let pause = if outcome.as_ref().is_err_and(|status| status.code() == Code::Unavailable) {
                AGAIN_AFTER
            } else {
                BEAT_EVERY
            };
            // Whether it is given work is no news to an executor that takes none.
            if !drains {
                told = told.then(outcome, &coordinator);
            }
            tokio::select! {
                biased;
                () = self.leaving.cancelled() => break,
                () = self.draining.cancelled(), if !drains => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        let goodbye = NodeMessage::from(&self.work.node).encode_to_vec();
        // Who does not hear it notices the silence.
        let _ = calls::act(coordinator.client(), actions::LEAVE, goodbye.into(), Some(GOODBYE_WITHIN)).await;
    }

    async fn beat(&self, coordinator: &Member) -> Result<HeartbeatReply, Status> {
        let phase = if self.draining.is_cancelled() { Phase::Draining } else { Phase::Live };
        let work = &self.work;
        let beat = Heartbeat {
            node: Some((&work.node).into()),
            phase: phase.into(),
            memory: work.shared.memory.reserved() as u64,
            cache: work.cache_bytes().await,
            ready: ready_messages(&work.ready.lock()),
        };
        let body = beat.encode_to_vec().into();
        let answer = calls::act(coordinator.client(), actions::HEARTBEAT, body, Some(ANSWER_WITHIN)).await?;
        decoded(&answer)
    }
}

/// What the log says already about a coordinator, so that it says so once.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Joined,
    NoWork(String),
    Failed(String),
}

impl Told {
    fn then(self, outcome: Result<HeartbeatReply, Status>, coordinator: &Member) -> Self {
        let now = match outcome {
            Ok(reply) if reply.obstacle.is_empty() => Told::Joined,
            Ok(reply) => Told::NoWork(reply.obstacle),
            Err(status) => Told::Failed(status.message().to_owned()),
        };
        if now != self {
            let coordinator = coordinator.name();
            match &now {
                Told::Joined => tracing::info!(coordinator, "the coordinator gives this executor work"),
                Told::NoWork(why) => tracing::warn!(coordinator, why, "the coordinator gives this executor no work"),
                Told::Failed(why) => tracing::warn!(coordinator, why, "the coordinator does not take this executor"),
                Told::Nothing => {}
            }
        }
        now
    }
}
