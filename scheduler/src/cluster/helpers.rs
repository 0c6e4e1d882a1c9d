//! Index jobs on executors, asked for by a coordinator.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use volley_storage::ids::{ShardId, TableId};

use super::calls::act;
use super::failure::is_unreachable;
use super::{Member, Members, NodeId, TaskKind, error_of, is_nodes_fault};
use crate::error::Result;

/// The executors that build and measure indexes for this process.
#[derive(Debug)]
pub(crate) struct Helpers {
    members: Arc<Members>,
    /// Those that have a job of this process, once for each.
    busy: Mutex<Vec<NodeId>>,
}

impl Helpers {
    pub(crate) fn new(members: Arc<Members>) -> Self {
        Self { members, busy: Mutex::default() }
    }

    /// How many there are now.
    pub(crate) fn count(&self, table: TableId) -> usize {
        self.members.candidates(table, ShardId(0)).len()
    }

    /// Has a job on a segment of this shard done, by its owner if that is free; `None` where no executor could do it.
    ///
    /// # Errors
    /// What another executor would refuse as well.
    pub(crate) async fn ask(
        &self,
        table: TableId,
        shard: ShardId,
        task: TaskKind,
        job: &Bytes,
    ) -> Result<Option<Bytes>> {
        let mut tried = Vec::new();
        loop {
            let mut candidates = self.members.candidates(table, shard);
            candidates.retain(|member| !tried.contains(&member.id()));
            let Some(chosen) = self.choose(&candidates) else { return Ok(None) };
            let member = &chosen.member;
            let (counters, begun) = (member.counters().of(task), Instant::now());
            counters.begun(job.len() as u64);
            if !tried.is_empty() {
                counters.retried();
            }
            match act(member.client(), task.name(), job.clone(), None).await {
                Ok(answer) => {
                    counters.received(answer.len() as u64);
                    counters.answered(begun.elapsed());
                    return Ok(Some(answer));
                }
                Err(status) if is_nodes_fault(&status) => {
                    counters.failed();
                    let (node, detail) = (member.name(), status.message());
                    tracing::warn!(node, detail, task = task.name(), "an executor broke off an index job");
                    // One that says what is wrong is there, and may be asked other things.
                    if is_unreachable(&status) {
                        self.members.failed(member, detail);
                    }
                    tried.push(member.id());
                }
                Err(status) => return Err(error_of(member.name(), &status)),
            }
        }
    }

    /// The first that is free; where none is, the first.
    fn choose(&self, candidates: &[Arc<Member>]) -> Option<Chosen<'_>> {
        let mut busy = self.busy.lock();
        let free = candidates.iter().find(|member| !busy.contains(&member.id()));
        let member = Arc::clone(free.or(candidates.first())?);
        busy.push(member.id());
        Some(Chosen { member, helpers: self })
    }
}

/// An executor while it has a job.
struct Chosen<'a> {
    member: Arc<Member>,
    helpers: &'a Helpers,
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        let mut busy = self.helpers.busy.lock();
        if let Some(at) = busy.iter().position(|id| *id == self.member.id()) {
            busy.swap_remove(at);
        }
    }
}
