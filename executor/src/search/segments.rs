//! The segments of one search: each is searched exactly or by its index.
//!
//! The nearest k rows of a table lie in its segments somehow. A segment that holds a sixteenth of the rows is asked for
//! fewer than k, the quantile of what it should hold ([`volley_index::cost::share_of_k`]), and so takes less effort. Where
//! all that it was asked for belong to the k nearest of all, it may hold more, and is asked for more. So the outcome is that
//! of asking every segment for k.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::Result;
use datafusion::execution::TaskContext;
use futures::stream::{self, StreamExt, TryStreamExt};
use volley_index::RowSet;
use volley_index::cost::{self, Choice, Walk, Why};

use crate::error::Error;
use crate::search::allowed::AllowedRows;
use crate::search::candidates::{Candidates, Indexed, Opened};
use crate::search::chunks::{Workers, search_chunks};
use crate::search::graph::{GraphHits, search_graphs};
use crate::search::indexes::OpenIndexes;
use crate::search::merge::{Found, kth_distance};
use crate::search::report::{ExactWay, ExpectedRecall, SegmentGroup, Way};
use crate::search::row_ids::RowIdsOf;
use crate::search::stop::Floors;
use crate::search::vectors::SegmentVectors;
use crate::search::{Approximate, SearchRequest};

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
    /// Where its graph was searched: the segment, to be asked again.
    walked: Option<Indexed>,
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
        let with_share = |segment: Indexed| {
            let share = segment.candidates.count as f64 / rows.max(1) as f64;
            segment.with_share(share, k)
        };
        searched.extend(self.by_index(indexed.into_iter().map(with_share).collect(), approximate).await?);
        self.ask_again(&mut searched, approximate).await?;
        self.make_certain(searched).await
    }

    /// Looks at all rows where a bound seems to leave fewer than k: a graph cannot prove that there are no more.
    async fn make_certain(&self, searched: Vec<Searched>) -> Result<Vec<Searched>> {
        let is_short = (0..self.request.query_count()).any(|query| {
            let found = searched.iter().map(|segment| segment.found.hits[query].len()).sum::<usize>();
            self.request.floor_of(query) < f32::INFINITY && found < self.request.k
        });
        if !is_short {
            return Ok(searched);
        }
        let certain = searched.into_iter().map(|mut segment| async move {
            match segment.walked.take() {
                None => Ok(segment),
                Some(walked) => {
                    let mut exact = self.all_of(walked.candidates, Some(walked.vectors), ExactWay::Certain).await?;
                    exact.group.add_effort(&segment.group);
                    Ok(exact)
                }
            }
        });
        stream::iter(certain).buffered(self.at_a_time).try_collect().await
    }

    /// Asks segments that may hold more of the k nearest than they gave, until none may.
    async fn ask_again(&self, searched: &mut Vec<Searched>, approximate: &Approximate) -> Result<()> {
        let k = self.request.k;
        loop {
            let limits: Vec<Option<f32>> = (0..self.request.query_count())
                .map(|query| kth_distance(searched.iter().map(|segment| &segment.found), query, k))
                .collect();
            let (mut again, mut before) = (Vec::new(), Vec::new());
            let may_hold_more = |segment: &mut Searched| {
                let held = segment.found.held(&limits, k);
                let walked = segment.walked.take_if(|walked| walked.asked < k && held >= walked.asked);
                let holds_more = walked.is_some();
                // It holds at least such a share of them.
                again.extend(walked.map(|walked| walked.with_share(held as f64 / k as f64, k)));
                holds_more
            };
            before.extend(searched.extract_if(.., may_hold_more));
            if before.is_empty() {
                return Ok(());
            }
            for (mut again, before) in self.by_index(again, approximate).await?.into_iter().zip(before) {
                again.group.add_effort(&before.group);
                searched.push(again);
            }
        }
    }

    /// The rows of a segment that may be found.
    async fn candidates(&self, ordinal: u32) -> Result<Candidates> {
        self.workers.stop.check()?;
        let segment = Arc::clone(self.request.segments.get(ordinal)?);
        let allowed = self.allowed.of(self.request, &segment, self.task).await?;
        let (allowed, hardness) = allowed.map(|allowed| (allowed.rows, allowed.hardness)).unzip();
        let count = allowed.as_ref().map_or(segment.segment.rows as usize, |allowed| allowed.count());
        Ok(Candidates { segment, allowed, count, hardness })
    }

    async fn open(&self, ordinal: u32, approximate: &Approximate) -> Result<Opened> {
        let segment = self.request.segments.get(ordinal)?;
        let live_rows = segment.live_rows();
        let index = match self.indexes.of(&self.request.segments, &segment.segment, &approximate.index).await {
            Ok(Some(index)) if index.facts().dim() == self.request.dim => index,
            Ok(Some(_)) => return Ok(Opened::Without(ordinal, ExactWay::Damaged, live_rows)),
            Ok(None) => return Ok(Opened::Without(ordinal, ExactWay::Unindexed, live_rows)),
            Err(_) => return Ok(Opened::Without(ordinal, ExactWay::Damaged, live_rows)),
        };
        let candidates = self.candidates(ordinal).await?;
        let SearchRequest { segments, column, dim, .. } = self.request;
        let vectors = SegmentVectors::open(segments, &candidates.segment, *column, *dim, self.task).await?;
        Ok(Opened::Indexed(Indexed { candidates, index, vectors, share: 1.0, asked: 0 }))
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
        let mut searched = self.nothing_yet(&candidates, Way::Exact(why));
        if candidates.count == 0 || *k == 0 {
            return Ok(searched);
        }
        searched.found.row_ids = RowIdsOf::open(segments, &candidates.segment, self.task).await?;
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

    /// Searches each segment in the way that costs least. What comes out is in the order of what goes in.
    async fn by_index(&self, indexed: Vec<Indexed>, approximate: &Approximate) -> Result<Vec<Searched>> {
        let parts = indexed.len();
        let ways: Vec<Choice> = indexed.iter().map(|segment| self.choose(segment, parts, approximate)).collect();
        let walks = indexed.iter().zip(&ways).filter_map(|(segment, way)| match way {
            Choice::Walk(walk) => Some(segment.walk(*walk)),
            Choice::Exact(_) => None,
        });
        let mut walked = search_graphs(walks.collect(), self.request, self.workers).await?.into_iter();
        let searched = indexed.into_iter().zip(ways).map(|(segment, way)| {
            // As many as there are walks.
            let walked = matches!(way, Choice::Walk(_)).then(|| walked.next().unwrap_or_default());
            async move {
                match (way, walked) {
                    (Choice::Walk(walk), Some(found)) => self.walked(segment, walk, found).await,
                    (Choice::Exact(why), _) => self.all_of(segment.candidates, Some(segment.vectors), why.into()).await,
                    (Choice::Walk(_), None) => Err(Error::Internal { detail: "a walk was lost".into() }.into()),
                }
            }
        });
        let searched: Vec<_> = searched.collect();
        stream::iter(searched).buffered(self.at_a_time).try_collect().await
    }

    fn choose(&self, segment: &Indexed, parts: usize, approximate: &Approximate) -> Choice {
        let Indexed { candidates, index, share, asked, .. } = segment;
        if candidates.count == 0 || *asked == 0 {
            return Choice::Exact(Why::Cheaper);
        }
        let nodes = index.facts().indexed() as u64;
        let search = cost::Search {
            nodes,
            allowed: (candidates.count as u64).min(nodes),
            k: self.request.k,
            asked: *asked,
            share: *share as f32,
            parts,
            target: approximate.recall_target,
            ef: approximate.ef,
            preference: approximate.strategy.into(),
            hardness: candidates.hardness.as_ref().map_or(1.0, |hardness| hardness.get()),
        };
        let choice = index.choose(search);
        if let Some(hardness) = &candidates.hardness {
            hardness.chosen(&choice);
        }
        choice
    }

    /// What a traversal found; where it gave up, what is there.
    async fn walked(&self, segment: Indexed, walk: Walk, found: GraphHits) -> Result<Searched> {
        if let Some(hardness) = &segment.candidates.hardness {
            hardness.walked(&walk, &found);
        }
        let given_up: Vec<usize> = (0..found.hits.len()).filter(|query| found.hits[*query].is_none()).collect();
        let mut exact = match given_up.is_empty() {
            true => None,
            false => Some(self.all_for(&given_up, &segment).await?),
        };
        let mut group = SegmentGroup {
            ef: Some((walk.ef, walk.ef)),
            distances: found.distances,
            filter_tests: found.filter_tests,
            expected: Some(ExpectedRecall { recall: f64::from(walk.recall), samples: walk.samples }),
            time: found.time,
            ..self.nothing_yet(&segment.candidates, walk_of(&segment.candidates, &walk)).group
        };
        if let Some(exact) = &exact {
            group.distances += exact.group.distances;
            group.time += exact.group.time;
        }
        if let Some(mut exact) = exact.take_if(|_| given_up.len() == found.hits.len()) {
            exact.group = SegmentGroup { ef: None, expected: None, way: exact.group.way, ..group };
            return Ok(exact);
        }
        let mut searched = self.nothing_yet(&segment.candidates, group.way);
        searched.found.hits = found.hits.into_iter().map(Option::unwrap_or_default).collect();
        searched.bytes = exact.as_ref().map_or(0, |exact| exact.bytes);
        for (query, hits) in given_up.into_iter().zip(exact.into_iter().flat_map(|exact| exact.found.hits)) {
            searched.found.hits[query] = hits;
        }
        if searched.found.hits.iter().any(|hits| !hits.is_empty()) {
            let segment = &segment.candidates.segment;
            searched.found.row_ids = RowIdsOf::open(&self.request.segments, segment, self.task).await?;
        }
        Ok(Searched { group, walked: Some(segment), ..searched })
    }

    /// Compares all rows of a segment that may be found with those queries for which its traversal gave up.
    async fn all_for(&self, queries: &[usize], segment: &Indexed) -> Result<Searched> {
        let request = self.request.of_queries(queries.iter().copied());
        let workers = Workers { floors: Arc::new(Floors::new(&request)), ..self.workers.clone() };
        let some = Segments { request: &request, workers: &workers, ..*self };
        some.all_of(segment.candidates.clone(), Some(segment.vectors.clone()), ExactWay::FellBack).await
    }

    /// A segment in which nothing has been found.
    fn nothing_yet(&self, candidates: &Candidates, way: Way) -> Searched {
        let Candidates { segment, allowed, count, .. } = candidates;
        let found = Found {
            segment: Arc::clone(segment),
            allowed: allowed.clone(),
            hits: vec![Vec::new(); self.request.query_count()],
            row_ids: RowIdsOf::From(0),
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
        Searched { found, group, bytes: 0, walked: None }
    }
}

/// The way of a traversal.
fn walk_of(candidates: &Candidates, walk: &Walk) -> Way {
    match candidates.allowed {
        Some(_) if walk.in_filter => Way::InFilter,
        Some(_) => Way::PostFilter,
        None => Way::Graph,
    }
}
