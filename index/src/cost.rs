//! Which way to search a segment, and at what effort.
//!
//! Three ways lead to the k nearest rows that a filter allows:
//!
//! - **exact**: every allowed row is compared. Costs `m · c_x` for m allowed rows;
//! - **in-filter**: the graph is traversed and only allowed rows are kept. Costs `D(k, m/n, target) · c_w`, where the
//!   calibration knows D, the distances that it takes to reach the recall wanted;
//! - **post-filter**: the graph is traversed as if there were no filter, for so many neighbours that enough of them are
//!   allowed. Costs `D(k′, 1, target) · c_w`.
//!
//! The cheapest is taken; c_x and c_w were measured when the index was built. A filter that correlates with the vectors may
//! cost a traversal more than the calibration foresaw, so every traversal has a budget of distances, as much as the exact
//! search would cost, after which the exact search is made: at most about twice the best choice. Whoever remembers what
//! traversals under a filter took says so ([`Search::hardness`]), and pays twice only once.

use crate::calibration::{Calibration, Effort, Source};

/// The beam is never narrower than this: a beam of one is a descent without memory.
const EF_MIN: usize = 8;
/// Nor wider: beyond this an exact search is the better one.
const EF_MAX: usize = 65_536;
/// Post-filtering fits filters that leave nearly everything: below this share of allowed rows in-filter is as good.
const POST_SELECTIVITY_MIN: f32 = 0.9;
/// Queries are often not drawn like the rows, and then harder to answer. Where only rows were measured, the neighbours
/// missed may be so much fewer than the target allows. (WordNet's sentences miss 1.4 to 1.6 times as many of its definitions
/// as definitions do; the queries of GloVe as many, those of Fashion-MNIST half as many.)
const ROWS_LOSS: f32 = 0.4;
/// What a part of a whole is asked for are rows near by the measure of the whole, so nearer, and easier to find, than the
/// nearest ones of the part that its calibration looked for; the more so the smaller the part: it misses `share` to this
/// power as many. (In 16 segments, a share of 1/16, 0.31 times as many as in one on WordNet, 0.33 on Fashion-MNIST, 0.29 on
/// GloVe, and so 0.4.)
const PART_EASE: f32 = 0.4;
/// That parts are easier is not relied on where more than this share of the neighbours is missed: it was not measured there.
const MISSED_MAX: f32 = 0.25;
/// Standard deviations by which post-filtering asks for more neighbours than the mean says are needed.
const POST_MARGIN: f32 = 3.0;

/// How a filter is to be applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preference {
    /// Whatever is cheapest.
    #[default]
    Cheapest,
    /// By a traversal that keeps only allowed rows.
    InFilter,
    /// By a traversal whose hits are filtered.
    PostFilter,
}

/// A search of one segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Rows that the graph connects.
    pub nodes: u64,
    /// Those of them that may be found.
    pub allowed: u64,
    /// Neighbours wanted of the whole that the segment is a part of.
    pub k: usize,
    /// How many of them to ask the segment for, at most k.
    pub asked: usize,
    /// The share of the whole's rows that the segment holds, in (0, 1].
    pub share: f32,
    /// Segments that answer together. What calibration is uncertain about evens out between them.
    pub parts: usize,
    /// The recall wanted, below 1.
    pub target: f32,
    /// A beam width to use instead of the one the target needs.
    pub ef: Option<usize>,
    /// How a filter is to be applied.
    pub preference: Preference,
    /// How many times as many distances as calibration lets expect traversals under this filter take, as far as is known; 1
    /// where nothing is. Calibration allows rows at random; a filter may be one of rows that are far from what is looked for.
    pub hardness: f32,
}

/// How a segment is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// Every allowed row is compared.
    Exact(Why),
    /// The graph is traversed.
    Walk(Walk),
}

/// Why a segment with an index is searched exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It costs less.
    Cheaper,
    /// No effort that was measured reaches the recall wanted.
    Unreachable,
}

/// A traversal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Whether only allowed rows are kept on the way, instead of at the end.
    pub in_filter: bool,
    /// The beam width.
    pub ef: usize,
    /// Distances after which an exact search is made instead.
    pub budget: u64,
    /// Distances that it should take, by what calibration measured and whatever [`Search::hardness`] says.
    pub expected_distances: f32,
    /// Nanoseconds that it should take.
    pub expected_ns: f32,
    /// The recall to expect.
    pub recall: f32,
    /// Samples that it was seen on.
    pub samples: u32,
}

/// Chooses the way.
pub fn choose(calibration: &Calibration, search: &Search) -> Choice {
    let selectivity = if search.nodes == 0 { 1.0 } else { search.allowed as f32 / search.nodes as f32 };
    let exact_ns = exact_ns(calibration, search.allowed, selectivity);
    // What counts in the end is the segment's share of the nearest, whatever else it is asked for to be on the safe side.
    let mean = ((search.k as f32 * search.share).ceil() as usize).clamp(1, search.k.max(1));
    let in_filter = effort(calibration, search, mean, selectivity).map(|effort| (true, effort));
    let post_filter = || {
        let wanted = post_filter_k(search.asked, selectivity);
        let effort = effort(calibration, search, wanted, 1.0)?;
        Some((false, Effort { ef: effort.ef.max(wanted as f32), ..effort }))
    };
    let walk_ns = |effort: &Effort| effort.distances * search.hardness * calibration.costs.walk_ns;
    let best = match search.preference {
        Preference::InFilter => in_filter,
        Preference::PostFilter => post_filter(),
        Preference::Cheapest if selectivity < POST_SELECTIVITY_MIN => in_filter,
        Preference::Cheapest => match (in_filter, post_filter()) {
            (Some(a), Some(b)) if walk_ns(&b.1) < walk_ns(&a.1) => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        },
    };
    let Some((in_filter, effort)) = best else { return Choice::Exact(Why::Unreachable) };
    let is_asked_for = search.ef.is_some() || search.preference != Preference::Cheapest;
    if walk_ns(&effort) >= exact_ns && !is_asked_for {
        return Choice::Exact(Why::Cheaper);
    }
    // However hard it was before: a way that is asked for is given up at the same point each time.
    let budget = (exact_ns / calibration.costs.walk_ns).max(effort.distances) as u64;
    let ef = (effort.ef.ceil() as usize).max(search.asked).clamp(EF_MIN, EF_MAX);
    let expected_ns = walk_ns(&effort);
    let Effort { recall, samples, distances: expected_distances, .. } = effort;
    Choice::Walk(Walk { in_filter, ef, budget: budget.max(1), expected_distances, expected_ns, recall, samples })
}

/// The recall that a traversal for the target brings where nothing is filtered, whatever it costs; `None` where the
/// target cannot be reached.
pub fn expected_recall(calibration: &Calibration, search: &Search) -> Option<f32> {
    effort(calibration, search, search.k, 1.0).map(|effort| effort.recall)
}

fn effort(calibration: &Calibration, search: &Search, k: usize, selectivity: f32) -> Option<Effort> {
    let ease = search.share.clamp(f32::MIN_POSITIVE, 1.0).powf(PART_EASE);
    let eased = |effort: Effort| match 1.0 - effort.recall {
        missed if missed <= MISSED_MAX => Effort { recall: 1.0 - missed * ease, ..effort },
        _ => effort,
    };
    if let Some(ef) = search.ef {
        return calibration.at(k, selectivity, ef.max(search.asked) as f32).map(eased);
    }
    let missed = 1.0 - search.target;
    let strict = match calibration.source {
        Source::Queries => missed,
        Source::Rows => missed * ROWS_LOSS,
    };
    let of = |missed: f32| {
        calibration.effort(k, selectivity, 1.0 - (missed / ease).min(missed.max(MISSED_MAX)), search.parts)
    };
    of(strict).or_else(|| of(missed)).map(eased)
}

fn exact_ns(calibration: &Calibration, allowed: u64, selectivity: f32) -> f32 {
    // Runs of allowed rows are scanned as they lie; the rarer they are, the more rows stand alone.
    let costs = calibration.costs;
    allowed as f32 * (costs.gather_ns + (costs.scan_ns - costs.gather_ns) * selectivity)
}

/// How many neighbours to ask for so that k of them are allowed: the mean and [`POST_MARGIN`] standard deviations.
fn post_filter_k(k: usize, selectivity: f32) -> usize {
    let share = selectivity.clamp(f32::EPSILON, 1.0);
    let k = k as f32;
    ((k + POST_MARGIN * (k * (1.0 - share)).sqrt()) / share).ceil() as usize
}

/// How many of the k nearest rows to ask of a part that holds `share` of all rows, so that with probability `1 − miss` it
/// holds no more of them: the quantile of the binomial distribution B(k, share). The distribution is that of rows dealt to
/// parts at random; where they are not, the caller asks again.
pub fn share_of_k(k: usize, share: f64, miss: f64) -> usize {
    if share >= 1.0 || k == 0 {
        return k;
    }
    let (share, odds) = (share.max(0.0), share / (1.0 - share));
    // P(0), then each from the one before.
    let mut probability = (1.0 - share).powf(k as f64);
    // Too small to be represented: so many rows are wanted that all of them may as well be asked for.
    if probability <= f64::MIN_POSITIVE {
        return k;
    }
    let mut cumulated = probability;
    for hits in 0..k {
        if cumulated >= 1.0 - miss {
            return hits.max(1);
        }
        probability *= odds * (k - hits) as f64 / (hits + 1) as f64;
        cumulated += probability;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{Costs, Curve, Point};

    fn calibration() -> Calibration {
        let curve = |selectivity: f32, k: u32, times: f32| Curve {
            selectivity,
            k,
            samples: 256,
            points: [(16, 0.90), (32, 0.96), (64, 0.98), (128, 0.995)]
                .map(|(ef, recall)| Point { ef, recall, error: 0.001, distances: ef as f32 * 20.0 * times })
                .to_vec(),
        };
        Calibration {
            source: Source::Queries,
            samples: 256,
            curves: vec![curve(1.0, 10, 1.0), curve(1.0, 100, 4.0), curve(0.1, 10, 6.0), curve(0.1, 100, 24.0)],
            costs: Costs { walk_ns: 100.0, scan_ns: 80.0, gather_ns: 120.0 },
            build_ms: 12_345,
        }
    }

    fn search(nodes: u64, allowed: u64) -> Search {
        Search {
            nodes,
            allowed,
            k: 10,
            asked: 10,
            share: 1.0,
            parts: 1,
            target: 0.95,
            ef: None,
            preference: Preference::Cheapest,
            hardness: 1.0,
        }
    }

    fn walk(choice: Choice) -> Walk {
        match choice {
            Choice::Walk(walk) => walk,
            Choice::Exact(why) => panic!("exact: {why:?}"),
        }
    }

    #[test]
    fn the_cheapest_way_is_taken() {
        let calibration = calibration();
        let all = walk(choose(&calibration, &search(100_000, 100_000)));
        assert!(all.ef > 16 && all.ef <= 32, "{all:?}");
        assert!(all.recall >= 0.95 && all.recall < 0.97, "{all:?}");
        // As much as the exact search costs: 100,000 rows of 80 ns at 100 ns a distance.
        assert_eq!(all.budget, 80_000);
        assert!(walk(choose(&calibration, &search(100_000, 50_000))).in_filter);
        assert_eq!(choose(&calibration, &search(100_000, 1_000)), Choice::Exact(Why::Cheaper));
        assert_eq!(choose(&calibration, &search(500, 500)), Choice::Exact(Why::Cheaper));
        assert_eq!(choose(&calibration, &search(0, 0)), Choice::Exact(Why::Cheaper));
    }

    #[test]
    fn filters_that_were_hard_are_searched_exactly() {
        let calibration = calibration();
        let easy = search(100_000, 20_000);
        let walked = walk(choose(&calibration, &easy));
        let hard = Search { hardness: 20.0, ..easy };
        assert_eq!(choose(&calibration, &hard), Choice::Exact(Why::Cheaper));
        let harder = walk(choose(&calibration, &Search { hardness: 1.5, ..easy }));
        assert_eq!((harder.ef, harder.expected_distances), (walked.ef, walked.expected_distances));
        let forced = |hardness| walk(choose(&calibration, &Search { ef: Some(100), hardness, ..easy })).budget;
        assert_eq!(forced(1.0), forced(64.0));
        assert!(harder.expected_ns > walked.expected_ns);
    }

    #[test]
    fn a_recall_that_was_never_reached_is_not_promised() {
        let high = Search { target: 0.999, ..search(100_000, 100_000) };
        assert_eq!(choose(&calibration(), &high), Choice::Exact(Why::Unreachable));
    }

    #[test]
    fn rows_are_trusted_less_than_queries() {
        let by_queries = walk(choose(&calibration(), &search(100_000, 100_000)));
        let by_rows = Calibration { source: Source::Rows, ..calibration() };
        let by_rows = walk(choose(&by_rows, &search(100_000, 100_000)));
        assert!(by_rows.recall > by_queries.recall + 0.01 && by_rows.ef > by_queries.ef, "{by_rows:?} {by_queries:?}");
    }

    #[test]
    fn parts_are_easier_than_the_whole() {
        let whole = walk(choose(&calibration(), &search(100_000, 100_000)));
        let part = Search { share: 1.0 / 16.0, asked: 4, parts: 16, ..search(100_000, 100_000) };
        let part = walk(choose(&calibration(), &part));
        assert!(part.ef < whole.ef && part.recall >= 0.95, "{part:?} {whole:?}");
    }

    #[test]
    fn what_the_caller_wants_is_done() {
        let given = Search { ef: Some(64), ..search(100_000, 100_000) };
        let given = walk(choose(&calibration(), &given));
        assert_eq!((given.ef, given.recall), (64, 0.98));
        let post = Search { preference: Preference::PostFilter, ..search(100_000, 50_000) };
        let post = walk(choose(&calibration(), &post));
        assert!(!post.in_filter && post.ef > 32, "{post:?}");
        let rare = Search { preference: Preference::InFilter, ..search(100_000, 100) };
        assert!(walk(choose(&calibration(), &rare)).in_filter);
    }

    #[test]
    fn effort_grows_with_k_and_falls_with_the_share() {
        let calibration = calibration();
        let of = |k, selectivity| calibration.effort(k, selectivity, 0.95, 1).unwrap();
        assert!(of(10, 1.0).distances < of(30, 1.0).distances);
        assert!(of(30, 1.0).distances < of(100, 1.0).distances);
        assert!(of(100, 1.0).distances < of(1000, 1.0).distances);
        assert!(of(10, 1.0).distances < of(10, 0.3).distances);
        assert!(of(10, 0.3).distances < of(10, 0.01).distances);
        assert_eq!(of(3, 1.0), of(10, 1.0));
    }

    #[test]
    fn shares_are_binomial_quantiles() {
        assert_eq!(share_of_k(10, 1.0, 0.01), 10);
        assert_eq!(share_of_k(10, 0.0, 0.01), 1);
        // B(10, 1/16): P(≤ 2) = 0.978, P(≤ 3) = 0.997.
        assert_eq!(share_of_k(10, 1.0 / 16.0, 0.03), 2);
        assert_eq!(share_of_k(10, 1.0 / 16.0, 0.01), 3);
        assert_eq!(share_of_k(100_000, 0.5, 0.01), 100_000);
        assert!((1..=10).contains(&share_of_k(10, 0.999, 0.01)));
    }

    #[test]
    fn calibrations_are_read_back_and_damage_is_refused() {
        let bytes = calibration().to_bytes();
        assert_eq!(Calibration::from_bytes(&bytes).unwrap(), calibration());
        for length in 0..bytes.len() {
            assert!(Calibration::from_bytes(&bytes[..length]).is_err());
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            // Read or refused; never a panic, and what is read can be reckoned with.
            if let Ok(read) = Calibration::from_bytes(&damaged) {
                choose(&read, &search(100_000, 10_000));
            }
        }
    }
}
