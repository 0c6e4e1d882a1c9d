//! Whether the right rows are found.

use super::*;

/// The mean share of the ten nearest rows that are found with this effort; rows as near as the tenth count.
pub(super) fn recall(index: &Index, queries: &Rows, ef: usize, allowed: Option<&RowSet>) -> f64 {
    let (queries, k) = (queries.matrix(), 10);
    let walk = Walk { k: ef, ef, allowed, ..Walk::default() };
    let walked = search(&index.view(), queries, &walk, &mut Scratch::new());
    let mut shares = 0.0;
    for (number, walked) in walked.iter().enumerate() {
        let query = queries.row(number);
        let hits = rescore(index.rows.matrix(), index.params.metric, query, &walked.hits, k, false, f32::INFINITY);
        let right = index.exact(query, k, allowed);
        let right = row_numbers(&right);
        assert!(hits.iter().all(|hit| allowed.is_none_or(|allowed| allowed.contains(hit.row as usize))));
        shares += hits.iter().filter(|hit| right.contains(&hit.row)).count() as f64 / k.min(right.len()) as f64;
    }
    shares / queries.rows() as f64
}

#[test]
fn finds_nearly_all_that_is_near_by_every_metric_and_code() {
    let (random, clustered) = (Rows::random(2000, 12, 1), Rows::clustered(2000, 30, 2));
    let (random_queries, clustered_queries) = (Rows::random(60, 12, 3), Rows::random(60, 30, 4));
    for metric in Metric::ALL {
        for quantizer in Quantizer::ALL {
            for (rows, queries) in [(&random, &random_queries), (&clustered, &clustered_queries)] {
                let index = Index::new(rows.clone(), params(metric, quantizer));
                let found = recall(&index, queries, 100, None);
                // Few rows are long here, and queries far from all of them: the inner product's worst case.
                let bound = if metric == Metric::InnerProduct && queries.dim == 30 { 0.85 } else { 0.97 };
                assert!(found > bound, "{metric} {quantizer}: {found}");
                let mut every_fifth = RowSet::new_empty(2000);
                (0..2000).step_by(5).for_each(|row| every_fifth.insert(row));
                let found = recall(&index, queries, 100, Some(&every_fifth));
                let bound = if metric == Metric::InnerProduct && queries.dim == 30 { 0.9 } else { 0.97 };
                assert!(found > bound, "{metric} {quantizer}, filtered: {found}");
            }
        }
    }
}

#[test]
fn thousands_of_equal_rows_hide_nothing() {
    for metric in Metric::ALL {
        for quantizer in Quantizer::ALL {
            let mut rows = Rows::random(4000, 8, 5);
            // Every other row is the same, and a cluster of its own is all but the same.
            for row in (0..4000).step_by(2) {
                rows.values.copy_within(0..8, row * 8);
            }
            for row in 3000..3400 {
                let start = row * 8;
                rows.values[start..start + 8].fill(0.5);
                rows.values[start] += row as f32 * 1e-6;
            }
            let index = Index::new(rows, params(metric, quantizer));
            assert!(index.facts.nodes() < 2300 && index.facts.indexed() == 4000);
            let found = recall(&index, &Rows::random(40, 8, 6), 80, None);
            assert!(found > 0.95, "{metric} {quantizer}: {found}");
            // Looking for the equal rows finds equal rows; allowing one of them finds that one.
            let query = index.rows.matrix().row(0);
            let same = index.walk(query, &Walk { k: 50, ..Walk::default() }).hits;
            assert_eq!(same.len(), 50);
            assert!(metric == Metric::InnerProduct || same.iter().all(|hit| hit.row % 2 == 0 && hit.row < 4000));
            let mut one = RowSet::new_empty(4000);
            one.insert(2468);
            assert_eq!(
                row_numbers(&index.walk(query, &Walk { allowed: Some(&one), ..Walk::default() }).hits),
                [2468].into()
            );
        }
    }
}

#[test]
fn several_threads_build_as_good_a_graph() {
    let rows = Rows::random(3000, 16, 7);
    let present = RowSet::new_full(3000);
    let index = Index::of_present(rows, present, params(Metric::L2, Quantizer::I8), 4);
    let found = recall(&index, &Rows::random(50, 16, 8), 100, None);
    assert!(found > 0.97, "{found}");
    let all = index.walk(&[0.0; 16], &Walk { k: 3000, ..Walk::default() });
    assert_eq!(row_numbers(&all.hits).len(), 3000);
}

/// Small rows of any shape: many copies, ties and zero vectors.
fn small() -> impl Strategy<Value = Rows> {
    let dim = prop_oneof![1usize..=64, 1usize..4];
    (dim, 0usize..150, any::<bool>()).prop_flat_map(|(dim, rows, copies)| {
        let value = if copies { (-1i8..2).prop_map(f32::from).boxed() } else { (-9.0f32..9.0).boxed() };
        prop::collection::vec(value, dim * rows).prop_map(move |values| Rows { dim, values })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn without_limits_every_allowed_row_is_found(
        rows in small(),
        (metric, quantizer) in (metric(), quantizer()),
        (m, ef_construction) in (2usize..20, 4usize..64),
        present: u64,
        allowed in prop::option::of(any::<u64>()),
        query_seed: u64,
        mode in prop::sample::select([FilterMode::In, FilterMode::Post].as_slice()),
    ) {
        let bits = |pattern: u64| {
            let mut set = RowSet::new_empty(rows.matrix().rows());
            set.insert_bits(0, [pattern, pattern.rotate_left(7), pattern.rotate_left(21)]);
            set
        };
        // Mostly all, sometimes a part, sometimes nothing.
        let mut here = rows.present(metric);
        if present % 3 == 0 {
            here.and(&bits(present / 3));
        }
        let index = Index::of_present(rows.clone(), here.clone(), HnswParams { metric, m, ef_construction, quantizer }, 1);
        let query = Rows::random(1, rows.dim, query_seed).values;
        let allowed = allowed.map(bits);
        let n = rows.matrix().rows();
        let walked = index.walk(&query, &Walk { k: n.max(1), ef: n, allowed: allowed.as_ref(), mode, ..Walk::default() });
        let exact = index.exact(&query, usize::MAX, allowed.as_ref());
        prop_assert!(!walked.exhausted && !walked.cancelled);
        prop_assert_eq!(row_numbers(&walked.hits), row_numbers(&exact));
        prop_assert!(walked.hits.is_sorted());
        prop_assert!(walked.distances >= walked.hops.min(1));
        if quantizer == Quantizer::F32 {
            prop_assert_eq!(&walked.hits, &exact);
        }
        for k in [1, 7] {
            let hits = rescore(rows.matrix(), metric, &query, &walked.hits, k, true, f32::NAN);
            prop_assert_eq!(hits, index.exact(&query, k, allowed.as_ref()));
        }
    }

    #[test]
    fn both_beams_walk_the_same_way(seed: u64, ef in 1usize..200, metric in metric(), quantizer in quantizer()) {
        let index = Index::new(Rows::random(400, 9, seed), params(metric, quantizer));
        let query = Rows::random(1, 9, !seed).values;
        let all = RowSet::new_full(400);
        let plain = index.walk(&query, &Walk { k: ef, ef, ..Walk::default() });
        let mut filtered = index.walk(&query, &Walk { k: ef, ef, allowed: Some(&all), ..Walk::default() });
        prop_assert!(filtered.filter_tests > 0);
        filtered.filter_tests = 0;
        prop_assert_eq!(plain, filtered);
    }
}

#[test]
fn a_batch_finds_what_its_queries_find() {
    let index = Index::new(Rows::clustered(1000, 20, 9), params(Metric::Cosine, Quantizer::I8));
    let other = Index::new(Rows::random(3000, 20, 9), params(Metric::L2, Quantizer::F16));
    let queries = Rows::random(300, 20, 10);
    let walk = Walk { k: 5, ef: 20, ..Walk::default() };
    let mut scratch = Scratch::new();
    let all = search(&index.view(), queries.matrix(), &walk, &mut scratch);
    // The scratch serves indexes of any size.
    search(&other.view(), queries.matrix(), &walk, &mut scratch);
    assert_eq!(search(&index.view(), queries.matrix(), &walk, &mut scratch), all);
    for (number, walked) in all.iter().enumerate() {
        assert_eq!(&index.walk(queries.matrix().row(number), &walk), walked);
    }
}

#[test]
fn queries_without_distances_find_nothing() {
    let index = Index::new(Rows::random(100, 4, 11), params(Metric::Cosine, Quantizer::I8));
    for query in [[0.0; 4], [f32::NAN; 4]] {
        assert_eq!(index.walk(&query, &Walk::default()).hits, []);
    }
}

#[test]
fn nothing_and_one_are_searched_like_any_other_number() {
    for metric in Metric::ALL {
        for quantizer in Quantizer::ALL {
            for rows in 0..4 {
                let values = vec![1.5; rows * 3];
                let index = Index::new(Rows { dim: 3, values }, params(metric, quantizer));
                for k in [0, 1, 2, 1000] {
                    for ef in [0, 1, 1000] {
                        let hits = index.walk(&[1.0, 1.0, 2.0], &Walk { k, ef, ..Walk::default() }).hits;
                        let expected: BTreeSet<u32> = (0..rows.min(k) as u32).collect();
                        assert_eq!(row_numbers(&hits), expected);
                    }
                }
            }
            let rows = Rows::random(50, 3, 12);
            let index = Index::of_present(rows, RowSet::new_empty(50), params(metric, quantizer), 3);
            assert_eq!(index.walk(&[1.0, 1.0, 2.0], &Walk::default()), Walked::default());
        }
    }
}

#[test]
fn rescoring_stops_early_and_finds_what_rescoring_everything_finds() {
    let (rows, queries) = (Rows::random(3000, 16, 5), Rows::random(40, 16, 6));
    for metric in Metric::ALL {
        for quantizer in Quantizer::ALL {
            let index = Index::new(rows.clone(), params(metric, quantizer));
            let walk = Walk { k: 400, ef: 400, ..Walk::default() };
            let walked = search(&index.view(), queries.matrix(), &walk, &mut Scratch::new());
            let mut computed = 0;
            for (number, Walked { hits, .. }) in walked.iter().enumerate() {
                let query = queries.matrix().row(number);
                for (k, ties) in [(1, false), (10, true), (60, false)] {
                    let rescore = Rescore { rows: rows.matrix(), metric, k, ties };
                    // Nothing is known of how far such candidates are.
                    let all: Vec<Hit> = hits.iter().map(|hit| Hit { distance: f32::NEG_INFINITY, ..*hit }).collect();
                    let expected = rescore.run(query, &all, f32::NAN, &mut CodeError::default());
                    let mut error = CodeError::default();
                    assert_eq!(rescore.run(query, hits, f32::NAN, &mut error), expected, "{metric} {quantizer} {k}");
                    computed += error.seen();
                    // With what is known now, and a floor, it is the same again.
                    let floor = expected[k / 2].distance;
                    let near: Vec<Hit> = expected.iter().copied().filter(|hit| hit.distance <= floor).collect();
                    assert_eq!(rescore.run(query, hits, floor, &mut error), near, "{metric} {quantizer} {k}");
                }
            }
            assert!(computed < 40 * 3 * 400 / 2, "{metric} {quantizer}: {computed} of {}", 40 * 3 * 400);
        }
    }
}
