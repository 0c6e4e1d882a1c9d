//! The walk of one query: down the upper levels to the neighbourhood, then through the lowest level by a beam.

use super::{
    Walk, Walked,
    beam::{Beam, Filtered, Heaps, Next, Pool},
    key::Key,
    visited::Visited,
};
use crate::{
    DistanceKernel, Residence,
    hnsw::{graph::Graph, layout::NONE},
};

/// Beams up to this size are kept in one sorted array, longer ones in heaps: about where moving entries costs more.
const POOL_MAX: usize = 512;

/// How many rows are fetched before the first distance is computed; the kernel fetches the others meanwhile.
const FETCH_FIRST: usize = 4;

/// How many distances are computed between two polls of `cancel`: less than a millisecond's worth of short vectors.
const POLL_DISTANCES: u64 = 4096;

/// Memory that walks use and leave for the next one: one per thread. It grows to about a byte per row of the largest
/// graph and 16 bytes per unit of the largest `ef`.
#[derive(Debug, Default)]
pub struct Scratch {
    visited: Visited,
    pool: Pool,
    heaps: Heaps,
    ids: Vec<u32>,
    distances: Vec<f32>,
}

impl Scratch {
    /// Scratch that has no memory yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// One query on its way.
pub(super) struct Walker<'a, 'c, 'r, 'q, K: DistanceKernel> {
    pub(super) kernel: &'a K,
    pub(super) rows: K::Rows<'r>,
    pub(super) query: K::Query<'q>,
    pub(super) graph: Graph<'a>,
    /// The entry point's index among the upper nodes.
    pub(super) upper_entry: Option<usize>,
    pub(super) walk: &'a Walk<'a>,
    pub(super) floor: f32,
    pub(super) skip: Option<u32>,
    pub(super) cancel: &'c mut Cancel<'a>,
    pub(super) found: Walked,
}

/// A caller's wish to stop, asked for now and then.
pub(super) struct Cancel<'a> {
    ask: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// Distances computed since it was asked for.
    unasked: u64,
    cancelled: bool,
}

impl<'a> Cancel<'a> {
    pub(super) fn new(ask: Option<&'a (dyn Fn() -> bool + Sync)>) -> Self {
        Self { ask, unasked: POLL_DISTANCES, cancelled: false }
    }

    /// Whether to stop, after so many more distances.
    #[inline]
    fn is_due(&mut self, distances: u64) -> bool {
        self.unasked += distances;
        if self.unasked >= POLL_DISTANCES {
            self.unasked = 0;
            self.cancelled = self.cancelled || self.ask.is_some_and(|ask| ask());
        }
        self.cancelled
    }
}

impl<'a, K: DistanceKernel> Walker<'a, '_, '_, '_, K> {
    /// Runs the query.
    pub(super) fn run(mut self, scratch: &mut Scratch) -> Walked {
        let wanted = self.walk.ef.max(self.walk.k);
        self.found.cancelled = self.cancel.is_due(0);
        if self.found.cancelled || self.graph.entry == NONE || self.walk.k == 0 {
            return self.found;
        }
        let places = self.graph.places();
        scratch.ids.resize(places, 0);
        scratch.distances.resize(places, 0.0);
        let start = self.descend(&mut scratch.ids, &mut scratch.distances);
        if start.distance().is_nan() {
            return self.found;
        }
        scratch.visited.reset(self.graph.rows);
        let is_left_out = self.leave_out(&mut scratch.visited);
        let allowed = self.walk.allowed.filter(|_| self.walk.mode == super::FilterMode::In);
        if allowed.is_none() && wanted <= POOL_MAX {
            // A skipped row that leads the way takes a place in the pool.
            let mut pool = std::mem::take(&mut scratch.pool);
            pool.reset(wanted + usize::from(self.skip.is_some() && !is_left_out));
            self.spread(start, &mut pool, scratch);
            self.collect(pool.kept(), wanted);
            scratch.pool = pool;
        } else {
            let mut heaps = std::mem::take(&mut scratch.heaps);
            heaps.reset();
            let mut beam =
                Filtered { heaps: &mut heaps, size: wanted, graph: self.graph, allowed, skip: self.skip, tests: 0 };
            self.spread(start, &mut beam, scratch);
            self.found.filter_tests += beam.tests;
            self.found.hits = heaps.take_kept().into_iter().map(Key::hit).collect();
            scratch.heaps = heaps;
        }
        self.finish();
        self.found
    }

    /// Takes the node of a skipped row out of the graph, unless other rows share it or walks begin there. Whether it did.
    fn leave_out(&self, visited: &mut Visited) -> bool {
        self.skip.is_some_and(|skip| {
            let is_alone = self.graph.is_node(skip) && self.graph.copies_of(skip).len() == 0;
            is_alone && skip != self.graph.entry && visited.insert(skip)
        })
    }

    /// From the entry point down to the node of the lowest level that is nearest as far as the upper levels know.
    fn descend(&mut self, ids: &mut [u32], distances: &mut [f32]) -> Key {
        ids[0] = self.graph.entry;
        self.compute(&ids[..1], Residence::Memory, distances);
        let mut best = Key::new(distances[0], self.graph.entry);
        let Some(mut upper) = self.upper_entry else { return best };
        for level in (1..=self.graph.max_level).rev() {
            loop {
                let links = self.graph.upper(upper, level);
                let mut count = 0;
                for link in links.links() {
                    ids[count] = self.graph.upper_rows.get(link as usize);
                    count += 1;
                }
                // A link to a skipped row leads nowhere: back to where the walk is.
                ids[..count].iter_mut().filter(|row| Some(**row) == self.skip).for_each(|row| *row = best.row());
                self.compute(&ids[..count], Residence::Memory, distances);
                let nearest = (0..count).map(|index| (Key::new(distances[index], ids[index]), index)).min();
                match nearest {
                    Some((nearest, index)) if nearest < best => {
                        best = nearest;
                        upper = links.get(index) as usize;
                    }
                    _ => break,
                }
            }
        }
        best
    }

    /// Computes distances to rows.
    #[inline]
    fn compute(&mut self, ids: &[u32], residence: Residence, distances: &mut [f32]) {
        self.kernel.gather(&self.query, self.rows, ids, residence, distances);
        self.found.distances += ids.len() as u64;
    }

    /// Expands node after node of the lowest level until the beam has all it wants.
    fn spread<B: Beam>(&mut self, start: Key, beam: &mut B, scratch: &mut Scratch) {
        let Scratch { visited, ids, distances, .. } = scratch;
        visited.insert(start.row());
        beam.offer(start);
        loop {
            let before = self.found.distances;
            match beam.next() {
                Next::Done => return,
                _ if self.walk.budget.is_some_and(|budget| before >= budget) => {
                    self.found.exhausted = true;
                    return;
                }
                Next::Expand(node) => self.expand(node, beam, visited, ids, distances),
                // Links lead one way: there may be more behind the entry point, from where every node is to be reached.
                Next::Dry if visited.insert(self.graph.entry) => {
                    ids[0] = self.graph.entry;
                    self.compute(&ids[..1], Residence::Memory, distances);
                    beam.offer(Key::new(distances[0], self.graph.entry));
                }
                Next::Dry => return,
            }
            if self.cancel.is_due(self.found.distances - before) {
                self.found.cancelled = true;
                return;
            }
        }
    }

    /// Offers the neighbours of a node that the walk has not come by.
    #[inline]
    fn expand<B: Beam>(
        &mut self,
        node: Key,
        beam: &mut B,
        visited: &mut Visited,
        ids: &mut [u32],
        distances: &mut [f32],
    ) {
        self.found.hops += 1;
        let mut count = 0;
        for link in self.graph.lowest(node.row() as usize).links() {
            if visited.insert(link) {
                if count < FETCH_FIRST {
                    self.kernel.prefetch(self.rows, link as usize);
                }
                ids[count] = link;
                count += 1;
            }
        }
        if let Some(next) = beam.peek() {
            self.graph.prefetch_lowest(next.row() as usize);
        }
        self.compute(&ids[..count], Residence::Memory, distances);
        for (&row, &distance) in ids[..count].iter().zip(distances.iter()) {
            let key = Key::new(distance, row);
            if key < beam.limit() {
                self.graph.prefetch_lowest(row as usize);
                beam.offer(key);
            }
        }
    }

    /// Takes the rows of the nodes kept, and their copies, for as many hits as are wanted.
    fn collect(&mut self, kept: impl Iterator<Item = Key>, wanted: usize) {
        let mut keys: Vec<Key> = Vec::with_capacity(wanted + 1);
        for node in kept {
            // Copies may belong between rows that are as far away, so all of those are needed.
            if keys.len() >= wanted && keys.last().is_some_and(|last| last.distance() < node.distance()) {
                break;
            }
            keys.push(node);
            if self.graph.copied.len() > 0 {
                keys.extend(self.graph.copies_of(node.row()).iter().take(wanted + 1).map(|copy| node.with_row(copy)));
            }
        }
        keys.sort_unstable();
        self.found.hits =
            keys.into_iter().filter(|key| self.skip != Some(key.row())).take(wanted).map(Key::hit).collect();
    }

    /// Drops hits that nobody wants.
    fn finish(&mut self) {
        let (floor, found) = (self.floor, &mut self.found);
        // Not the other way round: a NaN distance, which only a damaged file has, is no hit, a NaN floor no floor.
        found.hits.retain(|hit| hit.distance <= floor || floor.is_nan() && !hit.distance.is_nan());
        if self.walk.mode == super::FilterMode::Post
            && let Some(allowed) = self.walk.allowed
        {
            found.filter_tests += found.hits.len() as u64;
            found.hits.retain(|hit| allowed.contains(hit.row as usize));
        }
        found.hits.truncate(self.walk.k);
    }
}
