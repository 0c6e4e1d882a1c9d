//! Statements that are asked again and again: several rows of parameters at once, and executions so short that the caller's
//! own thread runs them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use volley::{ErrorKind, QueryRequest};

use super::engine::Db;

const DIM: usize = 8;
const ROWS: usize = 3000;

/// A table of vectors in three segments and in many tenants, with an index.
pub(super) fn table() -> Db {
    let db = Db::memory();
    db.sql(&format!("CREATE TABLE t (id BIGINT, tenant INTEGER, v vector({DIM}))"));
    for part in 0..3 {
        let rows = (0..ROWS).filter(|row| row % 3 == part);
        let rows = rows.map(|row| format!("({row}, {}, '{}')", row % 7, text(&vector(row as u64))));
        db.sql(&format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", ")));
    }
    db.sql("CREATE INDEX ON t USING hnsw (v vector_l2_ops)");
    db
}

/// Components between −1 and 1, the same ones every time.
pub(super) fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..DIM).map(|_| next()).collect()
}

pub(super) fn text(vector: &[f32]) -> String {
    format!("[{}]", vector.iter().map(f32::to_string).collect::<Vec<_>>().join(","))
}

pub(super) fn vector_value(seed: u64) -> ScalarValue {
    ScalarValue::from(text(&vector(seed)))
}

/// One at a time, each as one batch.
fn one_by_one(db: &Db, sql: &str, rows: &[Vec<ScalarValue>]) -> Vec<RecordBatch> {
    let one = |row: &Vec<ScalarValue>| {
        let request = db.request(sql).with_parameters(row.clone());
        let result = db.runtime.block_on(db.engine.execute(request)).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let schema = Arc::clone(&result.schema);
        let batches = db.runtime.block_on(result.collect()).unwrap_or_else(|error| panic!("{error}\n{sql}"));
        concat_batches(&schema, &batches).expect("one schema")
    };
    rows.iter().map(one).collect()
}

#[test]
fn several_rows_of_parameters_are_answered_as_one_by_one() {
    let db = table();
    let vectors = |extra: &dyn Fn(u64) -> Vec<ScalarValue>| -> Vec<Vec<ScalarValue>> {
        let row = |seed: u64| [vec![vector_value(10_000 + seed)], extra(seed)].concat();
        (0..150).map(row).collect()
    };
    let alone = vectors(&|_| Vec::new());
    let with_null: Vec<Vec<ScalarValue>> = alone[..70]
        .iter()
        .enumerate()
        .map(|(number, row)| if number % 20 == 5 { vec![ScalarValue::Utf8(None)] } else { row.clone() })
        .collect();
    let cases = [
        ("SELECT id FROM t ORDER BY v <-> $1 LIMIT 10", alone.clone()),
        ("SELECT id, tenant, v <-> $1 AS d FROM t ORDER BY d, id LIMIT 3", alone.clone()),
        ("SELECT id FROM t ORDER BY v <-> $1 LIMIT 5 OFFSET 2", alone.clone()),
        ("SELECT id FROM t ORDER BY exact(v <-> $1) LIMIT 10", alone.clone()),
        ("SELECT id FROM t ORDER BY v <=> $1 LIMIT 10", alone.clone()),
        ("SELECT id FROM t WHERE tenant = 3 ORDER BY v <-> $1 LIMIT 10", alone.clone()),
        ("SELECT id FROM t WHERE tenant > 100 ORDER BY v <-> $1 LIMIT 10", alone.clone()),
        ("SELECT id FROM t WHERE tenant = $2 ORDER BY v <-> $1 LIMIT 4", vectors(&|_| vec![4.into()])),
        ("SELECT id FROM t WHERE tenant = $2 ORDER BY v <-> $1 LIMIT 4", vectors(&|n| vec![(n as i32 % 9).into()])),
        ("SELECT id, $2 AS x FROM t ORDER BY v <-> $1 LIMIT 2", vectors(&|n| vec![(n as i64).into()])),
        ("SELECT id FROM t ORDER BY v <-> $1 LIMIT $2", vectors(&|n| vec![(n as i64 % 3).into()])),
        ("SELECT id FROM t ORDER BY v <-> $1 LIMIT 10", with_null),
        ("SELECT count(*) FROM t WHERE v <-> $1 < 0.5", alone[..5].to_vec()),
        ("SELECT id FROM t WHERE v <-> $1 < 0.7 ORDER BY v <-> $1 LIMIT 10", alone.clone()),
        ("SELECT id FROM t ORDER BY v <-> $1 LIMIT 1000", alone[..40].to_vec()),
    ];
    for (sql, rows) in cases {
        let wanted = one_by_one(&db, sql, &rows);
        for _ in 0..2 {
            let request = db.request(sql).with_parameter_rows(rows.clone());
            let found = db.run(request).unwrap_or_else(|error| panic!("{error}\n{sql}"));
            assert_eq!(found.len(), rows.len(), "{sql}");
            for (number, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                assert_eq!(found.columns(), wanted.columns(), "{sql}, row {number}");
            }
        }
    }
}

#[test]
fn answers_may_differ_in_what_is_null_but_not_in_types() {
    let db = table();
    let run = |sql: &str, rows: Vec<Vec<ScalarValue>>| db.run(db.request(sql).with_parameter_rows(rows));
    let sql = "SELECT id, $2::text AS x FROM t ORDER BY v <-> $1 LIMIT 1";
    let found = run(sql, vec![vec![vector_value(1), "a".into()], vec![vector_value(2), ScalarValue::Utf8(None)]]);
    let found = found.expect("found");
    assert_eq!((found[0].column(1).null_count(), found[1].column(1).null_count()), (0, 1));
    let sql = "SELECT id, $2 AS x FROM t ORDER BY v <-> $1 LIMIT 1";
    let error = run(sql, vec![vec![vector_value(1), "a".into()], vec![vector_value(2), 1i64.into()]]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatatypeMismatch);
}

#[test]
fn deep_expressions_do_not_run_on_small_stacks() {
    let db = table();
    let sum = vec!["id"; 900].join(" + ");
    let sql = format!("SELECT abs({sum}) AS x FROM t ORDER BY v <-> $1 LIMIT 1");
    let ask = || {
        let request = QueryRequest::new(&sql, &db.session).with_parameters(vec![vector_value(5)]);
        futures::executor::block_on(async { db.engine.execute(request).await?.collect().await }).expect("found")
    };
    let ask_often = || (0..12).for_each(|_| assert_eq!(ask()[0].num_rows(), 1));
    std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask_often);
        small.expect("a thread").join().expect("no overflow");
    });
}

#[test]
fn searches_whose_callers_turn_away_hold_nobody_up() {
    let db = table();
    let sql = "SELECT id FROM t ORDER BY v <-> $1 LIMIT 10";
    let request = |seed| QueryRequest::new(sql, &db.session).with_parameters(vec![vector_value(seed)]);
    (0..10).for_each(|seed| drop(db.run(request(seed)).expect("found")));
    db.runtime.block_on(async {
        let mut begun: Vec<_> = (0..50).map(|seed| db.engine.execute(request(seed))).collect();
        // Each is begun and then left alone.
        for search in &mut begun {
            let _ = futures::poll!(search);
        }
        for seed in 0..50 {
            db.engine.execute(request(seed)).await.expect("found").collect().await.expect("found");
        }
    });
}

#[test]
fn inserts_of_constants_are_those_of_queries() {
    let db = Db::memory();
    db.sql("CREATE TABLE c (a INTEGER DEFAULT 7, b TEXT DEFAULT coalesce(NULL, 'x'), d DATE, e NUMERIC(10, 3), v vector(2))");
    db.sql(
        "INSERT INTO c VALUES (1, 'p', '2026-01-02', 1.5, '[1, 2]'), (DEFAULT, DEFAULT, NULL, 12345.678, ARRAY[3, 4])",
    );
    db.sql("INSERT INTO c SELECT * FROM (VALUES (1, 'p', '2026-01-02'::date, 1.5, '[1, 2]'::vector(2))) AS q");
    db.sql("INSERT INTO c (b) VALUES (coalesce(NULL, 'y')), (NULL)");
    db.sql("INSERT INTO c (a, d) VALUES (CAST('5' AS INTEGER), now()::date)");
    assert_eq!(db.number("SELECT count(*) FROM c WHERE a = 1 AND b = 'p' AND e = 1.5 AND v <-> '[1,2]' = 0"), 2);
    assert_eq!(db.number("SELECT count(*) FROM c WHERE a = 7"), 3);
    assert_eq!(db.number("SELECT count(*) FROM c WHERE b = 'x'"), 2);
    assert_eq!(db.number("SELECT count(*) FROM c WHERE e = 12345.678 AND d IS NULL"), 1);
    assert_eq!(db.number("SELECT count(*) FROM c WHERE d = now()::date"), 1);
    let error = db.refused("INSERT INTO c (a) VALUES ('five')");
    assert_eq!(error.kind().sqlstate(), "22P02", "{error}");
}

#[test]
fn rows_of_parameters_that_cannot_be_are_refused() {
    let db = table();
    let run = |sql: &str, rows: Vec<Vec<ScalarValue>>| db.run(db.request(sql).with_parameter_rows(rows));
    let query = "SELECT id FROM t ORDER BY v <-> $1 LIMIT 10";
    assert_eq!(run(query, Vec::new()).unwrap_err().kind(), ErrorKind::InvalidStatement);
    let ragged = vec![vec![vector_value(1)], vec![vector_value(1), 1.into()]];
    assert!(run(query, ragged).is_err());
    let create = "CREATE TABLE other AS SELECT $1 AS id";
    let error = run(create, vec![vec![1i64.into()], vec![2i64.into()]]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // All rows or none, also where one is of another type.
    let insert = "INSERT INTO t (id) VALUES ($1)";
    assert!(run(insert, vec![vec![1i64.into()], vec!["one".into()]]).is_err());
    assert_eq!(db.number("SELECT count(*) FROM t"), ROWS as i64);
    // A vector of another length, after many that fit.
    let mut rows: Vec<Vec<ScalarValue>> = (0..80).map(|seed| vec![vector_value(seed)]).collect();
    rows.push(vec![ScalarValue::from("[1, 2]")]);
    assert!(run(query, rows).is_err());
}

#[test]
fn short_executions_see_every_commit_and_can_be_cancelled() {
    let db = table();
    let sql = "SELECT id FROM t ORDER BY v <-> $1 LIMIT 1";
    let ask = || {
        let found = db.run(db.request(sql).with_parameters(vec![vector_value(77_777)])).expect("found");
        found[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    let first = ask();
    for _ in 0..10 {
        assert_eq!(ask(), first);
    }
    db.sql(&format!("INSERT INTO t VALUES (-1, 0, '{}')", text(&vector(77_777))));
    for _ in 0..10 {
        assert_eq!(ask(), -1);
    }
    db.sql("DELETE FROM t WHERE id = -1");
    assert_eq!(ask(), first);
    let request = db.request(sql).with_parameters(vec![vector_value(1)]);
    request.cancel.cancel();
    assert_eq!(db.run(request).unwrap_err().kind(), ErrorKind::Cancelled);
    db.sql("DROP TABLE t");
    let gone = db.run(db.request(sql).with_parameters(vec![vector_value(1)])).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::UndefinedTable);
}

#[test]
fn short_executions_need_no_runtime_of_their_own() {
    let db = table();
    let sql = "SELECT id FROM t ORDER BY v <-> $1 LIMIT 10";
    let request = || QueryRequest::new(sql, &db.session).with_parameters(vec![vector_value(5)]);
    let wanted = db.run(request()).expect("found");
    for _ in 0..20 {
        let found = futures::executor::block_on(async { db.engine.execute(request()).await?.collect().await });
        assert_eq!(found.expect("found"), wanted);
    }
}
