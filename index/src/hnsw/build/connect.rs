//! Makes every node reachable from the entry point.
//!
//! Links lead one way. When a node's links are full, a new one pushes out an older one, and so a few nodes in a thousand
//! end up with no links to them: no effort finds them. Each gets a link from one of the nodes that it links to itself.

use std::collections::VecDeque;

use super::{links::Links, space::Space, tower::Tower};
use crate::{DistanceKernel, RowSet, hnsw::layout::NONE};

/// From how many nodes the nearest is chosen for a part of the graph that has no links to the rest.
const SAMPLE: usize = 256;

/// Adds links to the lowest level until every node is reachable from the entry point.
pub(super) fn connect<K: DistanceKernel>(
    links: &mut Links<'_>,
    tower: &Tower,
    space: &Space<'_, '_, K>,
    nodes: &[u32],
    rows: usize,
) {
    let mut reached = RowSet::new_empty(rows);
    if tower.entry == NONE {
        return;
    }
    spread(links, tower.entry, &mut reached);
    for &node in nodes {
        if reached.contains(node as usize) {
            continue;
        }
        let from = find_behind(links, node, &reached).or_else(|| find_anywhere(links, space, nodes, node, &reached));
        // Where no reached node has a place to spare, which takes a graph of full lists only, the node stays unreachable.
        let Some(from) = from else { continue };
        links.add(from, [node]);
        spread(links, node, &mut reached);
    }
}

/// Adds what is reachable from a node.
fn spread(links: &Links<'_>, from: u32, reached: &mut RowSet) {
    reached.insert(from as usize);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for link in links.of(node) {
            if !reached.contains(link as usize) {
                reached.insert(link as usize);
                open.push(link);
            }
        }
    }
}

/// The first reached node with a free place that the links from `node` lead to, nearest links first.
fn find_behind(links: &Links<'_>, node: u32, reached: &RowSet) -> Option<u32> {
    let mut seen = std::collections::HashSet::from([node]);
    let mut open = VecDeque::from([node]);
    while let Some(next) = open.pop_front() {
        if reached.contains(next as usize) && links.has_room(next) {
            return Some(next);
        }
        open.extend(links.of(next).filter(|&link| seen.insert(link)));
    }
    None
}

/// The nearest of some reached nodes with free places.
fn find_anywhere<K: DistanceKernel>(
    links: &Links<'_>,
    space: &Space<'_, '_, K>,
    nodes: &[u32],
    node: u32,
    reached: &RowSet,
) -> Option<u32> {
    // Evenly spread over all of them.
    let step = (nodes.len() / SAMPLE).max(1);
    let sample = nodes.iter().copied().step_by(step);
    let fit = sample.filter(|&other| reached.contains(other as usize) && links.has_room(other));
    let nearest = fit.min_by(|&a, &b| space.between(a, node).total_cmp(&space.between(b, node)));
    nearest.or_else(|| nodes.iter().copied().find(|&other| reached.contains(other as usize) && links.has_room(other)))
}
