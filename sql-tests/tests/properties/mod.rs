//! Searches through SQL against brute force: the same query computed in plain Rust from the rows that were inserted.
//!
//! Vectors stand on a small grid, so that many distances are equal and the kernels' sums are exact: then even the order of
//! rows has to be the same, not only the distances. Rows come in by several commits, some folded to files; some are
//! deleted again; vectors can be NULL or zero.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use volley_scheduler::{DataLocation, Engine, EngineConfig, QueryRequest, Session};
use volley_sql_tests::cells;

/// Cases of one run; each makes a table and asks [`QUERIES`] questions.
const CASES: u32 = 60;
const QUERIES: usize = 6;

#[derive(Debug, Clone, Copy)]
enum Metric {
    L2,
    Cosine,
    InnerProduct,
    L1,
}

impl Metric {
    fn operator(self) -> &'static str {
        match self {
            Metric::L2 => "<->",
            Metric::Cosine => "<=>",
            Metric::InnerProduct => "<#>",
            Metric::L1 => "<+>",
        }
    }

    /// The definition, in 64-bit floats.
    fn distance(self, a: &[i8], b: &[i8]) -> Option<f64> {
        let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let dot: f64 = pairs().map(|(a, b)| a * b).sum();
        match self {
            Metric::L2 => Some(pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()),
            Metric::L1 => Some(pairs().map(|(a, b)| (a - b).abs()).sum()),
            Metric::InnerProduct => Some(-dot),
            Metric::Cosine => {
                let norms: f64 = pairs().map(|(a, _)| a * a).sum::<f64>() * pairs().map(|(_, b)| b * b).sum::<f64>();
                (norms > 0.0).then(|| 1.0 - dot / norms.sqrt())
            }
        }
    }
}

/// A row: its key is its position.
#[derive(Debug, Clone)]
struct Row {
    group: i32,
    vector: Option<Vec<i8>>,
}

/// A filter, in SQL and in Rust.
#[derive(Debug, Clone, Copy)]
enum Filter {
    None,
    Group(i32),
    Below(usize),
    GroupOrKey(i32, usize),
    Nothing,
    HasVector,
}

impl Filter {
    fn sql(self) -> String {
        match self {
            Filter::None => String::new(),
            Filter::Group(group) => format!("WHERE g = {group}"),
            Filter::Below(key) => format!("WHERE id < {key}"),
            Filter::GroupOrKey(group, key) => format!("WHERE g = {group} OR id % 7 = {}", key % 7),
            Filter::Nothing => "WHERE g > 1000".to_owned(),
            Filter::HasVector => "WHERE e IS NOT NULL".to_owned(),
        }
    }

    fn keeps(self, id: usize, row: &Row) -> bool {
        match self {
            Filter::None => true,
            Filter::Group(group) => row.group == group,
            Filter::Below(key) => id < key,
            Filter::GroupOrKey(group, key) => row.group == group || id % 7 == key % 7,
            Filter::Nothing => false,
            Filter::HasVector => row.vector.is_some(),
        }
    }
}

#[derive(Debug, Clone)]
struct Query {
    metric: Metric,
    vector: Vec<i8>,
    filter: Filter,
    k: usize,
    offset: usize,
    /// `ORDER BY distance, id DESC` instead of the order of insertion.
    younger_first: bool,
}

#[derive(Debug, Clone)]
struct Case {
    dim: usize,
    rows: Vec<Row>,
    commits: usize,
    fold_after: Option<usize>,
    deletes: Vec<Filter>,
    queries: Vec<Query>,
}

fn cases() -> impl Strategy<Value = Case> {
    let dims = prop_oneof![Just(1usize), Just(2), Just(3), Just(8), Just(17), Just(100)];
    (dims, 0usize..160, 1usize..33, proptest::option::of(2usize..8)).prop_flat_map(
        |(dim, rows, commits, fold_after)| {
            let vector = move || proptest::collection::vec(-2i8..3, dim);
            let some = prop_oneof![1 => Just(None), 1 => Just(Some(vec![0; dim])), 8 => vector().prop_map(Some)];
            let row = (0i32..4, some).prop_map(|(group, vector)| Row { group, vector });
            let metric =
                prop_oneof![Just(Metric::L2), Just(Metric::Cosine), Just(Metric::InnerProduct), Just(Metric::L1)];
            let query = (
                metric,
                vector(),
                filters(),
                0usize..40,
                prop_oneof![3 => Just(0usize), 1 => 0usize..30],
                any::<bool>(),
            )
                .prop_map(|(metric, vector, filter, k, offset, younger_first)| Query {
                    metric,
                    vector,
                    filter,
                    k,
                    offset,
                    younger_first,
                });
            (
                proptest::collection::vec(row, rows),
                proptest::collection::vec(filters(), 0..3),
                proptest::collection::vec(query, QUERIES),
            )
                .prop_map(move |(rows, deletes, queries)| Case {
                    dim,
                    rows,
                    commits,
                    fold_after,
                    deletes,
                    queries,
                })
        },
    )
}

fn filters() -> impl Strategy<Value = Filter> {
    prop_oneof![
        3 => Just(Filter::None),
        3 => (0i32..5).prop_map(Filter::Group),
        2 => (0usize..60).prop_map(Filter::Below),
        2 => (0i32..5, 0usize..7).prop_map(|(group, key)| Filter::GroupOrKey(group, key)),
        1 => Just(Filter::Nothing),
        1 => Just(Filter::HasVector),
    ]
}

struct Asked {
    runtime: tokio::runtime::Runtime,
    engine: Arc<Engine>,
    session: Arc<Session>,
}

impl Asked {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = EngineConfig { threads: Some(2), ..EngineConfig::new(DataLocation::Memory) };
        let engine = runtime.block_on(Engine::open(config)).unwrap();
        let session = engine.session();
        Self { runtime, engine, session }
    }

    fn run(&self, sql: &str) -> Vec<Vec<String>> {
        self.runtime.block_on(async {
            let result = self.engine.execute(QueryRequest::new(sql, &self.session)).await;
            let result = result.unwrap_or_else(|error| panic!("{error}: {sql}"));
            cells::rows(&result.collect().await.unwrap_or_else(|error| panic!("{error}: {sql}"))).unwrap()
        })
    }

    /// Makes the case's table.
    fn load(&self, case: &Case) {
        self.run("DROP TABLE IF EXISTS t");
        self.run(&format!("CREATE TABLE t (id INT PRIMARY KEY, g INT, e vector({}))", case.dim));
        let per_commit = case.rows.len().div_ceil(case.commits).max(1);
        for (commit, rows) in case.rows.chunks(per_commit).enumerate() {
            let rows = rows.iter().enumerate().map(|(offset, row)| {
                let vector = row.vector.as_ref().map_or("NULL".to_owned(), |vector| literal(vector));
                format!("({}, {}, {vector})", commit * per_commit + offset, row.group)
            });
            self.run(&format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", ")));
            if case.fold_after.is_some_and(|fold_after| commit % fold_after == fold_after - 1) {
                self.run("VACUUM t");
            }
        }
        for filter in &case.deletes {
            self.run(&format!("DELETE FROM t {}", filter.sql()));
        }
    }
}

fn literal(vector: &[i8]) -> String {
    format!("'[{}]'", vector.iter().map(i8::to_string).collect::<Vec<_>>().join(","))
}

/// Ids and distances, by brute force.
fn expected(case: &Case, query: &Query) -> Vec<(usize, Option<f64>)> {
    let live =
        case.rows.iter().enumerate().filter(|(id, row)| {
            query.filter.keeps(*id, row) && !case.deletes.iter().any(|delete| delete.keeps(*id, row))
        });
    let mut rows: Vec<_> = live
        .map(|(id, row)| (id, row.vector.as_ref().and_then(|vector| query.metric.distance(vector, &query.vector))))
        .collect();
    rows.sort_by(|a, b| {
        let distance = match (a.1, b.1) {
            // Equal on the grid means equal up to the last bits of a square root.
            (Some(a), Some(b)) if (a - b).abs() < 1e-9 => std::cmp::Ordering::Equal,
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        distance.then(if query.younger_first { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) })
    });
    rows.into_iter().skip(query.offset).take(query.k).collect()
}

fn check(asked: &Asked, case: &Case) -> Result<(), TestCaseError> {
    asked.load(case);
    for query in &case.queries {
        let (operator, vector) = (query.metric.operator(), literal(&query.vector));
        let tie = if query.younger_first { ", id DESC" } else { "" };
        let sql = format!(
            "SELECT id, e {operator} {vector} FROM t {} ORDER BY e {operator} {vector}{tie} LIMIT {} OFFSET {}",
            query.filter.sql(),
            query.k,
            query.offset
        );
        let expected = expected(case, query);
        for topk in ["on", "off"] {
            // Without the node, a plain sort breaks ties as it likes: only the statement's own order is compared.
            if topk == "off" && !query.younger_first {
                continue;
            }
            asked.run(&format!("SET volley.vector_topk = {topk}"));
            let rows = asked.run(&sql);
            prop_assert_eq!(rows.len(), expected.len(), "{} rows, vector_topk {}: {}", rows.len(), topk, sql);
            for (place, (row, (id, distance))) in rows.iter().zip(&expected).enumerate() {
                let found: Option<f64> = row[1].parse().ok();
                let near = match (found, distance) {
                    (Some(found), Some(distance)) => (found - distance).abs() <= 1e-5 * (1.0 + distance.abs()),
                    (found, distance) => found.is_none() && distance.is_none(),
                };
                prop_assert!(
                    near,
                    "distance {:?}, not {:?} at {}, vector_topk {}: {}",
                    row[1],
                    distance,
                    place,
                    topk,
                    sql
                );
                // The cosine's rounding may tell apart what is equal; there the distances decide alone.
                if !matches!(query.metric, Metric::Cosine) {
                    prop_assert_eq!(&row[0], &id.to_string(), "at {}, vector_topk {}: {}", place, topk, &sql);
                }
            }
        }
        asked.run("RESET volley.vector_topk");
    }
    Ok(())
}

#[test]
fn the_nearest_rows_are_those_that_brute_force_finds() {
    let asked = Asked::new();
    let cases_wanted = std::env::var("VOLLEY_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    let config = Config { cases: cases_wanted, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new(config);
    if let Err(failure) = runner.run(&cases(), |case| check(&asked, &case)) {
        panic!("{failure}");
    }
}
