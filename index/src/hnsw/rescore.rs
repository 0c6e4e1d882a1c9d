//! Exact distances of what a walk found.

use crate::{DistanceKernel, F32Kernel, Hit, Matrix, Metric, Residence, TopK};

/// How many distances are computed at a time.
const BLOCK: usize = 256;

/// The `k` nearest of the candidates by their exact f32 distance, nearest first, equal distances by ascending row.
///
/// The distances have the bits that [`exact_search`](crate::exact_search) gives. With `ties` every candidate exactly as far
/// away as the k-th is kept too. Hits farther than `floor` are not (NaN and infinity: no limit), nor are candidates with an
/// undefined distance. What the candidates' own distances are does not matter.
///
/// # Panics
/// If a candidate's row does not exist, or the query has another dimension than the rows.
pub fn rescore(
    rows: Matrix<'_>,
    metric: Metric,
    query: &[f32],
    candidates: &[Hit],
    k: usize,
    ties: bool,
    floor: f32,
) -> Vec<Hit> {
    let kernel = F32Kernel::new(metric);
    let query = kernel.prepare(query);
    let mut top = TopK::new(k, floor, ties);
    let (mut ids, mut distances) = ([0; BLOCK], [0.0; BLOCK]);
    for block in candidates.chunks(BLOCK) {
        let (ids, distances) = (&mut ids[..block.len()], &mut distances[..block.len()]);
        ids.iter_mut().zip(block).for_each(|(id, hit)| *id = hit.row);
        kernel.gather(&query, rows, ids, Residence::Memory, distances);
        for (&row, &distance) in ids.iter().zip(distances.iter()) {
            // NaN is no hit, and is not greater than the limit either.
            if distance <= top.limit() {
                top.offer(Hit { distance, row });
            }
        }
    }
    top.into_sorted()
}
