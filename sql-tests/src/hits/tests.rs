//! The rows are always the same, and both sides give the same answers.

use tokio::runtime::Runtime;

use super::data::{batch, generate};
use super::queries::{QUERIES, query};
use super::text::{phrase, skewed, url, word};
use crate::tpch::answer::Tolerance;
use crate::tpch::compare::Comparison;

#[test]
fn rows_are_always_the_same() {
    let once = batch(8192, 100, 10_000).expect("rows");
    assert_eq!(once, batch(8192, 100, 10_000).expect("rows"));
    assert_ne!(once, batch(0, 100, 10_000).expect("rows"));
    assert_eq!(once.num_columns(), 42);
}

#[test]
fn texts_are_distinct_and_skewed() {
    let words: std::collections::HashSet<String> = (0..5_000).map(word).collect();
    assert_eq!(words.len(), 5_000);
    assert_eq!(url(3, 4), url(3, 4));
    assert_ne!(url(3, 4), url(3, 5));
    assert!(!phrase(0).is_empty());
    assert_eq!((skewed(0.0, 10), skewed(0.999_999, 10), skewed(0.5, 0)), (0, 9, 0));
}

#[test]
fn volley_answers_as_plain_datafusion_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("threads");
    let file = generate(directory.path(), 30_000).expect("a file");
    let comparison = runtime.block_on(Comparison::of_files(directory.path(), vec![file])).expect("loads");
    for (index, sql) in QUERIES.iter().enumerate() {
        assert_eq!(query(index + 1), Some(*sql));
        let [volley, plain] = runtime.block_on(comparison.both(sql)).expect(sql);
        assert_eq!(volley.0.difference(&plain.0, Tolerance::ENGINES), None, "{sql}");
        assert!(!volley.0.0.is_empty(), "no rows: {sql}");
    }
    assert_eq!((query(0), query(QUERIES.len() + 1)), (None, None));
}
