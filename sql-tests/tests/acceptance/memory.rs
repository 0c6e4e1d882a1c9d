//! Queries that need more memory than `volley.memory_limit` spill, or fail with a sentence that says so.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use volley::{DataLocation, EngineConfig, ErrorKind};

use super::engine::Db;

const ROWS: i64 = 600_000;
const LIMIT: usize = 48 << 20;

/// A directory with a table several times as large as the limit, opened with the limit.
fn limited(directory: &std::path::Path) -> Db {
    let location = DataLocation::Local(directory.join("data"));
    let loading = Db::open(EngineConfig::new(location.clone()));
    loading.sql("CREATE TABLE big (id BIGINT NOT NULL, body TEXT NOT NULL)");
    let body = "repeat(md5(value::text), 5)";
    loading.sql(&format!("INSERT INTO big SELECT value, {body} FROM generate_series(1, {ROWS})"));
    drop(loading);
    Db::open(EngineConfig { memory_limit: Some(LIMIT), ..EngineConfig::new(location) })
}

#[test]
fn what_does_not_fit_spills_or_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = limited(directory.path());

    // A sort spills. It sorts numbers: texts that share buffers count with the whole buffers each.
    let sort =
        "SELECT (a.id * 7919 + value * 31) % 1000003 AS k, a.id, value FROM big a, generate_series(1, 3) ORDER BY k";
    let sorted = db.sql(sort);
    assert_eq!(sorted.iter().map(|batch| batch.num_rows() as i64).sum::<i64>(), 3 * ROWS);
    let keys = sorted.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter());
    assert!(keys.is_sorted());
    drop(sorted);
    assert!(spills(&db, sort));

    // So does an aggregation with many groups.
    let groups = "SELECT count(*), sum(n) FROM (SELECT body, count(*) AS n FROM big GROUP BY body)";
    assert_eq!(db.number(groups), ROWS);

    // One value that does not fit cannot be spilled.
    let error = db.refused("SELECT length(string_agg(body, '')), count(DISTINCT body || 'x') FROM big");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains("volley.memory_limit"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");

    let (held, peak, limit) = db.engine.memory();
    println!("held {held}, peak {peak}, limit {limit}");
    assert_eq!(limit, LIMIT);
    assert!(peak <= LIMIT + LIMIT / 2, "peak {peak}");

    // After all that the engine is as it was.
    assert_eq!(db.number("SELECT count(*) FROM big WHERE id <= 10"), 10);
    let more = "SET volley.memory_limit = '4GB'";
    db.sql(more);
    assert_eq!(db.number("SELECT count(DISTINCT body || 'x') FROM big"), ROWS);
    assert_eq!(db.engine.memory().2, 4 << 30);
}

/// Whether EXPLAIN ANALYZE reports a spill.
fn spills(db: &Db, sql: &str) -> bool {
    let batches = db.sql(&format!("EXPLAIN ANALYZE {sql}"));
    let plan = arrow::util::pretty::pretty_format_batches(&batches).expect("text").to_string();
    let counts = plan.split("spill_count=").skip(1);
    let mut counts = counts.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok());
    counts.any(|count| count > 0)
}
