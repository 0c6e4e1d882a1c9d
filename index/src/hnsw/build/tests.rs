//! The parts of the builder, and usearch itself as the walk's oracle.

use super::*;
use crate::{
    F32Kernel, Metric,
    hnsw::{HnswView, Scratch, Walk, graph::Graph, search, validate},
};

/// Rows that no two of are equal.
fn values(rows: usize, dim: usize) -> Vec<f32> {
    (0..rows * dim).map(|i| ((i * i) as f32 * 0.37 + i as f32 * 1.7).sin()).collect()
}

/// The header of a file over these rows that nothing has been built in.
fn header(rows: Matrix<'_>, m: u16) -> Header {
    let codes = CodesLayout::fit(Quantizer::F32, Metric::L2, rows).unwrap();
    let (nodes, entry, max_level, ef_construction) = (0, NONE, 0, 64);
    Header { codes, m, nodes, entry, max_level, ef_construction, upper_nodes: 0, upper_lists: 0, copied: 0, copies: 0 }
}

#[test]
fn walks_find_what_usearch_finds_in_its_own_graph() {
    const EFS: [usize; 3] = [10, 40, 160];
    let values = values(3000, 16);
    let rows = Matrix::new(&values, 16).unwrap();
    let present = RowSet::new_full(3000);
    let params = HnswParams { m: 8, ef_construction: 64, quantizer: Quantizer::F32, metric: Metric::L2 };
    let request = BuildRequest { rows, present: &present, params, threads: 2, progress: &|_| {}, cancel: &|| false };
    let grouped = Grouped { nodes: (0..3000).collect(), copies: Vec::new() };
    let mut draft = Draft::new(header(rows, 8)).unwrap();
    let mut links = Links::new(draft.codes_and_links().1, 8);
    let kernel = F32Kernel::new(Metric::L2);
    let space = Space::new(&kernel, rows);
    let grown = grow::grow(&space, &grouped.nodes, &request, |index| {
        let tower = Tower::take(index, &grouped.nodes, 8, &mut links);
        // The vectors that usearch knows are row numbers, so the queries are rows.
        let ask = |row: u32, ef: usize| index.search(&grow::vector(row), ef).unwrap().keys;
        let answers: Vec<Vec<u64>> =
            EFS.into_iter().flat_map(|ef| (0..300).map(move |row| ask(row * 10, ef))).collect();
        (tower, answers)
    });
    let (tower, answers) = grown.unwrap();
    let bytes = draft.finish(&tower, &grouped).unwrap();
    let facts = validate(&bytes).unwrap();
    let view = HnswView::new(&bytes, &facts, rows).unwrap();
    let mut answers = answers.iter();
    for ef in EFS {
        let mut alike = 0;
        for row in 0..300 {
            let query = Matrix::new(rows.row(row * 10), 16).unwrap();
            let walk = Walk { k: ef, ef, ..Walk::default() };
            let ours = search(&view, query, &walk, &mut Scratch::new()).remove(0).hits;
            let theirs = answers.next().unwrap();
            assert_eq!(ours.len(), theirs.len());
            alike += ours.iter().filter(|hit| theirs.contains(&hit.row.into())).count();
        }
        // Both walk the same links; where walks begin, and equal distances, may differ.
        assert!(alike as f64 > 0.99 * (300 * ef) as f64, "ef = {ef}: {alike} of {}", 300 * ef);
    }
}

#[test]
fn nodes_without_links_to_them_are_connected() {
    let values = values(40, 3);
    let rows = Matrix::new(&values, 3).unwrap();
    let kernel = F32Kernel::new(Metric::L2);
    let nodes: Vec<u32> = (0..40).filter(|node| node % 7 != 3).collect();
    let mut draft = Draft::new(header(rows, 2)).unwrap();
    let mut links = Links::new(draft.codes_and_links().1, 2);
    // 0 → 1 → 2 with full lists, a pair that links to them, a pair that links to nothing else, and nodes without links.
    [(0, [1, 2, 1, 2]), (1, [2, 0, 2, 0]), (2, [4, 0, 1, 0])].into_iter().for_each(|(row, to)| links.add(row, to));
    links.add(5, [6, 0]);
    links.add(6, [5]);
    links.add(8, [9]);
    links.add(9, [8]);
    let tower = Tower { entry: 0, max_level: 0, upper: Vec::new(), lists: Vec::new() };
    connect::connect(&mut links, &tower, &Space::new(&kernel, rows), &nodes, 40);
    let grouped = Grouped { nodes: nodes.clone(), copies: Vec::new() };
    let bytes = draft.finish(&tower, &grouped).unwrap();
    let header = Header::read(&bytes).unwrap();
    let graph = Graph::new(&bytes, &header, &header.sections().unwrap());
    let mut reached = vec![0];
    let mut next = 0;
    while let Some(&row) = reached.get(next) {
        next += 1;
        graph.lowest(row as usize).links().for_each(|link| {
            if !reached.contains(&link) {
                reached.push(link)
            }
        });
    }
    reached.sort_unstable();
    assert_eq!(reached, nodes);
}
