//! The upper levels of a graph as they are written.

use super::level::Level;
use crate::hnsw::layout::NONE;

/// The upper levels of a graph.
#[derive(Debug)]
pub(super) struct Tower {
    /// The row where walks start; [`NONE`] in a graph without nodes.
    pub(super) entry: u32,
    /// The highest level; 0 if there is only the lowest.
    pub(super) max_level: u32,
    /// The nodes that are on upper levels, ascending, and on how many.
    pub(super) upper: Vec<(u32, u32)>,
    /// m rows for each upper node and level, [`NONE`] in unused places.
    pub(super) lists: Vec<u32>,
}

impl Tower {
    /// The upper ones of a graph's levels, the lowest of which comes first.
    pub(super) fn take(levels: &[Level<'_>], nodes: &[u32]) -> Self {
        let above = levels.get(1..).unwrap_or_default();
        let (mut upper, mut lists) = (Vec::new(), Vec::new());
        for &row in above.first().map_or(&[][..], Level::rows) {
            let own = above.iter().take_while(|level| level.rows().binary_search(&row).is_ok());
            upper.push((row, own.clone().count() as u32));
            for level in own {
                let end = lists.len() + level.links.places();
                lists.extend(level.links_of(row));
                lists.resize(end, NONE);
            }
        }
        // Any of the highest nodes will do.
        let highest = above.last().and_then(|level| level.rows().first());
        let entry = highest.or(nodes.first()).copied().unwrap_or(NONE);
        Self { entry, max_level: above.len() as u32, upper, lists }
    }
}
