//! The segments of an approximate search before they are searched.

use std::sync::Arc;

use volley_index::RowSet;
use volley_index::cost::{self, Walk};

use crate::search::graph::GraphSearch;
use crate::search::hardness::Hardness;
use crate::search::indexes::SegmentIndex;
use crate::search::report::ExactWay;
use crate::search::vectors::SegmentVectors;
use crate::segment_set::SegmentHandle;

/// The probability with which a segment holds more of the k nearest rows than it is asked for. Asking again costs more than
/// the beam is wider for asking for one more.
const MISS: f64 = 0.005;

/// A segment and those of its rows that may be found.
#[derive(Clone)]
pub(super) struct Candidates {
    pub(super) segment: Arc<SegmentHandle>,
    /// `None`: all rows.
    pub(super) allowed: Option<Arc<RowSet>>,
    pub(super) count: usize,
    /// What traversals that find these rows have taken; `None` where all may be found, as when the index was calibrated.
    pub(super) hardness: Option<Arc<Hardness>>,
}

/// Such a segment with its index.
#[derive(Clone)]
pub(super) struct Indexed {
    pub(super) candidates: Candidates,
    pub(super) index: Arc<SegmentIndex>,
    pub(super) vectors: SegmentVectors,
    /// The share that it holds of all rows, or, as soon as it was asked, of those that are near.
    pub(super) share: f64,
    /// How many rows it is asked for at least.
    pub(super) asked: usize,
}

impl Indexed {
    /// The same segment, asked for what it should hold of the k nearest rows if it holds such a share of all rows; for more
    /// than before where it was asked before.
    pub(super) fn with_share(self, share: f64, k: usize) -> Self {
        let asked = cost::share_of_k(k, share, MISS).max(self.asked + 1).min(k);
        Self { share, asked, ..self }
    }

    /// A walk through its graph.
    pub(super) fn walk(&self, walk: Walk) -> GraphSearch {
        let nodes = self.index.facts().indexed();
        GraphSearch {
            index: Arc::clone(&self.index),
            vectors: self.vectors.clone(),
            allowed: self.candidates.allowed.clone(),
            allowed_count: self.candidates.allowed.as_ref().map_or(nodes, |_| self.candidates.count),
            k: self.asked,
            walk,
        }
    }
}

/// A segment of an approximate search.
pub(super) enum Opened {
    Indexed(Indexed),
    /// The ordinal of one that is searched exactly, why, and how many rows it has.
    Without(u32, ExactWay, u64),
}
