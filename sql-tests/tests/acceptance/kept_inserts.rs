//! INSERTs of plain values: planned once for each shape, they write what they wrote when they were planned each time.

use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use volley::{QueryRequest, ResultKind, Session};

use super::engine::Db;

/// A table in which every cell goes through a conversion of its own.
const COLUMNS: &str = "i SMALLINT, b BIGINT NOT NULL DEFAULT 7, d DECIMAL(20, 3), f DOUBLE PRECISION, t TEXT, v vector(3), \
                       o BOOLEAN, day DATE, at TIMESTAMP, n INT DEFAULT 1 + 1";

/// What follows `INSERT INTO t`; some cannot be done.
const STATEMENTS: &[&str] = &[
    "VALUES (1, 2, 12345678901234567.891, 1.5, 'a', '[1,2,3]', true, '2026-01-02', '2026-01-02 03:04:05', 9)",
    "VALUES (-1, -2, -0.001, -1e3, 'it''s', [4, 5.5, -6], false, '1999-12-31', '1999-12-31', -9)",
    "VALUES (1.5, 2.5, 3, 4, 'b', NULL, NULL, NULL, NULL, NULL)",
    "VALUES ('12', '13', '14.5', '15.5', 'c', '[0,0,1]', 'true', '2020-02-29', '2020-02-29 12:00', '16')",
    "VALUES (NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "VALUES (1, 2), (3, 4), (NULL, 5)",
    "VALUES (1, 2), (3.5, 4)",
    "(b, t) VALUES (1, 'x'), (DEFAULT, 'y')",
    "(t, b) VALUES ('x', 1)",
    "(t, n) VALUES ('x', DEFAULT)",
    "(b) VALUES (9223372036854775807)",
    "VALUES (70000, 1)",
    "VALUES ('abc', 1)",
    "VALUES (1, NULL)",
    "VALUES (1, 2, 3, 4, 'a', '[1,2]')",
    "VALUES (1, 2, 3, 4, 'a', '[1,2,nan]')",
    "VALUES (1, 2, 3, 4, 'a', '[1,2,3]', true, '2026-02-30')",
    "(b) VALUES (9223372036854775808)",
    "(b, t) VALUES (1)",
    "(b, nothing) VALUES (1, 2)",
    "VALUES (1 + 1, 2)",
];

fn run(db: &Db, session: &Arc<Session>, sql: String, values: &[ScalarValue]) -> Result<u64, String> {
    let request = QueryRequest::new(sql, session).with_parameters(values.to_vec());
    let result = db.runtime.block_on(db.engine.execute(request)).map_err(|error| error.to_string())?;
    match result.kind {
        ResultKind::Affected(count) => Ok(count),
        other => Err(format!("{other:?}")),
    }
}

fn dump(db: &Db, table: &str) -> String {
    let rows = pretty_format_batches(&db.sql(&format!("SELECT * FROM {table}"))).expect("shown").to_string();
    let mut lines: Vec<_> = rows.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn plain_values_become_the_same_rows() {
    let db = Db::memory();
    let planning = db.engine.session();
    db.run(QueryRequest::new("SET volley.plan_cache = off", &planning)).expect("set");
    for table in ["kept", "planned"] {
        db.sql(&format!("CREATE TABLE {table} ({COLUMNS})"));
    }
    for statement in STATEMENTS {
        for round in 0..3 {
            let kept = run(&db, &db.session, format!("INSERT INTO kept {statement}"), &[]);
            let planned = run(&db, &planning, format!("INSERT INTO planned {statement}"), &[]);
            let planned = planned.map_err(|sentence| sentence.replace("planned", "kept"));
            assert_eq!(kept, planned, "{statement}, round {round}");
        }
    }
    let given = |number: i64| vec![ScalarValue::from(number), ScalarValue::from(format!("row {number}").as_str())];
    for number in [1, 2, i64::MIN] {
        for (statement, wanted) in [
            ("(b, t) VALUES ($1, $2)", Ok(1)),
            ("(b, t) VALUES ($1, 'plain'), (3, $2)", Ok(2)),
            ("(t, b) VALUES ($1, $1), ($2, $1)", Err(())),
            ("(b) VALUES ($1)", Err(())),
        ] {
            let kept = run(&db, &db.session, format!("INSERT INTO kept {statement}"), &given(number));
            let planned = run(&db, &planning, format!("INSERT INTO planned {statement}"), &given(number));
            assert_eq!(kept, planned, "{statement}");
            if let Ok(count) = wanted {
                assert_eq!(kept, Ok(count), "{statement}");
            }
        }
    }
    assert_eq!(dump(&db, "kept"), dump(&db, "planned"));
    // What the table looks like is part of what is kept.
    db.sql("DROP TABLE kept");
    db.sql("CREATE TABLE kept (i TEXT, b TEXT)");
    for _ in 0..2 {
        assert_eq!(run(&db, &db.session, "INSERT INTO kept VALUES (1, 2)".to_owned(), &[]), Ok(1));
    }
    assert_eq!(db.number("SELECT count(*) FROM kept WHERE i = '1' AND b = '2'"), 2);
}
