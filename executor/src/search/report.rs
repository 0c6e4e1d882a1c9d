//! What a search did, segment by segment: what EXPLAIN ANALYZE shows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use volley_index::cost::Why;

/// How a segment was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// The graph was traversed; nothing was filtered.
    Graph,
    /// The graph was traversed, keeping only rows that may be found.
    InFilter,
    /// The graph was traversed, and the hits were filtered.
    PostFilter,
    /// All rows that may be found were compared.
    Exact(ExactWay),
}

/// Why all rows of a segment that may be found were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExactWay {
    /// The search is exact as a whole.
    Wanted,
    /// Comparing them costs less than a traversal.
    Cheaper,
    /// No effort that was measured reaches the recall wanted.
    Unreachable,
    /// The traversal took more than an exact search, or found too few rows.
    FellBack,
    /// A bound leaves fewer rows than wanted, which only looking at all of them proves.
    Certain,
    /// The segment has no index yet.
    Unindexed,
    /// The segment's index cannot be used.
    Damaged,
}

impl From<Why> for ExactWay {
    fn from(why: Why) -> Self {
        match why {
            Why::Cheaper => ExactWay::Cheaper,
            Why::Unreachable => ExactWay::Unreachable,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Graph => "graph",
            Way::InFilter => "graph in-filter",
            Way::PostFilter => "graph post-filter",
            Way::Exact(ExactWay::Wanted) => "exact",
            Way::Exact(ExactWay::Cheaper) => "exact (cheaper)",
            Way::Exact(ExactWay::Unreachable) => "exact (recall out of the index's reach)",
            Way::Exact(ExactWay::FellBack) => "exact (the graph fell short)",
            Way::Exact(ExactWay::Certain) => "exact (to be certain that no more rows are within the bound)",
            Way::Exact(ExactWay::Unindexed) => "exact (not indexed yet)",
            Way::Exact(ExactWay::Damaged) => "exact (the index cannot be used)",
        })
    }
}

/// The recall that calibration lets expect.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExpectedRecall {
    /// The mean.
    pub recall: f64,
    /// Samples it was measured on; 0 where nothing was approximated.
    pub samples: u32,
}

/// Segments that were searched in one way.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentGroup {
    /// The way.
    pub way: Way,
    /// How many segments.
    pub segments: u64,
    /// Rows in them, deleted ones included.
    pub rows: u64,
    /// Rows that may be found: not deleted, satisfying the filter.
    pub allowed: u64,
    /// The narrowest and the widest beam of the traversals.
    pub ef: Option<(usize, usize)>,
    /// Distances computed.
    pub distances: u64,
    /// Rows looked up in a filter's row set by traversals.
    pub filter_tests: u64,
    /// The recall to expect of these segments' part of the answer; without one it is exact.
    pub expected: Option<ExpectedRecall>,
    /// Time spent, of all threads together.
    pub time: Duration,
}

impl SegmentGroup {
    /// Counts what was done for these segments before.
    pub(super) fn add_effort(&mut self, before: &SegmentGroup) {
        self.distances += before.distances;
        self.filter_tests += before.filter_tests;
        self.time += before.time;
    }

    /// Takes in another group of the same way.
    fn add(&mut self, other: &SegmentGroup) {
        if let (Some(mine), Some(theirs)) = (&mut self.expected, other.expected) {
            let (a, b) = (self.segments as f64, other.segments as f64);
            mine.recall = (mine.recall * a + theirs.recall * b) / (a + b);
            mine.samples = mine.samples.min(theirs.samples);
        }
        self.segments += other.segments;
        self.rows += other.rows;
        self.allowed += other.allowed;
        self.ef = match (self.ef, other.ef) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
        self.distances += other.distances;
        self.filter_tests += other.filter_tests;
        self.time += other.time;
    }
}

impl fmt::Display for SegmentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.segments == 1 { "" } else { "s" };
        write!(f, "{}: {} segment{plural}, {} of {} rows", self.way, self.segments, self.allowed, self.rows)?;
        match self.ef {
            Some((least, most)) if least == most => write!(f, ", ef={least}")?,
            Some((least, most)) => write!(f, ", ef={least}..{most}")?,
            None => {}
        }
        write!(f, ", distances={}", self.distances)?;
        if self.filter_tests > 0 {
            write!(f, ", filter_tests={}", self.filter_tests)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, ", expected_recall={:.3} (n={})", expected.recall, expected.samples)?;
        }
        write!(f, ", time={:.3}ms", self.time.as_secs_f64() * 1e3)
    }
}

/// What a search did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchMetrics {
    /// Segments searched.
    pub segments: u64,
    /// Distances computed.
    pub distances: u64,
    /// Rows that the filter or a deletion took out before any distance was computed.
    pub rows_filtered: u64,
    /// Bytes of vectors in the segments that were read.
    pub bytes: u64,
    /// The segments by the way they were searched, in a fixed order of ways.
    pub groups: Vec<SegmentGroup>,
    /// The recall to expect of the whole answer, each segment weighing as many rows as it gave.
    pub expected: ExpectedRecall,
    /// What each process did, where not all of it was done in this one.
    pub nodes: Vec<NodeReport>,
}

/// What one of the processes did that searched.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// Its name.
    pub name: Arc<str>,
    /// Segments it searched.
    pub segments: u64,
    /// Rows it found.
    pub rows: u64,
    /// From the question to the answer.
    pub time: Duration,
}

impl fmt::Display for NodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.segments == 1 { "" } else { "s" };
        write!(f, "{}: {} segment{plural}, {} rows", self.name, self.segments, self.rows)?;
        write!(f, ", time={:.3}ms", self.time.as_secs_f64() * 1e3)
    }
}

impl SearchMetrics {
    /// Takes in what another process did, but for what is to be expected of the whole.
    pub fn add_all(&mut self, other: &SearchMetrics) {
        self.segments += other.segments;
        self.distances += other.distances;
        self.rows_filtered += other.rows_filtered;
        self.bytes += other.bytes;
        other.groups.iter().for_each(|group| self.add_group(group.clone()));
        self.nodes.extend(other.nodes.iter().cloned());
    }

    /// Takes in what was done in one more segment.
    pub(super) fn add(&mut self, group: SegmentGroup, bytes: u64) {
        self.segments += group.segments;
        self.distances += group.distances;
        self.rows_filtered += group.rows.saturating_sub(group.allowed);
        self.bytes += bytes;
        self.add_group(group);
    }

    fn add_group(&mut self, group: SegmentGroup) {
        match self.groups.binary_search_by_key(&group.way, |known| known.way) {
            Ok(at) => self.groups[at].add(&group),
            Err(at) => self.groups.insert(at, group),
        }
    }
}
