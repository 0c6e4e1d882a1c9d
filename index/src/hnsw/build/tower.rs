//! What usearch knows once all rows are added: links by row number.

use usearch::Index;

use super::links::Links;
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
    /// Copies the links of a graph whose keys are rows: those of the lowest level to `lowest`, the others here.
    pub(super) fn take(index: &Index, nodes: &[u32], m: usize, lowest: &mut Links<'_>) -> Self {
        let (mut upper, mut lists) = (Vec::new(), Vec::new());
        let mut buffer = vec![0; 2 * m];
        for &node in nodes {
            lowest.add(node, links_of(index, node, 0, &mut buffer));
            let levels = index.level_of_key(node.into());
            if levels > 0 {
                upper.push((node, levels as u32));
            }
            for level in 1..=levels {
                let end = lists.len() + m;
                lists.extend(links_of(index, node, level, &mut buffer).take(m));
                lists.resize(end, NONE);
            }
        }
        // Any of the highest nodes will do; the first one, so that one graph gives one file.
        let max_level = upper.iter().map(|&(_, levels)| levels).max().unwrap_or(0);
        let highest = upper.iter().find(|&&(_, levels)| levels == max_level).map(|&(row, _)| row);
        let entry = highest.or(nodes.first().copied()).unwrap_or(NONE);
        Self { entry, max_level, upper, lists }
    }
}

/// The neighbours of a node on a level. Threads that add at the same time may make a node its own neighbour, or a
/// neighbour twice; such links lead nowhere and are left out.
fn links_of<'b>(index: &Index, node: u32, level: usize, buffer: &'b mut [u64]) -> impl Iterator<Item = u32> + 'b {
    let found = index.neighbors(node.into(), level).drain_into(buffer);
    let links = &buffer[..found];
    let is_new = move |at: usize| links[at] != u64::from(node) && !links[..at].contains(&links[at]);
    (0..found).filter(move |&at| is_new(at)).map(|at| links[at] as u32)
}
