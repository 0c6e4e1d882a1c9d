//! Who is asked about which shard, worked out beforehand.

use std::collections::HashMap;
use std::sync::Arc;

use super::Inner;
use crate::cluster::member::{Member, NodeId};
use crate::cluster::placement::{Candidate, ShardKey, place, preference};

/// Who owns what at one moment. It never changes.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Everybody who is given work, by name.
    pub(super) live: Vec<Arc<Member>>,
    /// By shard, as positions in `live`.
    pub(super) owners: HashMap<ShardKey, Vec<usize>>,
    /// By shard, best first, as positions in `live`.
    order: HashMap<ShardKey, Vec<usize>>,
}

impl View {
    pub(super) fn new(inner: &Inner, replicas: usize) -> Self {
        let live: Vec<Arc<Member>> =
            inner.membership.live().filter_map(|known| inner.connections.get(&known.description.id).cloned()).collect();
        let nodes = candidates_of(&live);
        let tables = inner.tables.iter();
        let shards: Vec<ShardKey> =
            tables.flat_map(|(table, newest)| newest.shards.iter().map(|shard| (*table, *shard))).collect();
        let owners = place(&shards, &nodes, replicas);
        let ready: Vec<_> =
            live.iter().map(|member| inner.membership.get(member.id()).map(|known| &known.report.ready)).collect();
        let has = |at: usize, (table, shard): ShardKey| {
            ready[at].and_then(|ready| ready.get(&table)).is_some_and(|ready| ready.shards.contains(&shard))
        };
        let best_first = |(key, owners): (&ShardKey, &Vec<usize>)| {
            let others = preference(*key, &nodes).into_iter().filter(|at| !owners.contains(at));
            let mut order: Vec<usize> = owners.iter().copied().chain(others).collect();
            // Stable: owners stay before others, and both in the order of their placement.
            order.sort_by_key(|&at| !has(at, *key));
            (*key, order)
        };
        let order = owners.iter().map(best_first).collect();
        Self { live, owners, order }
    }

    /// Who may be asked about a shard, best first. A shard that nobody has heard of has no rows that anybody has ready.
    pub(super) fn candidates(&self, shard: ShardKey) -> Vec<Arc<Member>> {
        let at = |at: &usize| Arc::clone(&self.live[*at]);
        match self.order.get(&shard) {
            Some(order) => order.iter().map(at).collect(),
            None => preference(shard, &candidates_of(&self.live)).iter().map(at).collect(),
        }
    }

    /// Whether a run of an executor is one of a shard's owners.
    pub(super) fn owns(&self, id: NodeId, shard: ShardKey) -> bool {
        self.owners.get(&shard).is_some_and(|owners| owners.iter().any(|&at| self.live[at].id() == id))
    }
}

fn candidates_of(live: &[Arc<Member>]) -> Vec<Candidate<'_>> {
    live.iter().map(|member| Candidate { name: member.name(), weight: member.description.weight }).collect()
}
