//! What traversals under a filter have taken, so that the next one is chosen by what was seen.

use parking_lot::Mutex;
use volley_index::cost::{Choice, Walk, Why};

use crate::search::graph::GraphHits;

/// The last so many traversals decide, about.
const MEMORY: f32 = 8.0;
/// By so much of what it lies off, an estimate that keeps traversals from being made comes back to 1 each time, so that after
/// a while one is tried: queries may be other ones by then.
const FORGETTING: f32 = 0.01;
/// Estimates stay between one part in so many and so many.
const LARGEST: f32 = 64.0;

/// How many times as many distances as expected the traversals of one segment under one filter took:
/// [`volley_index::cost::Search::hardness`].
#[derive(Debug)]
pub(super) struct Hardness(Mutex<Estimate>);

#[derive(Debug, Clone, Copy)]
struct Estimate {
    /// The mean of what was seen.
    mean: f32,
    /// How many traversals it is of, up to [`MEMORY`].
    seen: f32,
}

impl Default for Hardness {
    fn default() -> Self {
        Self(Mutex::new(Estimate { mean: 1.0, seen: 0.0 }))
    }
}

impl Hardness {
    /// The estimate, in steps of a quarter, so that like searches are chosen alike.
    pub(super) fn get(&self) -> f32 {
        ((self.0.lock().mean.log2() * 4.0).round() / 4.0).exp2()
    }

    /// Learns from a traversal.
    pub(super) fn walked(&self, walk: &Walk, found: &GraphHits) {
        let queries = found.hits.len().max(1) as f32;
        // Where it gave up there was an exact search as well, which costs what the budget allows.
        let given_up = found.hits.iter().filter(|hits| hits.is_none()).count() as f32;
        let took = (found.distances as f32 + given_up * walk.budget as f32) / queries;
        let times = (took / walk.expected_distances.max(1.0)).clamp(1.0 / LARGEST, LARGEST);
        let mut estimate = self.0.lock();
        estimate.seen = (estimate.seen + 1.0).min(MEMORY);
        estimate.mean += (times - estimate.mean) / estimate.seen;
    }

    /// Learns nothing, but forgets, when no traversal was made.
    pub(super) fn chosen(&self, choice: &Choice) {
        if matches!(choice, Choice::Exact(Why::Cheaper)) {
            let mut estimate = self.0.lock();
            estimate.mean -= (estimate.mean - 1.0) * FORGETTING;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(distances: u64, gave_up: bool) -> GraphHits {
        GraphHits { hits: vec![(!gave_up).then(Vec::new)], distances, ..GraphHits::default() }
    }

    const WALK: Walk = Walk {
        in_filter: true,
        ef: 16,
        budget: 8000,
        expected_distances: 1000.0,
        expected_ns: 60_000.0,
        recall: 0.98,
        samples: 256,
    };

    #[test]
    fn one_search_that_gave_up_is_enough_and_is_forgotten_in_time() {
        let hardness = Hardness::default();
        assert_eq!(hardness.get(), 1.0);
        hardness.walked(&WALK, &found(8000, true));
        assert_eq!(hardness.get(), 16.0);
        for _ in 0..80 {
            hardness.chosen(&Choice::Exact(Why::Cheaper));
        }
        assert!(hardness.get() <= 8.0 && hardness.get() > 1.0, "{hardness:?}");
    }

    #[test]
    fn searches_as_expected_change_nothing() {
        let hardness = Hardness::default();
        for distances in [1000, 900, 1100, 1000] {
            hardness.walked(&WALK, &found(distances, false));
            hardness.chosen(&Choice::Walk(WALK));
        }
        assert_eq!(hardness.get(), 1.0);
        hardness.walked(&WALK, &found(u64::MAX / 2, false));
        assert!(hardness.get() <= LARGEST);
    }
}
