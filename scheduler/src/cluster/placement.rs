//! Who owns which shard.
//!
//! Weighted rendezvous hashing in its logarithmic form: every node draws a cost for every shard, −ln(u) / weight with u hashed
//! from both names, and the cheapest own it. So a node that goes or comes moves its own shards and few others, whoever
//! computes it finds the same, and a node that is started again under its name gets its shards back.
//!
//! Hashes alone deal few shards unevenly, so no node owns more than 1.25 times its share: shards choose in the order of their
//! costs, and who is full is passed over. First all shards choose their first owner, then their second, and so on, so that
//! first owners, who do most of the work, are dealt evenly too.
//!
//! Source: Wang and Ravishankar's weighted form of rendezvous hashing; Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing
//! with bounded loads" (2016).

use std::collections::HashMap;

use volley_storage::ids::{ShardId, TableId};

/// A shard of a table.
pub type ShardKey = (TableId, ShardId);

/// The most that a node owns, as a multiple of its share.
const LOAD_MAX: f64 = 1.25;

/// A node as placement sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name, the same in every run of it.
    pub name: &'a str,
    /// Its share relative to others; 0 counts as 1.
    pub weight: u32,
}

/// The owners of each shard, first owner first, as positions in `nodes`: `replicas` of them, or all nodes where there are fewer. The
/// order of the shards and of the nodes does not matter.
pub fn place(shards: &[ShardKey], nodes: &[Candidate<'_>], replicas: usize) -> HashMap<ShardKey, Vec<usize>> {
    let mut shards = shards.to_vec();
    shards.sort_unstable();
    shards.dedup();
    let mut dealing = Dealing::new(&shards, nodes);
    for replica in 1..=replicas.min(nodes.len()) {
        dealing.deal(replica);
    }
    shards.into_iter().zip(dealing.owners).collect()
}

/// Every node, best first for this shard, whatever else they own.
pub fn preference(shard: ShardKey, nodes: &[Candidate<'_>]) -> Vec<usize> {
    let hash = shard_hash(shard);
    let mut order: Vec<(f64, usize)> =
        nodes.iter().map(|node| cost(hash, node)).enumerate().map(|(at, cost)| (cost, at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| nodes[a.1].name.cmp(nodes[b.1].name)));
    order.into_iter().map(|(_, at)| at).collect()
}

/// One choice: what it costs, which shard, which node.
#[derive(Debug, Clone, Copy)]
struct Choice {
    cost: f64,
    shard: usize,
    node: usize,
}

/// Owners as they are dealt out.
struct Dealing {
    /// Cheapest first.
    choices: Vec<Choice>,
    /// By shard.
    owners: Vec<Vec<usize>>,
    /// By node.
    loads: Vec<usize>,
    /// By node, of all weights together.
    shares: Vec<f64>,
}

impl Dealing {
    fn new(shards: &[ShardKey], nodes: &[Candidate<'_>]) -> Self {
        let mut choices = Vec::with_capacity(shards.len() * nodes.len());
        for (shard, key) in shards.iter().enumerate() {
            let hash = shard_hash(*key);
            choices.extend(nodes.iter().enumerate().map(|(node, candidate)| Choice {
                cost: cost(hash, candidate),
                shard,
                node,
            }));
        }
        let name = |choice: &Choice| nodes[choice.node].name;
        choices.sort_by(|a, b| {
            a.cost.total_cmp(&b.cost).then_with(|| a.shard.cmp(&b.shard)).then_with(|| name(a).cmp(name(b)))
        });
        let weights: f64 = nodes.iter().map(weight).sum();
        Self {
            choices,
            owners: vec![Vec::new(); shards.len()],
            loads: vec![0; nodes.len()],
            shares: nodes.iter().map(|node| weight(node) / weights).collect(),
        }
    }

    /// Gives every shard its owner of this number, which counts from one.
    fn deal(&mut self, replica: usize) {
        let rooms = self.rooms(replica);
        for at in 0..self.choices.len() {
            let Choice { shard, node, .. } = self.choices[at];
            if self.owners[shard].len() < replica && self.fits(shard, node, &rooms) {
                self.give(shard, node);
            }
        }
        for shard in 0..self.owners.len() {
            if self.owners[shard].len() < replica && !self.make_room(shard, &rooms) {
                self.overload(shard, &rooms);
            }
        }
    }

    /// How much each node may own with so many replicas dealt: never less than its share, or not every shard would have a place.
    fn rooms(&self, replica: usize) -> Vec<usize> {
        let placements = (replica * self.owners.len()) as f64;
        let room = |share: &f64| ((LOAD_MAX * placements * share).floor()).max((placements * share).ceil()) as usize;
        self.shares.iter().map(|share| room(share).min(self.owners.len())).collect()
    }

    fn fits(&self, shard: usize, node: usize, rooms: &[usize]) -> bool {
        self.loads[node] < rooms[node] && !self.owners[shard].contains(&node)
    }

    fn give(&mut self, shard: usize, node: usize) {
        self.owners[shard].push(node);
        self.loads[node] += 1;
    }

    /// Who still has room owns the shard already: another shard changes its newest owner for such a node and leaves its own.
    fn make_room(&mut self, shard: usize, rooms: &[usize]) -> bool {
        let replica = self.owners[shard].len() + 1;
        let exchange = self.choices.iter().find_map(|freed| {
            let gives =
                self.owners[freed.shard].len() == replica && self.owners[freed.shard].last() == Some(&freed.node);
            if !gives || self.owners[shard].contains(&freed.node) {
                return None;
            }
            let takes = |choice: &&Choice| choice.shard == freed.shard && self.fits(choice.shard, choice.node, rooms);
            self.choices.iter().find(takes).map(|taken| (*freed, taken.node))
        });
        let Some((freed, taker)) = exchange else { return false };
        self.owners[freed.shard].pop();
        self.loads[freed.node] -= 1;
        self.give(freed.shard, taker);
        self.give(shard, freed.node);
        true
    }

    /// An owner beyond its bound is better than none.
    fn overload(&mut self, shard: usize, rooms: &[usize]) {
        let over = |node: usize| self.loads[node] as f64 / rooms[node].max(1) as f64;
        let free = self.choices.iter().filter(|choice| choice.shard == shard).map(|choice| choice.node);
        let free = free.filter(|node| !self.owners[shard].contains(node));
        if let Some(node) = free.min_by(|&a, &b| over(a).total_cmp(&over(b))) {
            self.give(shard, node);
        }
    }
}

fn weight(node: &Candidate<'_>) -> f64 {
    f64::from(node.weight.max(1))
}

fn cost(shard: u64, node: &Candidate<'_>) -> f64 {
    let hash = mixed(mixed(shard) ^ name_hash(node.name));
    // 53 bits are what an f64 holds; the half keeps the logarithm finite.
    let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -unit.ln() / weight(node)
}

fn shard_hash((table, shard): ShardKey) -> u64 {
    let table = table.0.0;
    mixed(mixed((table >> 64) as u64 ^ mixed(table as u64)) ^ u64::from(shard.0))
}

fn name_hash(name: &str) -> u64 {
    // FNV-1a; the mixing that follows makes up for its weak upper bits.
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finisher of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
