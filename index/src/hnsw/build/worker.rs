//! What one thread does: finding the neighbours of new nodes, and putting links into lists.

use super::{
    level::{Level, NewLink, Part},
    space::Space,
};
use crate::{
    DistanceKernel, Residence,
    hnsw::search::{Beam, Key, Next, Pool, Visited},
};

/// How many rows are fetched before the first distance is computed; the kernel fetches the others meanwhile.
const FETCH_FIRST: usize = 4;

/// How many of the rows that were chosen a candidate is compared with before asking whether that was enough: as many as
/// kernels compute together.
const COMPARED_TOGETHER: usize = 4;

/// The memory of a thread, and what it has found.
#[derive(Debug, Default)]
pub(super) struct Worker {
    visited: Visited,
    pool: Pool,
    ids: Vec<u32>,
    distances: Vec<f32>,
    candidates: Vec<Key>,
    chosen: Vec<u32>,
    /// The links that are to be made, by level.
    pub(super) new: Vec<Vec<NewLink>>,
}

impl Worker {
    /// Finds the neighbours of a new node that is on the upper levels up to `top`. Walks begin at the row `entry`.
    pub(super) fn find<K: DistanceKernel>(
        &mut self,
        space: &Space<'_, '_, K>,
        levels: &[Level<'_>],
        (row, top): (u32, usize),
        entry: u32,
        (m, ef): (usize, usize),
    ) {
        self.new.resize_with(levels.len(), Vec::new);
        self.distances.resize(self.distances.len().max(1), 0.0);
        space.gather(row, &[entry], Residence::Memory, &mut self.distances);
        let mut nearest = Key::new(self.distances[0], entry);
        self.visited.reset(space.rows());
        for (number, level) in levels.iter().enumerate().rev() {
            let is_on_it = number <= top;
            // On the way down nothing that was seen above can be nearer; where neighbours are found, it counts again.
            if is_on_it {
                self.visited.reset(space.rows());
            }
            self.pool.reset(if is_on_it { ef } else { 1 });
            self.spread(space, level, row, nearest);
            nearest = self.pool.kept().next().unwrap_or(nearest);
            if is_on_it {
                self.candidates.clear();
                self.candidates.extend(self.pool.kept());
                self.choose(space, m);
                self.new[number].extend(self.chosen.iter().flat_map(|&other| level.between(row, other)));
            }
        }
    }

    /// Fills the pool with the nodes of a level that are nearest to a row.
    fn spread<K: DistanceKernel>(&mut self, space: &Space<'_, '_, K>, level: &Level<'_>, row: u32, start: Key) {
        let Self { visited, pool, ids, distances, .. } = self;
        visited.insert(start.row());
        pool.offer(start);
        while let Next::Expand(node) = pool.next() {
            ids.clear();
            for link in level.links_of(node.row()) {
                if visited.insert(link) {
                    if ids.len() < FETCH_FIRST {
                        space.prefetch(link);
                    }
                    ids.push(link);
                }
            }
            if let Some(next) = pool.peek() {
                level.prefetch(next.row());
            }
            distances.resize(distances.len().max(ids.len()), 0.0);
            space.gather(row, ids, Residence::Memory, distances);
            for (&id, &distance) in ids.iter().zip(distances.iter()) {
                let key = Key::new(distance, id);
                if key < pool.limit() {
                    level.prefetch(id);
                    pool.offer(key);
                }
            }
        }
    }

    /// Chooses at most so many of the candidates, which are ascending: those that are nearer to the node than to any that
    /// was chosen before, so that links lead in all directions ("heuristic" in the paper).
    fn choose<K: DistanceKernel>(&mut self, space: &Space<'_, '_, K>, most: usize) {
        let Self { distances, candidates, chosen, .. } = self;
        chosen.clear();
        if candidates.len() < most {
            chosen.extend(candidates.iter().map(|candidate| candidate.row()));
            return;
        }
        distances.resize(distances.len().max(COMPARED_TOGETHER), 0.0);
        for candidate in candidates {
            if chosen.len() == most {
                return;
            }
            let is_nearer = |others: &[u32]| {
                space.gather(candidate.row(), others, Residence::Cache, distances);
                distances[..others.len()].iter().all(|&distance| distance >= candidate.distance())
            };
            if chosen.chunks(COMPARED_TOGETHER).all(is_nearer) {
                chosen.push(candidate.row());
            }
        }
    }

    /// Makes new links. Lists that have no room for theirs are chosen anew.
    pub(super) fn link<K: DistanceKernel>(&mut self, space: &Space<'_, '_, K>, mut part: Part<'_>) {
        for new in part.new.chunk_by(|a, b| a.list == b.list) {
            let (list, row) = (new[0].list - part.first, part.row(new[0].list));
            let added = new.iter().map(|link| link.to);
            self.ids.clear();
            self.ids.extend(part.links.of(list));
            if self.ids.len() + new.len() <= part.links.places() {
                part.links.add(list, added);
                continue;
            }
            self.ids.extend(added);
            self.distances.resize(self.distances.len().max(self.ids.len()), 0.0);
            space.gather(row, &self.ids, Residence::Memory, &mut self.distances);
            self.candidates.clear();
            self.candidates.extend(self.ids.iter().zip(&self.distances).map(|(&id, &distance)| Key::new(distance, id)));
            self.candidates.sort_unstable();
            self.choose(space, part.links.places());
            part.links.replace(list, self.chosen.iter().copied());
        }
    }
}
