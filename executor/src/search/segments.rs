//! The segments of one search: each is searched exactly or by its index.
//!
//! The nearest k rows of a table lie in its segments somehow. A segment that holds a sixteenth of the rows is asked for
//! fewer than k, the quantile of what it should hold ([`volley_index::cost::share_of_k`]), and so takes less effort. Where
//! the last of what it gave still belongs to the k nearest of all, it may hold more, and is asked again for all k. So the
//! outcome is that of asking every segment for k, and depends on nothing but the rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use futures::stream::{self, StreamExt, TryStreamExt};
use volley_index::cost::{self, Choice, Preference, Why};
use volley_index::{Hit, RowSet};

use crate::search::allowed::AllowedRows;
use crate::search::chunks::{Workers, search_chunks};
use crate::search::graph::GraphSearch;
use crate::search::indexes::{OpenIndexes, SegmentIndex};
use crate::search::merge::{Found, kth_distance};
use crate::search::report::{ExactWay, ExpectedRecall, SegmentGroup, Way};
use crate::search::row_ids::RowIdsOf;
use crate::search::vectors::SegmentVectors;
use crate::search::{Approximate, FilterStrategy, SearchRequest};
use crate::segment_set::SegmentHandle;

/// The probability with which a segment holds more of the k nearest rows than it is first asked for.
const MISS: f64 = 0.02;

/// All segments of one search.
pub(super) struct Segments<'a> {
    pub(super) request: &'a SearchRequest,
    pub(super) task: &'a Arc<TaskContext>,
    pub(super) workers: &'a Workers,
    pub(super) allowed: &'a AllowedRows,
    pub(super) indexes: &'a OpenIndexes,
    /// Segments in hand at a time: one more than there are threads, so that one is read while the others are searched.
    pub(super) at_a_time: usize,
}

/// One segment, searched.
pub(super) struct Searched {
    pub(super) found: Found,
    pub(super) group: SegmentGroup,
    /// Bytes of vectors that an exact search read.
    pub(super) bytes: u64,
    /// How it may be asked for more, where it was asked for less than all.
    more: Option<Indexed>,
}

/// A segment and those of its rows that may be found.
#[derive(Clone)]
struct Candidates {
    segment: SegmentHandle,
    /// `None`: all rows.
    allowed: Option<Arc<RowSet>>,
    count: usize,
}

/// Such a segment with its index.
#[derive(Clone)]
struct Indexed {
    candidates: Candidates,
    index: Arc<SegmentIndex>,
    vectors: SegmentVectors,
    /// How many rows it was asked for.
    asked: usize,
}

impl Segments<'_> {
    /// Searches them.
    pub(super) async fn search(&self) -> Result<Vec<Searched>> {
        let Some(approximate) = &self.request.approximate else {
            let ordinals = self.request.ordinals.iter();
            return self.exactly(ordinals.map(|ordinal| (*ordinal, ExactWay::Wanted)).collect()).await;
        };
        let ordinals = self.request.ordinals.clone();
        let opened = ordinals.into_iter().map(|ordinal| self.open(ordinal, approximate));
        let opened: Vec<_> = stream::iter(opened).buffered(self.at_a_time).try_collect().await?;
        let mut without = Vec::new();
        let mut indexed = Vec::new();
        // Rows that stand for nothing but the share of the whole that each segment has.
        let mut rows = 0;
        for segment in opened {
            match segment {
                Opened::Indexed(segment) => {
                    rows += segment.candidates.count as u64;
                    indexed.push(segment);
                }
                Opened::Without(ordinal, why, live_rows) => {
                    rows += live_rows;
                    without.push((ordinal, why));
                }
            }
        }
        let mut searched = self.exactly(without).await?;
        let k = self.request.k;
        let walks = indexed.into_iter().map(|segment| {
            let share = segment.candidates.count as f64 / rows.max(1) as f64;
            let asked = if k == 0 { 0 } else { cost::share_of_k(k, share, MISS) };
            self.by_index(Indexed { asked, ..segment }, approximate)
        });
        let walked: Vec<_> = stream::iter(walks).buffered(self.at_a_time).try_collect().await?;
        searched.extend(walked);
        self.ask_again(&mut searched, approximate).await?;
        Ok(searched)
    }

    /// Asks segments that may hold more of the k nearest than they gave.
    async fn ask_again(&self, searched: &mut [Searched], approximate: &Approximate) -> Result<()> {
        let k = self.request.k;
        let limits: Vec<Option<f32>> = (0..self.request.query_count())
            .map(|query| kth_distance(searched.iter().map(|segment| &segment.found), query, k))
            .collect();
        for segment in searched {
            let Some(more) = segment.more.take() else { continue };
            let may_hold_more = segment.found.hits.iter().zip(&limits).any(|(hits, limit)| {
                let (Some(last), Some(limit)) = (hits.last(), limit) else { return true };
                last.distance <= *limit
            });
            if may_hold_more {
                let mut again = self.by_index(Indexed { asked: k, ..more }, approximate).await?;
                again.group.distances += segment.group.distances;
                again.group.filter_tests += segment.group.filter_tests;
                again.group.time += segment.group.time;
                *segment = again;
            }
        }
        Ok(())
    }

    /// The rows of a segment that may be found.
    async fn candidates(&self, ordinal: u32) -> Result<Candidates> {
        self.workers.stop.check()?;
        let segment = self.request.segments.get(ordinal)?.clone();
        let allowed = self.allowed.of(self.request, &segment, self.task).await?;
        let count = allowed.as_ref().map_or(segment.segment.rows as usize, |allowed| allowed.count());
        Ok(Candidates { segment, allowed, count })
    }

    async fn open(&self, ordinal: u32, approximate: &Approximate) -> Result<Opened> {
        let segment = self.request.segments.get(ordinal)?;
        let live_rows = segment.live_rows();
        let index = match self.indexes.of(&self.request.segments, &segment.segment, &approximate.index).await {
            Ok(Some(index)) if index.facts().dim() == self.request.dim => index,
            Ok(Some(_)) => return Ok(Opened::Without(ordinal, ExactWay::Damaged, live_rows)),
            Ok(None) => return Ok(Opened::Without(ordinal, ExactWay::Unindexed, live_rows)),
            Err(error) => {
                tracing::warn!(%error, segment = %segment.segment.id, "a segment is searched exactly");
                return Ok(Opened::Without(ordinal, ExactWay::Damaged, live_rows));
            }
        };
        let candidates = self.candidates(ordinal).await?;
        let SearchRequest { segments, column, dim, .. } = self.request;
        let vectors = SegmentVectors::open(segments, &candidates.segment, *column, *dim, self.task).await?;
        Ok(Opened::Indexed(Indexed { candidates, index, vectors, asked: 0 }))
    }

    /// Searches segments without the help of an index.
    async fn exactly(&self, segments: Vec<(u32, ExactWay)>) -> Result<Vec<Searched>> {
        let searches = segments.into_iter().map(|(ordinal, why)| async move {
            let candidates = self.candidates(ordinal).await?;
            self.all_of(candidates, None, why).await
        });
        stream::iter(searches).buffer_unordered(self.at_a_time).try_collect().await
    }

    /// Compares all rows of a segment that may be found.
    async fn all_of(&self, candidates: Candidates, vectors: Option<SegmentVectors>, why: ExactWay) -> Result<Searched> {
        let SearchRequest { segments, column, dim, k, .. } = self.request;
        let begun = Instant::now();
        let rows = candidates.segment.segment.rows as usize;
        let mut searched = self.nothing_yet(&candidates, Way::Exact(why)).await?;
        if candidates.count == 0 || *k == 0 {
            return Ok(searched);
        }
        let vectors = match vectors {
            Some(vectors) => vectors,
            None => SegmentVectors::open(segments, &candidates.segment, *column, *dim, self.task).await?,
        };
        let defined = match vectors.nulls(rows)? {
            None => candidates.allowed,
            Some(nulls) => {
                let allowed = candidates.allowed.as_deref().cloned();
                let mut defined = allowed.unwrap_or_else(|| RowSet::new_full(rows));
                defined.and_not(&nulls);
                Some(Arc::new(defined))
            }
        };
        let compared = defined.as_ref().map_or(rows, |defined| defined.count());
        if compared > 0 {
            let found = search_chunks(self.request, vectors, rows, defined, self.workers).await?;
            searched.found.hits = found.hits;
            searched.group.distances = found.distances;
            searched.bytes = (compared * dim * size_of::<f32>()) as u64;
        }
        searched.group.time = begun.elapsed();
        Ok(searched)
    }

    /// Searches a segment in the way that costs least.
    async fn by_index(&self, indexed: Indexed, approximate: &Approximate) -> Result<Searched> {
        let Indexed { candidates, index, vectors, asked } = &indexed;
        let calibration = index.calibration();
        let nodes = index.facts().indexed() as u64;
        let choice = cost::choose(
            calibration,
            &cost::Search {
                nodes,
                allowed: (candidates.count as u64).min(nodes),
                k: *asked,
                target: approximate.recall_target,
                ef: approximate.ef,
                preference: preference(approximate.strategy),
            },
        );
        let walk = match choice {
            _ if candidates.count == 0 || *asked == 0 => None,
            Choice::Exact(why) => return self.instead(indexed, why.into()).await,
            Choice::Walk(walk) => Some(walk),
        };
        let begun = Instant::now();
        let way = match (&candidates.allowed, walk) {
            (Some(_), Some(walk)) if walk.in_filter => Way::InFilter,
            (Some(_), Some(_)) => Way::PostFilter,
            _ => Way::Graph,
        };
        let mut searched = self.nothing_yet(candidates, way).await?;
        let Some(walk) = walk else { return Ok(searched) };
        let search = GraphSearch {
            index: Arc::clone(index),
            vectors: vectors.clone(),
            allowed: candidates.allowed.clone(),
            allowed_count: candidates.allowed.as_ref().map_or(nodes as usize, |_| candidates.count),
            k: *asked,
            walk,
        };
        let found = search.run(self.request, self.workers).await?;
        let (distances, filter_tests) = (found.distances, found.filter_tests);
        let Some(hits) = found.hits.into_iter().collect::<Option<Vec<Vec<Hit>>>>() else {
            let mut exact = self.instead(indexed, ExactWay::FellBack).await?;
            exact.group.distances += distances;
            exact.group.filter_tests += filter_tests;
            exact.group.time = begun.elapsed();
            return Ok(exact);
        };
        let samples = calibration.samples;
        searched.found.hits = hits;
        searched.group = SegmentGroup {
            ef: Some((walk.ef, walk.ef)),
            distances,
            filter_tests,
            expected: Some(ExpectedRecall { recall: f64::from(walk.recall), samples }),
            time: begun.elapsed(),
            ..searched.group
        };
        searched.more = (*asked < self.request.k).then_some(indexed);
        Ok(searched)
    }

    async fn instead(&self, indexed: Indexed, why: ExactWay) -> Result<Searched> {
        self.all_of(indexed.candidates, Some(indexed.vectors), why).await
    }

    /// A segment in which nothing has been found.
    async fn nothing_yet(&self, candidates: &Candidates, way: Way) -> Result<Searched> {
        let Candidates { segment, allowed, count } = candidates;
        let row_ids = match *count == 0 || self.request.k == 0 {
            true => RowIdsOf::From(0),
            false => RowIdsOf::open(&self.request.segments, segment, self.task).await?,
        };
        let found = Found {
            segment: segment.clone(),
            allowed: allowed.clone(),
            hits: vec![Vec::new(); self.request.query_count()],
            row_ids,
        };
        let group = SegmentGroup {
            way,
            segments: 1,
            rows: segment.segment.rows,
            allowed: *count as u64,
            ef: None,
            distances: 0,
            filter_tests: 0,
            expected: None,
            time: Duration::ZERO,
        };
        Ok(Searched { found, group, bytes: 0, more: None })
    }
}

/// A segment of an approximate search.
enum Opened {
    Indexed(Indexed),
    /// The ordinal of one that is searched exactly, why, and how many rows it has.
    Without(u32, ExactWay, u64),
}

fn preference(strategy: FilterStrategy) -> Preference {
    match strategy {
        // Exact searches are planned as such.
        FilterStrategy::Auto | FilterStrategy::Exact => Preference::Cheapest,
        FilterStrategy::In => Preference::InFilter,
        FilterStrategy::Post => Preference::PostFilter,
    }
}

impl From<Why> for ExactWay {
    fn from(why: Why) -> Self {
        match why {
            Why::Cheaper => ExactWay::Cheaper,
            Why::Unreachable => ExactWay::Unreachable,
        }
    }
}
