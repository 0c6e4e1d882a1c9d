//! Files as they must not be.

use std::env;

use super::*;

/// Indexes of every kind, small ones, so that a random mutation hits something that matters.
fn indexes() -> Vec<Index> {
    let mut all = Vec::new();
    for (number, (metric, quantizer)) in
        Metric::ALL.into_iter().flat_map(|metric| Quantizer::ALL.map(|quantizer| (metric, quantizer))).enumerate()
    {
        let mut rows = Rows::random(70, 5, number as u64);
        rows.values.copy_within(0..15, 30);
        rows.values[100..105].fill(0.0);
        let mut present = rows.present(metric);
        present.remove(66);
        let params = HnswParams { metric, m: 2 + number % 4, ef_construction: 8, quantizer };
        all.push(Index::of_present(rows, present, params, 1));
    }
    all
}

/// Changes some bytes; now and then in units of numbers, to values that matter, or cuts and appends.
fn mutate(bytes: &mut Vec<u8>, random: &mut StdRng) {
    for _ in 0..random.random_range(1..4) {
        let len = bytes.len();
        match random.random_range(0..10) {
            0 => bytes[random.random_range(0..len.min(128))] ^= 1 << random.random_range(0..8),
            1..4 => bytes[random.random_range(0..len)] ^= 1 << random.random_range(0..8),
            4 => bytes[random.random_range(0..len)] = random.random(),
            5..8 => {
                // Behind the codes there are numbers only; before them is the header.
                let word = random.random_range(0..len / 4) * 4;
                let value = match random.random_range(0..6) {
                    0 => u32::MAX,
                    1 => random.random(),
                    2 => 0,
                    _ => random.random_range(0..80),
                };
                bytes[word..word + 4].copy_from_slice(&value.to_le_bytes());
            }
            8 => {
                let (from, to) = (random.random_range(0..len / 4) * 4, random.random_range(0..len / 4) * 4);
                let part = (len - from.max(to)).min(random.random_range(4..64));
                bytes.copy_within(from..from + part, to);
            }
            _ => bytes.resize((len + random.random_range(0..128)).saturating_sub(64).max(128), random.random()),
        }
    }
}

/// `VOLLEY_MUTATIONS=1000000 cargo test --release -p volley-index mutated` for a long run; `VOLLEY_SEED` for another one.
#[test]
fn mutated_files_are_refused_or_searched_without_harm() {
    let number = |name: &str, default: u64| env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
    let (mutations, mut random) = (number("VOLLEY_MUTATIONS", 40_000), StdRng::seed_from_u64(number("VOLLEY_SEED", 1)));
    let (indexes, mut scratch) = (indexes(), Scratch::new());
    let mut even = RowSet::new_empty(70);
    (0..70).step_by(2).for_each(|row| even.insert(row));
    let (mut accepted, mut bytes) = (0, Vec::new());
    for _ in 0..mutations {
        let index = &indexes[random.random_range(0..indexes.len())];
        bytes.clone_from(&index.bytes);
        mutate(&mut bytes, &mut random);
        // A file need not be mapped at a page, nor lie at a multiple of anything.
        bytes.insert(0, 0);
        let Ok(facts) = validate(&bytes[1..]) else { continue };
        // The header may now speak of another shape than the rows have.
        let Ok(view) = HnswView::new(&bytes[1..], &facts, index.rows.matrix()) else { continue };
        accepted += 1;
        let query = Rows::random(1, 5, random.random());
        for (k, ef, allowed) in [(5, 10, None), (70, 70, Some(&even)), (600, 600, None)] {
            let walk = Walk { k, ef, allowed, ..Walk::default() };
            let walked = search(&view, query.matrix(), &walk, &mut scratch).remove(0);
            // Every node is expanded once at most, and no row found twice or out of nowhere.
            assert!(walked.hops <= 70 && walked.hits.len() <= k);
            assert_eq!(row_numbers(&walked.hits).len(), walked.hits.len());
            assert!(walked.hits.iter().all(|hit| hit.row < 70 && !hit.distance.is_nan()));
            assert!(walked.hits.is_sorted());
            rescore(index.rows.matrix(), index.params.metric, &query.values, &walked.hits, k, true, f32::NAN);
        }
    }
    assert!(accepted > mutations / 50, "{accepted} of {mutations} were accepted: too few to mean anything");
}

/// The number at a byte of the header, and another in its place.
fn with(bytes: &[u8], at: usize, value: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let mut rows = Rows::random(300, 5, 30);
    rows.values.copy_within(0..5, 50);
    let index = Index::new(rows, HnswParams { m: 4, ..params(Metric::L2, Quantizer::I8) });
    let good = &index.bytes;
    let refused = |bytes: &[u8]| validate(bytes).unwrap_err();
    assert!(matches!(refused(&[]), Malformed::TooShort { len: 0 }));
    assert!(matches!(refused(&good[..100]), Malformed::TooShort { len: 100 }));
    assert!(matches!(refused(&[1; 200]), Malformed::Foreign));
    assert!(matches!(refused(&with(good, 8, 2)), Malformed::UnknownVersion { version: 2, known: 1 }));
    assert!(matches!(refused(&good[..good.len() - 1]), Malformed::WrongLength { .. }));
    assert!(matches!(refused(&[good.as_slice(), &[0]].concat()), Malformed::WrongLength { .. }));
    assert!(matches!(refused(&with(good, 12, 9)), Malformed::Header { field: "metric", value: 9 }));
    assert!(matches!(refused(&with(good, 12, 9 << 8)), Malformed::Header { field: "quantizer", value: 9 }));
    assert!(matches!(refused(&with(good, 12, 2 << 8 | 1 << 16)), Malformed::Header { field: "m", value: 1 }));
    assert!(matches!(refused(&with(good, 16, 0)), Malformed::Codes(_)));
    assert!(matches!(refused(&with(good, 20, u32::MAX)), Malformed::WrongLength { .. }));
    assert!(matches!(refused(&with(good, 24, 298)), Malformed::NodeCount { .. }));
    assert!(matches!(refused(&with(good, 28, 300)), Malformed::EntryPoint { row: 300 }));
    assert!(matches!(refused(&with(good, 32, 63)), Malformed::EntryPoint { .. }));
    assert!(matches!(refused(&with(good, 36, 1)), Malformed::Header { field: "ef_construction", value: 1 }));
    assert!(matches!(refused(&with(good, 56, 3)), Malformed::Codes(_)));
    let header = layout::Header::read(good).unwrap();
    let sections = header.sections().unwrap();
    let number = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().unwrap());
    assert_ne!(number(sections.links.start), layout::NONE);
    for link in [0, 10, 300, u32::MAX - 1] {
        // To itself, to a copy, to no row.
        assert!(matches!(refused(&with(good, sections.links.start, link)), Malformed::Link { row: 0, level: 0 }));
    }
    // A hole in the list.
    assert!(matches!(refused(&with(good, sections.links.start, layout::NONE)), Malformed::Link { row: 0, level: 0 }));
    let copy = sections.links.start + 10 * layout::link_stride(header.m);
    assert!(matches!(refused(&with(good, copy, 5)), Malformed::NoNode { row: 10 }));
    let (first, second) = (number(sections.upper_rows.start), number(sections.upper_rows.start + 4));
    assert!(matches!(refused(&with(good, sections.upper_rows.start, second)), Malformed::UpperLevels { .. }));
    assert!(matches!(refused(&with(good, sections.upper_first.start, 1)), Malformed::UpperLevels { .. }));
    assert!(matches!(refused(&with(good, sections.upper_first.start + 4, 0)), Malformed::UpperLevels { index: 0 }));
    for link in [0, header.upper_nodes] {
        let error = refused(&with(good, sections.upper_links.start, link));
        assert!(matches!(error, Malformed::Link { row, level: 1 } if row == first));
    }
    assert_eq!((number(sections.copied.start), number(sections.copies.start)), (0, 10));
    for copy in [0, 11, 300] {
        assert!(matches!(refused(&with(good, sections.copies.start, copy)), Malformed::Copies { index: 0 }));
    }
    let other = Rows::random(300, 6, 31);
    assert!(matches!(HnswView::new(good, &index.facts, other.matrix()), Err(Malformed::OtherRows { dim: 6, .. })));
    assert!(matches!(HnswView::new(&good[1..], &index.facts, other.matrix()), Err(Malformed::WrongLength { .. })));
}
