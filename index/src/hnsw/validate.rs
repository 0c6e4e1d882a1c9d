//! Complete validation of a file that anyone may have written.
//!
//! What is checked is all that the walk relies on to end and to mean something; that it stays within the file's bytes is
//! checked again at every access, since the contents of a mapped file can change under its reader. (Nothing here helps where
//! another program makes a mapped file shorter: then the operating system ends the process.) Time is proportional to the
//! file's length, memory is a bit per row.

use std::sync::Arc;

use super::{
    HnswParams, Malformed,
    graph::{Graph, Numbers},
    layout::{Header, MAX_LEVEL, NONE, Sections},
};
use crate::{Metric, Quantizer, RowSet};

/// The facts of a validated file: what a [`HnswView`](super::HnswView) needs beside the bytes. Cheap to clone, so that
/// a file is validated once and viewed by every query.
#[derive(Debug, Clone)]
pub struct Validated(Arc<Facts>);

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) header: Header,
    pub(super) sections: Sections,
    /// The entry point's index among the upper nodes; `None` if there are no upper levels.
    pub(super) upper_entry: Option<usize>,
}

impl Validated {
    /// The parameters that the index was built with.
    pub fn params(&self) -> HnswParams {
        let header = &self.0.header;
        HnswParams {
            metric: header.codes.metric(),
            m: header.m.into(),
            ef_construction: header.ef_construction as usize,
            quantizer: header.codes.quantizer(),
        }
    }

    /// The metric of the index.
    pub fn metric(&self) -> Metric {
        self.0.header.codes.metric()
    }

    /// How the rows are stored for the walk.
    pub fn quantizer(&self) -> Quantizer {
        self.0.header.codes.quantizer()
    }

    /// The dimension of the rows.
    pub fn dim(&self) -> usize {
        self.0.header.codes.dim()
    }

    /// How many rows the index was built over, those without a vector included.
    pub fn rows(&self) -> usize {
        self.0.header.codes.rows()
    }

    /// How many rows can be found: those that are nodes or copies.
    pub fn indexed(&self) -> usize {
        self.0.header.nodes as usize + self.0.header.copies as usize
    }

    /// How many nodes the graph has.
    pub fn nodes(&self) -> usize {
        self.0.header.nodes as usize
    }

    /// The highest level of the graph; 0 if there is one level only.
    pub fn max_level(&self) -> u32 {
        self.0.header.max_level
    }

    /// The length of the file in bytes.
    pub fn bytes(&self) -> usize {
        self.0.sections.len
    }

    /// How many of the bytes are codes.
    pub fn code_bytes(&self) -> usize {
        self.0.sections.codes.len()
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.0
    }
}

/// Validates a file completely.
///
/// # Errors
/// What is wrong with it first.
pub fn validate(bytes: &[u8]) -> Result<Validated, Malformed> {
    let header = Header::read(bytes)?;
    check_header(&header)?;
    let sections = header.sections().ok_or(Malformed::WrongLength { len: bytes.len() as u64, expected: u64::MAX })?;
    if sections.len != bytes.len() {
        return Err(Malformed::WrongLength { len: bytes.len() as u64, expected: sections.len as u64 });
    }
    let graph = Graph::new(bytes, &header, &sections);
    check_nodes(&graph, &header)?;
    check_lowest(&graph)?;
    check_upper_table(&graph, &header)?;
    check_upper_links(&graph)?;
    let upper_entry = check_entry(&graph, &header)?;
    check_copies(&graph, &header)?;
    Ok(Validated(Arc::new(Facts { header, sections, upper_entry })))
}

/// The fields of the header, each for itself.
fn check_header(header: &Header) -> Result<(), Malformed> {
    let rows = header.codes.rows() as u32;
    let fields = [
        ("m", u64::from(header.m), HnswParams::M.contains(&usize::from(header.m))),
        (
            "ef_construction",
            header.ef_construction.into(),
            HnswParams::EF_CONSTRUCTION.contains(&(header.ef_construction as usize)),
        ),
        ("nodes", header.nodes.into(), header.nodes <= rows),
        ("highest level", header.max_level.into(), header.max_level <= MAX_LEVEL),
        ("upper nodes", header.upper_nodes.into(), header.upper_nodes <= header.nodes),
        ("copied nodes", header.copied.into(), header.copied <= header.nodes.min(header.copies)),
        ("copies", header.copies.into(), header.copies <= rows - header.nodes.min(rows)),
    ];
    match fields.into_iter().find(|&(_, _, good)| !good) {
        Some((field, value, _)) => Err(Malformed::Header { field, value }),
        None => Ok(()),
    }
}

/// As many nodes as the header counts, none of them beyond the rows.
fn check_nodes(graph: &Graph<'_>, header: &Header) -> Result<(), Malformed> {
    let count = |words: &[[u8; 8]]| words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones())).sum();
    let found: u64 = count(graph.nodes);
    let beyond = match (graph.rows % 64, graph.nodes.last()) {
        (used @ 1.., Some(last)) => u64::from_le_bytes(*last) >> used != 0,
        _ => false,
    };
    if found != u64::from(header.nodes) || beyond {
        return Err(Malformed::NodeCount { found, expected: header.nodes.into() });
    }
    Ok(())
}

/// Links of one list: each passes, and nothing comes after an unused place.
fn are_links(places: Numbers<'_>, passes: impl Fn(u32) -> bool) -> bool {
    let used = places.iter().position(|link| link == NONE).unwrap_or(places.len());
    places.iter().take(used).all(passes) && places.iter().skip(used).all(|link| link == NONE)
}

/// The lowest level: nodes link to other nodes, rows without a node link to nothing.
fn check_lowest(graph: &Graph<'_>) -> Result<(), Malformed> {
    for row in 0..graph.rows as u32 {
        let places = graph.lowest(row as usize);
        if graph.is_node(row) {
            if !are_links(places, |link| link != row && graph.is_node(link)) {
                return Err(Malformed::Link { row, level: 0 });
            }
        } else if places.iter().any(|link| link != NONE) {
            return Err(Malformed::NoNode { row });
        }
    }
    Ok(())
}

/// The table of upper nodes: ascending nodes, each with one to [`MAX_LEVEL`] lists, which lie one after another.
fn check_upper_table(graph: &Graph<'_>, header: &Header) -> Result<(), Malformed> {
    let wrong = |index: usize| Malformed::UpperLevels { index: index as u32 };
    let count = graph.upper_rows.len();
    if graph.upper_first.get(0) != 0 || graph.upper_first.get(count) != header.upper_lists {
        return Err(wrong(count));
    }
    for index in 0..count {
        let row = graph.upper_rows.get(index);
        let ascends = index == 0 || graph.upper_rows.get(index - 1) < row;
        let (first, end) = (graph.upper_first.get(index), graph.upper_first.get(index + 1));
        let has_levels = first < end && end - first <= header.max_level;
        if !(ascends && has_levels && graph.is_node(row)) {
            return Err(wrong(index));
        }
    }
    Ok(())
}

/// Upper levels: links to other upper nodes that are on that level too.
fn check_upper_links(graph: &Graph<'_>) -> Result<(), Malformed> {
    let count = graph.upper_rows.len();
    for upper in 0..count {
        for level in 1..=graph.levels(upper) {
            let leads_there = |link: u32| {
                let link = link as usize;
                link != upper && link < count && graph.levels(link) >= level
            };
            if !are_links(graph.upper(upper, level), leads_there) {
                return Err(Malformed::Link { row: graph.upper_rows.get(upper), level });
            }
        }
    }
    Ok(())
}

/// The entry point is a node of the highest level; without nodes there is none. Returns its index in the upper table.
fn check_entry(graph: &Graph<'_>, header: &Header) -> Result<Option<usize>, Malformed> {
    let wrong = Malformed::EntryPoint { row: header.entry };
    let upper = graph.upper_rows.find(header.entry);
    let levels = upper.map_or(0, |upper| graph.levels(upper));
    let is_there = if header.nodes == 0 { header.entry == NONE } else { graph.is_node(header.entry) };
    if is_there && levels == header.max_level { Ok(upper) } else { Err(wrong) }
}

/// The copies: ascending nodes, each with at least one copy; a copy is a row without a node, and of one node only.
fn check_copies(graph: &Graph<'_>, header: &Header) -> Result<(), Malformed> {
    let wrong = |index: usize| Malformed::Copies { index: index as u32 };
    let count = graph.copied.len();
    if graph.copies_first.get(0) != 0 || graph.copies_first.get(count) != header.copies {
        return Err(wrong(count));
    }
    let mut seen = RowSet::new_empty(if header.copies == 0 { 0 } else { graph.rows });
    for group in 0..count {
        let row = graph.copied.get(group);
        let ascends = group == 0 || graph.copied.get(group - 1) < row;
        let (first, end) = (graph.copies_first.get(group), graph.copies_first.get(group + 1));
        if !(ascends && first < end && end <= header.copies && graph.is_node(row)) {
            return Err(wrong(group));
        }
        let mut least = 0;
        for copy in graph.copies_of_group(group).iter() {
            let is_row = (copy as usize) < graph.rows && !graph.is_node(copy);
            if !is_row || copy < least || seen.contains(copy as usize) {
                return Err(wrong(group));
            }
            seen.insert(copy as usize);
            least = copy;
        }
    }
    Ok(())
}
