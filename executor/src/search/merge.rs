//! The segments' hits to one query's answer.
//!
//! The order is (distance, row id), rows without a distance last. Row ids ascend with the offset inside a segment, so
//! a segment's own order by offset is the order by row id; only between segments do the ids themselves decide.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::Result;
use volley_index::{Hit, RowSet};

use crate::search::SearchHit;
use crate::segment_set::{SegmentHandle, row_address};

use super::row_ids::RowIdsOf;

/// What one segment contributes to one search.
#[derive(Debug)]
pub(super) struct Found {
    /// The segment.
    pub(super) segment: Arc<SegmentHandle>,
    /// Rows that the filter and the deletions leave; `None`: all. NULL vectors included.
    pub(super) allowed: Option<Arc<RowSet>>,
    /// Per query, the hits with a distance.
    pub(super) hits: Vec<Vec<Hit>>,
    /// The row ids of the segment's rows.
    pub(super) row_ids: RowIdsOf,
}

impl Found {
    fn hit(&self, offset: u32, distance: Option<f32>) -> Result<SearchHit> {
        let row_id = self.row_ids.of(offset)?;
        Ok(SearchHit { distance, address: row_address(self.segment.ordinal, offset), row_id })
    }

    /// How many of the k nearest rows of all segments are among the hits, where `limits` has the distance of the k-th, by
    /// query; all k where not even the hits of all segments are so many. The most over all queries.
    pub(super) fn held(&self, limits: &[Option<f32>], k: usize) -> usize {
        let of_query = |(hits, limit): (&Vec<Hit>, &Option<f32>)| match limit {
            Some(limit) => hits.iter().filter(|hit| hit.distance <= *limit).count().min(k),
            None => k,
        };
        self.hits.iter().zip(limits).map(of_query).max().unwrap_or(0)
    }

    /// The rows without a distance, ascending. Only right where every row that has one is among the hits.
    fn undefined(&self, query: usize) -> impl Iterator<Item = u32> + '_ {
        let rows = self.segment.segment.rows as usize;
        let mut defined = RowSet::new_empty(rows);
        self.hits[query].iter().for_each(|hit| defined.insert(hit.row as usize));
        let is_allowed = |row: &usize| self.allowed.as_ref().is_none_or(|allowed| allowed.contains(*row));
        (0..rows).filter(is_allowed).filter(move |row| !defined.contains(*row)).map(|row| row as u32)
    }
}

/// The k first rows of all segments for one query, with `ties` also all that are as far away as the k-th.
///
/// `complete` says that no floor has hidden a row with a distance; only then is a row without one wanted.
pub(super) fn merge<'a>(
    segments: impl Iterator<Item = &'a Found> + Clone,
    query: usize,
    k: usize,
    ties: bool,
    complete: bool,
) -> Result<Vec<SearchHit>> {
    let farthest = kth_distance(segments.clone(), query, k);
    let is_wanted = |hit: &&Hit| farthest.is_none_or(|limit| hit.distance.total_cmp(&limit) != Ordering::Greater);
    let mut hits = Vec::new();
    for segment in segments.clone() {
        for hit in segment.hits[query].iter().filter(is_wanted) {
            hits.push(segment.hit(hit.row, Some(hit.distance))?);
        }
    }
    hits.sort_unstable_by(|a, b| by_distance(a.distance, b.distance).then(a.row_id.cmp(&b.row_id)));
    if hits.len() >= k {
        if !ties {
            hits.truncate(k);
        }
        return Ok(hits);
    }
    if complete {
        let missing = k - hits.len();
        let mut rest = Vec::new();
        for segment in segments {
            for offset in segment.undefined(query).take(if ties { usize::MAX } else { missing }) {
                rest.push(segment.hit(offset, None)?);
            }
        }
        rest.sort_unstable_by_key(|hit| hit.row_id);
        if !ties {
            rest.truncate(missing);
        }
        hits.extend(rest);
    }
    Ok(hits)
}

/// The distance of the k-th hit; `None` if there are fewer.
pub(super) fn kth_distance<'a>(segments: impl Iterator<Item = &'a Found>, query: usize, k: usize) -> Option<f32> {
    let mut distances: Vec<f32> = segments.flat_map(|segment| &segment.hits[query]).map(|hit| hit.distance).collect();
    let index = k.checked_sub(1).filter(|index| *index < distances.len())?;
    let (_, kth, _) = distances.select_nth_unstable_by(index, f32::total_cmp);
    Some(*kth)
}

/// Ascending, no distance last.
fn by_distance(a: Option<f32>, b: Option<f32>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
