//! The k nearest of a stream of hits, with the ties a caller may want to break itself.

use std::{cmp::Ordering, collections::BinaryHeap};

/// A row and its distance from a query.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The distance; never NaN and never −0 when a kernel computed it.
    pub distance: f32,
    /// The row's number in its matrix.
    pub row: u32,
}

/// Nearest first; equal distances in ascending row order. Two hits are equal if distance (by bits) and row are.
impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Hit {}

/// The k smallest of the hits offered so far; with ties also every hit as far away as the k-th.
///
/// A max-heap of at most k hits, so k may be far larger than the number of rows: memory follows what was kept.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    ties: bool,
    floor: f32,
    /// Nothing farther than this can be kept: the k-th distance once there are k hits, before that the floor.
    limit: f32,
    nearest: BinaryHeap<Hit>,
    /// Only with ties: hits outside the heap that are exactly as far away as the worst one inside.
    tied: Vec<Hit>,
}

impl TopK {
    /// Keeps the `k` nearest hits that are no farther than `floor` (infinity: no floor), with `ties` also those as far as
    /// the k-th. A NaN floor is no floor.
    pub fn new(k: usize, floor: f32, ties: bool) -> Self {
        let floor = if floor.is_nan() { f32::INFINITY } else { floor };
        Self { k, ties, floor, limit: floor, nearest: BinaryHeap::new(), tied: Vec::new() }
    }

    /// Hits farther than this are not kept, so a caller can spare itself offering them.
    #[inline]
    pub fn limit(&self) -> f32 {
        self.limit
    }

    /// Takes the hit if it is among the k nearest so far. Order of offering does not change the outcome.
    pub fn offer(&mut self, hit: Hit) {
        if hit.distance > self.limit || self.k == 0 {
            return;
        }
        if self.nearest.len() < self.k {
            self.nearest.push(hit);
        } else {
            let out = match self.nearest.peek_mut() {
                Some(mut worst) if hit < *worst => std::mem::replace(&mut *worst, hit),
                _ => hit,
            };
            self.keep_tied(out);
        }
        if self.nearest.len() == self.k
            && let Some(worst) = self.nearest.peek()
        {
            self.limit = worst.distance.min(self.floor);
        }
    }

    /// Keeps a hit that just fell out of the heap, or did not get in, if it ties with the k-th; forgets ties of a k-th
    /// that has been bettered.
    fn keep_tied(&mut self, hit: Hit) {
        if !self.ties {
            return;
        }
        let Some(worst) = self.nearest.peek() else { return };
        if self.tied.first().is_some_and(|tied| tied.distance > worst.distance) {
            self.tied.clear();
        }
        if hit.distance == worst.distance {
            self.tied.push(hit);
        }
    }

    /// The hits kept, nearest first.
    pub fn into_sorted(self) -> Vec<Hit> {
        let mut hits = self.nearest.into_sorted_vec();
        let mut tied = self.tied;
        tied.sort_unstable();
        hits.extend(tied);
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(k: usize, floor: f32, ties: bool, offered: &[(f32, u32)]) -> Vec<(f32, u32)> {
        let mut top = TopK::new(k, floor, ties);
        for &(distance, row) in offered {
            top.offer(Hit { distance, row });
        }
        top.into_sorted().into_iter().map(|hit| (hit.distance, hit.row)).collect()
    }

    #[test]
    fn ties_of_a_bettered_kth_are_forgotten() {
        let offered = [(2.0, 0), (2.0, 1), (2.0, 2), (1.0, 3), (1.0, 4), (1.0, 5)];
        assert_eq!(kept(2, f32::INFINITY, true, &offered), [(1.0, 3), (1.0, 4), (1.0, 5)]);
        assert_eq!(kept(2, f32::INFINITY, false, &offered), [(1.0, 3), (1.0, 4)]);
        assert_eq!(kept(4, f32::NAN, true, &offered).len(), 6);
    }

    #[test]
    fn infinite_distances_are_hits_after_all_others() {
        let offered = [(f32::INFINITY, 0), (f32::MAX, 1), (f32::NEG_INFINITY, 2), (f32::INFINITY, 3)];
        let all = [(f32::NEG_INFINITY, 2), (f32::MAX, 1), (f32::INFINITY, 0), (f32::INFINITY, 3)];
        assert_eq!(kept(3, f32::INFINITY, false, &offered), all[..3]);
        assert_eq!(kept(3, f32::INFINITY, true, &offered), all);
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(
            distances in prop::collection::vec(0u8..12, 0..80),
            k in 0usize..100,
            floor in prop::option::of(0u8..12),
            ties: bool,
            seed: u64,
        ) {
            let floor = floor.map_or(f32::INFINITY, f32::from);
            let mut all: Vec<_> = distances.iter().enumerate().map(|(row, &d)| (f32::from(d), row as u32)).collect();
            // Any order of offering must do.
            let length = all.len();
            for i in 0..length {
                all.swap(i, (seed as usize).wrapping_mul(i + 1) % length);
            }
            let got = kept(k, floor, ties, &all);
            all.retain(|hit| hit.0 <= floor);
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let kth = all.get(k.wrapping_sub(1)).map(|hit| hit.0);
            let end = if ties && k > 0 { all.iter().filter(|hit| kth.is_none_or(|kth| hit.0 <= kth)).count() } else { k.min(all.len()) };
            prop_assert_eq!(got, &all[..end]);
        }
    }
}
