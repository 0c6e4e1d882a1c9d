//! Growing the graph, batch by batch.
//!
//! The nodes of a batch find their neighbours in the graph as it was before the batch, on all threads and without locks:
//! nothing changes meanwhile. Then the links of the whole batch are made, on all threads again: sorted by the lists that
//! they belong in, so that each thread has lists of its own. The outcome is the same for any number of threads.
//!
//! Nodes of one batch do not find each other. So a batch is a small share of the nodes before it, and, by the order in which
//! nodes are added, its nodes are far from each other.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{
    BuildRequest, level::Level, links::Links, order::Order, space::Space, threads, tower::Tower, worker::Worker,
};
use crate::{DistanceKernel, hnsw::BuildError};

/// A batch has a node for each so many nodes before it.
const NODES_PER_NEW_ONE: usize = 50;

/// How many nodes a thread takes at a time, which lie near each other in the table; a batch that has fewer for each thread
/// leaves threads idle.
const NODES_AT_A_TIME: usize = 8;

/// How many new links a thread takes at a time.
const LINKS_AT_A_TIME: usize = 128;

/// Builds the graph of the nodes, which must be distinct rows of the space: the links of the lowest level in their place, the
/// upper levels as the result.
pub(super) fn grow<K: DistanceKernel>(
    space: &Space<'_, '_, K>,
    nodes: &[u32],
    request: &BuildRequest<'_>,
    lowest: &mut Links<'_>,
) -> Result<Tower, BuildError> {
    let m = request.params.m;
    let order = Order::new(nodes.len(), m);
    let first_rows = |count: usize| {
        let mut rows: Vec<u32> = (0..count).map(|turn| nodes[order.place(turn)]).collect();
        rows.sort_unstable();
        rows
    };
    let rows: Vec<Vec<u32>> = order.upper_counts().map(first_rows).collect();
    let mut lists: Vec<Vec<u8>> = rows.iter().map(|rows| vec![0; rows.len() * m * size_of::<u32>()]).collect();
    let mut levels = vec![Level { rows: None, links: lowest.reborrow() }];
    let upper = rows.into_iter().zip(&mut lists);
    levels.extend(upper.map(|(rows, lists)| Level { rows: Some(rows), links: Links::new_upper(lists, m) }));

    let mut workers: Vec<Worker> = (0..request.threads.max(1)).map(|_| Worker::default()).collect();
    let mut done = 0;
    while done < nodes.len() {
        let end = (done + (done / NODES_PER_NEW_ONE).max(1)).min(nodes.len());
        let top = |turn: usize| order.upper_counts().take_while(|&nodes| turn < nodes).count();
        let mut batch: Vec<(u32, usize)> = (done..end).map(|turn| (nodes[order.place(turn)], top(turn))).collect();
        // What lies near each other in the table is often near each other as vectors, and then still in a cache.
        batch.sort_unstable();
        let threads = batch.len().div_ceil(NODES_AT_A_TIME).min(workers.len());
        if done == 0 {
            (request.progress)(batch.len() as u64);
        } else {
            find(space, &levels, &batch, nodes[order.place(0)], request, &mut workers[..threads])?;
            link(space, &mut levels, &mut workers, threads);
        }
        done = end;
    }
    Ok(Tower::take(&levels, nodes))
}

/// Finds the neighbours of a batch.
fn find<K: DistanceKernel>(
    space: &Space<'_, '_, K>,
    levels: &[Level<'_>],
    batch: &[(u32, usize)],
    entry: u32,
    request: &BuildRequest<'_>,
    workers: &mut [Worker],
) -> Result<(), BuildError> {
    let cancelled = AtomicBool::new(false);
    let wanted = (request.params.m, request.params.ef_construction);
    threads::for_each(workers, batch.chunks(NODES_AT_A_TIME), |worker, nodes| {
        for &node in nodes {
            // A node takes about a tenth of a millisecond, ten times that at the highest settings.
            if cancelled.load(Relaxed) || (request.cancel)() {
                cancelled.store(true, Relaxed);
                return;
            }
            worker.find(space, levels, node, entry, wanted);
            (request.progress)(1);
        }
    });
    if cancelled.into_inner() { Err(BuildError::Cancelled) } else { Ok(()) }
}

/// Makes the links that the workers have found.
fn link<K: DistanceKernel>(space: &Space<'_, '_, K>, levels: &mut [Level<'_>], workers: &mut [Worker], threads: usize) {
    for (number, level) in levels.iter_mut().enumerate() {
        let mut new: Vec<_> =
            workers.iter_mut().filter_map(|worker| worker.new.get_mut(number)).flat_map(|new| new.drain(..)).collect();
        new.sort_unstable();
        let parts = level.parts(&new, LINKS_AT_A_TIME);
        threads::for_each(&mut workers[..threads], parts.into_iter(), |worker, part| worker.link(space, part));
    }
}
