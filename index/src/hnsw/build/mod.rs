//! Building an index file.

mod connect;
mod copies;
mod draft;
mod encode;
mod grow;
mod level;
mod links;
mod order;
mod space;
mod threads;
mod tower;
mod worker;

use self::{
    copies::{Alike, Grouped},
    draft::Draft,
    links::Links,
    space::Space,
    tower::Tower,
};
use super::{
    BuildError, HnswParams,
    layout::{Header, NONE},
};
use crate::{Codes, CodesLayout, DistanceKernel, Matrix, Quantizer, RowSet, WithKernel};

/// What to build, and how.
#[derive(Clone, Copy)]
pub struct BuildRequest<'a> {
    /// The rows, in f32.
    pub rows: Matrix<'a>,
    /// The rows that have a vector which can be near others: not NULL and, under cosine, not zero.
    pub present: &'a RowSet,
    /// How to build.
    pub params: HnswParams,
    /// How many threads to use at most, this one included; at least one is.
    pub threads: usize,
    /// Told how many rows were added since it was last called; from any of the threads.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Polled at every row that is added; the build fails once it returns true. From any of the threads.
    pub cancel: &'a (dyn Fn() -> bool + Sync),
}

/// Builds the index file: encodes the rows, grows a graph over the codes, and writes both. The layout is drawn in
/// `layout.rs`.
///
/// Rows with the same code share a node. The same input gives the same file, by any number of threads.
///
/// Memory beside the rows: the file itself, and while the graph grows about 30 bytes a row, and one for each thread.
///
/// # Errors
/// A parameter is out of range, there are too many dimensions, memory is short, or `cancel` returned true.
pub fn build(request: &BuildRequest<'_>) -> Result<Vec<u8>, BuildError> {
    let BuildRequest { rows, params, .. } = *request;
    params.check()?;
    let layout = CodesLayout::fit(params.quantizer, params.metric, rows)?;
    let mut draft = Draft::new(Header {
        codes: layout,
        m: params.m as u16,
        nodes: 0,
        entry: NONE,
        max_level: 0,
        ef_construction: params.ef_construction as u32,
        upper_nodes: 0,
        upper_lists: 0,
        copied: 0,
        copies: 0,
    })?;
    let (codes, links) = draft.codes_and_links();
    encode::encode(&layout, request, codes)?;
    let alike = match layout.quantizer() {
        Quantizer::F32 => Alike::F32(rows),
        Quantizer::F16 | Quantizer::I8 => Alike::Codes(codes, layout.stride()),
    };
    let grouped = copies::group(request.present, rows.rows(), alike);
    let links = Links::new(links, params.m as u16);
    let codes = Codes::new(&layout, codes, rows)?;
    let tower = codes.dispatch(Growth { request, grouped: &grouped, links })?;
    draft.finish(&tower, &grouped)
}

/// Growing the graph, to be compiled for each encoding.
struct Growth<'a> {
    request: &'a BuildRequest<'a>,
    grouped: &'a Grouped,
    links: Links<'a>,
}

impl WithKernel for Growth<'_> {
    type Output = Result<Tower, BuildError>;

    fn run<K: DistanceKernel>(self, kernel: &K, rows: K::Rows<'_>) -> Result<Tower, BuildError> {
        let Self { request, grouped, mut links } = self;
        let space = Space::new(kernel, rows);
        let tower = grow::grow(&space, &grouped.nodes, request, &mut links)?;
        connect::connect(&mut links, &tower, &space, &grouped.nodes, kernel.rows(rows));
        Ok(tower)
    }
}

#[cfg(test)]
mod tests;
