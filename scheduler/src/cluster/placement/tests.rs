use std::collections::HashSet;

use ulid::Ulid;

use super::*;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mixed(mixed(self.0))
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn shards(&mut self, count: usize) -> Vec<ShardKey> {
        let mut shards = Vec::new();
        while shards.len() < count {
            let table = TableId(Ulid(u128::from(self.next()) << 64 | u128::from(self.next())));
            let of_table = 1 + self.below(32).min(count - shards.len() - 1);
            shards.extend((0..of_table as u32).map(|shard| (table, ShardId(shard))));
        }
        shards
    }

    fn names(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|at| format!("node-{at}.{:x}:32011", self.next() % 4096)).collect()
    }
}

fn alike(names: &[String]) -> Vec<Candidate<'_>> {
    names.iter().map(|name| Candidate { name, weight: 100 }).collect()
}

/// Owners by name, so that placements over other nodes can be compared.
fn named<'a>(placed: &HashMap<ShardKey, Vec<usize>>, nodes: &[Candidate<'a>]) -> HashMap<ShardKey, Vec<&'a str>> {
    placed.iter().map(|(shard, owners)| (*shard, owners.iter().map(|&at| nodes[at].name).collect())).collect()
}

/// Placements of the second that the first does not have.
fn moved(before: &HashMap<ShardKey, Vec<&str>>, after: &HashMap<ShardKey, Vec<&str>>) -> usize {
    after.iter().map(|(shard, owners)| owners.iter().filter(|owner| !before[shard].contains(owner)).count()).sum()
}

#[test]
fn every_shard_has_its_owners_and_no_node_more_than_its_bound() {
    let mut numbers = Numbers(1);
    for _ in 0..300 {
        let (nodes, replicas) = (1 + numbers.below(9), 1 + numbers.below(3));
        let (names, count) = (numbers.names(nodes), 1 + numbers.below(150));
        let shards = numbers.shards(count);
        let weights: Vec<u32> = names.iter().map(|_| [50, 100, 100, 200][numbers.below(4)]).collect();
        let nodes: Vec<Candidate<'_>> =
            names.iter().zip(weights).map(|(name, weight)| Candidate { name, weight }).collect();
        let placed = place(&shards, &nodes, replicas);
        assert_eq!(placed.len(), shards.len());
        let mut loads = vec![0; nodes.len()];
        for owners in placed.values() {
            assert_eq!(owners.len(), replicas.min(nodes.len()));
            assert_eq!(owners.iter().collect::<HashSet<_>>().len(), owners.len(), "owners are distinct");
            owners.iter().for_each(|&owner| loads[owner] += 1);
        }
        let weights: f64 = nodes.iter().map(weight).sum();
        // With as many nodes as replicas each owns everything, whatever its weight.
        for (node, load) in nodes.iter().zip(loads).filter(|_| nodes.len() > 2 * replicas) {
            let share = (replicas * shards.len()) as f64 * weight(node) / weights;
            assert!(f64::from(load) <= (LOAD_MAX * share).ceil(), "{load} of {share}, {} shards", shards.len());
        }
    }
}

#[test]
fn a_node_that_goes_or_comes_moves_its_share() {
    let mut numbers = Numbers(2);
    for _ in 0..300 {
        let (nodes, replicas) = (3 + numbers.below(6), 1 + numbers.below(2));
        let (names, count) = (numbers.names(nodes), 8 * nodes * (1 + numbers.below(4)));
        let (shards, all) = (numbers.shards(count), alike(&names));
        let mut fewer = all.clone();
        fewer.remove(numbers.below(nodes));
        let whole = named(&place(&shards, &all, replicas), &all);
        let rest = named(&place(&shards, &fewer, replicas), &fewer);
        let most = (1.0 / nodes as f64 + 0.1) * (replicas * shards.len()) as f64;
        for (change, moved) in [("goes", moved(&whole, &rest)), ("comes", moved(&rest, &whole))] {
            assert!(moved as f64 <= most, "one of {nodes} {change}: {moved} of {} × {replicas}", shards.len());
        }
    }
}

#[test]
fn the_order_of_what_is_known_does_not_matter() {
    let mut numbers = Numbers(3);
    for _ in 0..50 {
        let (names, shards) = (numbers.names(5), numbers.shards(40));
        let nodes = alike(&names);
        let (mut turned, mut back) = (nodes.clone(), shards.clone());
        turned.reverse();
        back.rotate_left(17);
        back.push(shards[0]);
        assert_eq!(named(&place(&shards, &nodes, 2), &nodes), named(&place(&back, &turned, 2), &turned));
    }
}

#[test]
fn who_has_more_weight_owns_more() {
    let mut numbers = Numbers(4);
    let shards = numbers.shards(900);
    let nodes = [("small", 50), ("ordinary", 100), ("large", 150)].map(|(name, weight)| Candidate { name, weight });
    let mut loads = [0; 3];
    for owners in place(&shards, &nodes, 1).values() {
        loads[owners[0]] += 1;
    }
    for (load, share) in loads.into_iter().zip([150, 300, 450]) {
        assert!((share * 3 / 4..=share * 5 / 4).contains(&load), "{loads:?}");
    }
}

#[test]
fn the_preference_begins_with_the_owner_where_there_is_room() {
    let mut numbers = Numbers(5);
    let (names, shards) = (numbers.names(4), numbers.shards(200));
    let nodes = alike(&names);
    let placed = place(&shards, &nodes, 1);
    let first = shards.iter().filter(|shard| preference(**shard, &nodes)[0] == placed[*shard][0]).count();
    assert!(first * 10 >= shards.len() * 8, "{first} of {}", shards.len());
    assert!(place(&shards, &[], 2).values().all(Vec::is_empty));
    assert!(preference(shards[0], &[]).is_empty());
}
