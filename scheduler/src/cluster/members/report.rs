//! The executors as the system tables show them.

use std::sync::Arc;

use volley_planner::system_tables::{ExecutorCalls, ExecutorReport, Placement};

use super::Members;
use crate::cluster::counters::TaskKind;
use crate::cluster::membership::{Known, State};
use crate::cluster::placement::ShardKey;
use crate::cluster::secret::VERSION;

impl Members {
    /// Everybody who was heard of, by name.
    pub(crate) fn executors(&self) -> Vec<ExecutorReport> {
        let view = Arc::clone(&self.view.read());
        let now = self.now();
        let inner = self.inner.lock();
        let report = |known: &Known| {
            let id = known.description.id;
            let owned = view.owners.keys().filter(|shard| view.owns(id, **shard));
            let (shards, ready_shards) =
                owned.fold((0, 0), |sums, shard| (sums.0 + 1, sums.1 + u64::from(has(known, *shard))));
            ExecutorReport {
                name: known.description.name.clone(),
                id: id.to_string(),
                address: known.description.address.clone(),
                state: match known.state {
                    State::Live { .. } => "live",
                    State::Draining => "draining",
                    State::Out { .. } => "out",
                },
                obstacle: known.obstacle().map(str::to_owned),
                // Others are not let in.
                version: VERSION.to_owned(),
                weight: known.description.weight,
                heartbeat_age_ms: now.saturating_sub(known.heard).as_millis() as u64,
                shards,
                ready_shards,
                memory: known.report.memory,
                cache: known.report.cache,
                ejections: inner.membership.ejections(&known.description.name),
            }
        };
        inner.membership.known().map(report).collect()
    }

    /// What was counted of calls to them.
    pub(crate) fn executor_calls(&self) -> Vec<ExecutorCalls> {
        let inner = self.inner.lock();
        let mut rows = Vec::new();
        for (name, counters) in &inner.counters {
            for task in TaskKind::ALL {
                let counted = counters.of(task).counted();
                rows.push(ExecutorCalls {
                    executor: name.clone(),
                    task: task.name(),
                    calls: counted.calls,
                    failures: counted.failures,
                    retries: counted.retries,
                    hedges: counted.hedges,
                    bytes_sent: counted.sent,
                    bytes_received: counted.received,
                    p95_ms: counted.p95.map(|time| time.as_secs_f64() * 1e3),
                });
            }
        }
        rows
    }

    /// Who owns which shard.
    pub(crate) fn placements(&self) -> Vec<Placement> {
        let view = Arc::clone(&self.view.read());
        let inner = self.inner.lock();
        let mut rows = Vec::new();
        for (shard, owners) in &view.owners {
            for (replica, &at) in (1..).zip(owners) {
                let member = &view.live[at];
                rows.push(Placement {
                    table: shard.0,
                    shard: shard.1.0,
                    replica,
                    executor: member.name().to_owned(),
                    ready: inner.membership.get(member.id()).is_some_and(|known| has(known, *shard)),
                });
            }
        }
        rows
    }
}

/// Whether an executor has a shard at hand.
fn has(known: &Known, (table, shard): ShardKey) -> bool {
    known.report.ready.get(&table).is_some_and(|ready| ready.shards.contains(&shard))
}
