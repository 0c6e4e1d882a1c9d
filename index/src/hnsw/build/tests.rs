//! The parts of the builder.

use super::{
    level::{Level, NewLink},
    *,
};
use crate::{F32Kernel, Metric, hnsw::graph::Graph};

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

#[test]
fn any_number_of_threads_builds_the_same() {
    let values = values(3000, 8);
    let rows = Matrix::new(&values, 8).unwrap();
    let present = RowSet::new_full(3000);
    for metric in Metric::ALL {
        let params = HnswParams { m: 4, ef_construction: 16, ..HnswParams::new(metric) };
        let by = |threads| {
            build(&BuildRequest { rows, present: &present, params, threads, progress: &|_| {}, cancel: &|| false })
        };
        let alone = by(1);
        assert!(alone.is_ok());
        assert!([0, 2, 7].into_iter().all(|threads| by(threads) == alone), "{metric:?}");
    }
}

#[test]
fn parts_have_all_new_links_and_lists_of_their_own() {
    let upper: Vec<u32> = (0..50).map(|list| list * 3).collect();
    for rows in [None, Some(upper)] {
        let mut bytes = vec![0; 50 * 4 * size_of::<u32>()];
        let links = Links::new_upper(&mut bytes, 4);
        let row_of = |list: u32| rows.as_ref().map_or(list, |rows| rows[list as usize]);
        let mut level = Level { rows: rows.clone(), links };
        let new: Vec<NewLink> = (7..50).flat_map(|list| (0..list % 4).map(move |to| NewLink { list, to })).collect();
        for size in [1, 2, 5, 1000] {
            for mut part in level.parts(&new, size) {
                for link in part.new {
                    assert_eq!(part.row(link.list), row_of(link.list));
                    part.links.replace(link.list - part.first, [link.list]);
                }
            }
            for list in 0..50 {
                let is_changed = list >= 7 && list % 4 > 0;
                assert!(level.links_of(row_of(list)).eq(is_changed.then_some(list)), "{size}: {list}");
                level.links.replace(list, []);
            }
        }
    }
}
