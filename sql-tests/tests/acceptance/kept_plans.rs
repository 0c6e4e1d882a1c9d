//! Templates: which statements share one, what EXPLAIN says of it, and that every answer is that of a statement planned anew,
//! whatever was committed in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::ScalarValue;
use volley::{QueryRequest, Session};
use volley_scheduler::Opened;

use super::engine::Db;
use super::repeated::{table, text, vector, vector_value};

/// The columns of an answer; whether one may be NULL is not compared.
fn columns(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<ArrayRef> {
    concat_batches(schema, batches).expect("one schema").columns().to_vec()
}

/// The answer in one session.
fn ask(db: &Db, session: &Arc<Session>, sql: &str, values: &[ScalarValue]) -> Result<Vec<ArrayRef>, String> {
    let request = QueryRequest::new(sql, session).with_parameters(values.to_vec());
    let asked = async {
        let result = db.engine.execute(request).await?;
        let schema = Arc::clone(&result.schema);
        Ok::<_, volley::Error>(columns(&schema, &result.collect().await?))
    };
    db.runtime.block_on(asked).map_err(|error| error.to_string())
}

/// The same by the way that Flight SQL takes.
fn open(db: &Db, sql: &str, values: &[ScalarValue]) -> Vec<ArrayRef> {
    let request = db.request(sql).with_parameters(values.to_vec());
    db.runtime.block_on(async {
        let batches = match db.engine.open_query(request).await.expect("opens") {
            Opened::Done(result) => result.collect().await.expect("found"),
            Opened::Query(query) => {
                let stream = query.read().await.expect("reads");
                datafusion::physical_plan::common::collect(stream).await.expect("found")
            }
        };
        columns(&batches[0].schema(), &batches)
    })
}

/// A session that plans every statement, and searches so thoroughly that no neighbour is missed.
fn planning(db: &Db) -> Arc<Session> {
    let session = db.engine.session();
    for (session, sql) in [
        (&session, "SET volley.plan_cache = off"),
        (&session, "SET hnsw.ef_search = 1000"),
        (&db.session, "SET hnsw.ef_search = 1000"),
    ] {
        db.run(QueryRequest::new(sql, session)).expect("set");
    }
    session
}

fn templates(db: &Db) -> i64 {
    db.number("SELECT count(*) FROM volley.plan_cache")
}

#[test]
fn literals_beside_parameters_share_a_template() {
    let db = table();
    let planning = planning(&db);
    let bound = "SELECT id, tenant FROM t WHERE tenant < $2 AND id > $3 ORDER BY v <-> $1 LIMIT 5";
    for number in 0..40i64 {
        let (tenant, id) = (number % 6 + 1, number * 31);
        let sql = format!("SELECT id, tenant FROM t WHERE tenant < {tenant} AND id > {id} ORDER BY v <-> $1 LIMIT 5");
        let given = [vector_value(50_000 + number as u64)];
        let wanted = ask(&db, &planning, bound, &[&given[..], &[tenant.into(), id.into()]].concat());
        // Asked again it need not be read again, and with another vector neither.
        for _ in 0..3 {
            assert_eq!(ask(&db, &db.session, &sql, &given), wanted, "{sql}");
        }
        assert_eq!(open(&db, &sql, &given), wanted.expect("found"), "{sql}");
        let given = [vector_value(60_000 + number as u64)];
        let wanted = ask(&db, &planning, bound, &[&given[..], &[tenant.into(), id.into()]].concat());
        assert_eq!(ask(&db, &db.session, &sql, &given), wanted, "{sql}");
    }
    assert_eq!(templates(&db), 1);
    assert_eq!(db.number("SELECT parameters FROM volley.plan_cache"), 3);
    assert!(db.number("SELECT uses FROM volley.plan_cache") >= 5 * 40 - 2);
}

#[test]
fn literals_beside_parameters_change_nothing_else() {
    let db = table();
    let planning = planning(&db);
    let near = || vector_value(70_000);
    for (sql, values) in [
        // Too few and too many values, a gap, a NULL, what is no vector, and what is no number.
        ("SELECT id FROM t WHERE tenant < 3 ORDER BY v <-> $1 LIMIT 5", vec![]),
        ("SELECT id FROM t WHERE tenant < 3 ORDER BY v <-> $1 LIMIT 5", vec![near(), 1i64.into()]),
        ("SELECT id FROM t WHERE tenant < 3 AND id > $3 ORDER BY v <-> $1 LIMIT 5", vec![near(), 1i64.into()]),
        ("SELECT id FROM t WHERE tenant < 3 AND id > $3 ORDER BY v <-> $1 LIMIT 5", vec![near(), 1.into(), 2.into()]),
        ("SELECT id FROM t WHERE tenant < 3 ORDER BY v <-> $1, id LIMIT 5", vec![ScalarValue::Utf8(None)]),
        ("SELECT id FROM t WHERE tenant < 3 ORDER BY v <-> $1 LIMIT 5", vec!["[1,2]".into()]),
        ("SELECT id FROM t WHERE tenant < 'x' ORDER BY v <-> $1 LIMIT 5", vec![near()]),
        // Parameters that mean something else beside it.
        (
            "SELECT id, $2 AS a FROM t WHERE tenant = 4 ORDER BY v <-> $1 LIMIT $3",
            vec![near(), 4i64.into(), 2i64.into()],
        ),
        (
            "SELECT id, $2 AS a FROM t WHERE tenant = 4 ORDER BY v <-> $1 LIMIT $3",
            vec![near(), 4i64.into(), 3i64.into()],
        ),
        ("SELECT id, v <-> $1 FROM t WHERE tenant = 4 ORDER BY 2 LIMIT 3", vec![near()]),
        ("SELECT id FROM t WHERE v <-> $1 < 1 AND tenant > 4 ORDER BY v <-> $1 LIMIT 3", vec![near()]),
        ("SELECT id FROM t WHERE id > 2000 AND tenant = $1 ORDER BY v <-> $2 LIMIT 3", vec![1i64.into(), near()]),
    ] {
        let wanted = ask(&db, &planning, sql, &values);
        for _ in 0..4 {
            assert_eq!(ask(&db, &db.session, sql, &values), wanted, "{sql} {values:?}");
        }
    }
}

#[test]
fn explain_names_the_template() {
    let db = table();
    let note = "the plan is kept: volley.plan_cache has it as ";
    let sql = |tenant: i32| {
        format!("SELECT id FROM t WHERE tenant = {tenant} ORDER BY v <-> '{}' LIMIT 3", text(&vector(tenant as u64)))
    };
    let kept = format!("{note}SELECT id FROM t WHERE tenant = $2 ORDER BY l2_distance(v, $1) LIMIT 3");
    for tenant in 0..2 {
        assert!(!db.plan(&sql(tenant)).contains(note));
        db.sql(&sql(tenant));
    }
    assert!(db.plan(&sql(5)).contains(&kept), "{}", db.plan(&sql(5)));
    assert!(db.plan(&format!("ANALYZE {}", sql(5))).contains(&kept));
    // Explaining is not asking.
    assert_eq!(db.number("SELECT uses FROM volley.plan_cache"), 1);
    // As a client wrote it.
    let written = "SELECT id FROM t  ORDER BY v <=> $1 LIMIT 3";
    let explained = || {
        let request = db.request(&format!("EXPLAIN {written}")).with_parameters(vec![vector_value(1)]);
        let plan = db.run(request).expect("explained");
        arrow::util::pretty::pretty_format_batches(&plan).expect("text").to_string()
    };
    assert!(!explained().contains(note));
    for seed in 0..2 {
        ask(&db, &db.session, written, &[vector_value(seed)]).expect("found");
    }
    assert!(explained().contains(&format!("{note}{written}")), "{}", explained());
    // Of an earlier version, until it is asked again; and of other settings.
    db.sql("DELETE FROM t WHERE id = 1");
    assert!(!db.plan(&sql(5)).contains(note));
    db.sql(&sql(5));
    assert!(db.plan(&sql(5)).contains(&kept));
    db.sql("SET volley.recall_target = 0.8");
    assert!(!db.plan(&sql(5)).contains(note));
    db.sql("RESET volley.recall_target");
    assert!(db.plan(&sql(5)).contains(&kept));
    db.sql("SET volley.plan_cache = off");
    assert!(!db.plan(&sql(5)).contains(note));
}

#[test]
fn every_commit_is_seen_as_if_planned_anew() {
    let db = table();
    let planning = planning(&db);
    let near = |seed: u64| text(&vector(80_000 + seed));
    let statements = [
        "SELECT id, tenant FROM t ORDER BY v <-> $1 LIMIT 5",
        "SELECT id FROM t WHERE tenant = $2 ORDER BY v <-> $1 LIMIT 5",
        "SELECT id, v <=> $1 AS d FROM t WHERE id > 5000 ORDER BY d, id LIMIT 4",
        "SELECT id + 1 AS next FROM t WHERE id BETWEEN 100 AND 4000 ORDER BY v <-> $1 LIMIT 3 OFFSET 2",
        "SELECT n FROM (SELECT id AS n, v FROM t WHERE tenant IN (1, 2)) AS s ORDER BY v <-> $1 LIMIT $2",
        "SELECT id FROM (SELECT id, tenant FROM t ORDER BY v <-> $1 LIMIT 9) AS s LIMIT 4",
        "SELECT count(*) FROM t WHERE tenant = $2 AND v <-> $1 < 0.9",
    ];
    let inserted = |from: usize, count: usize| {
        let rows = (from..from + count).map(|row| format!("({row}, {}, '{}')", row % 7, text(&vector(row as u64))));
        format!("INSERT INTO t VALUES {}", rows.collect::<Vec<_>>().join(", "))
    };
    let commits = [
        inserted(10_000, 3),
        "DELETE FROM t WHERE id % 3 = 1".to_owned(),
        inserted(20_000, 2000),
        "DELETE FROM t WHERE id >= 20000".to_owned(),
        "CREATE TABLE other (id BIGINT)".to_owned(),
        "CREATE INDEX second ON t USING hnsw (v vector_l2_ops)".to_owned(),
        inserted(30_000, 500),
        "DROP INDEX second".to_owned(),
        "DELETE FROM t".to_owned(),
        inserted(0, 700),
        "VACUUM t".to_owned(),
        "DELETE FROM t WHERE tenant <> 3".to_owned(),
        "DROP TABLE t; CREATE TABLE t (tenant BIGINT, id BIGINT, v vector(8))".to_owned(),
        "INSERT INTO t SELECT n % 4, n, ARRAY[n, 1, 2, 3, 4, 5, 6, 7] FROM generate_series(1, 90) AS s (n)".to_owned(),
    ];
    for (round, commit) in std::iter::once(String::new()).chain(commits).enumerate() {
        for sql in commit.split(';').filter(|sql| !sql.is_empty()) {
            db.sql(sql);
        }
        for sql in statements {
            for seed in 0..3 {
                let values = [vector_value(80_000 + seed), ScalarValue::from(1 + seed as i64)];
                let values = &values[..if sql.contains("$2") { 2 } else { 1 }];
                let wanted = ask(&db, &planning, sql, values);
                assert_eq!(ask(&db, &db.session, sql, values), wanted, "{sql} after {round}: {commit:.60}");
                // The same in literals only, where LIMIT is one too.
                let written = sql.replace("$1", &format!("'{}'", near(seed))).replace("$2", &(1 + seed).to_string());
                assert_eq!(ask(&db, &db.session, &written, &[]), wanted, "{written} after {round}: {commit:.60}");
            }
        }
    }
    assert!(templates(&db) > 4);
}

#[test]
fn a_reader_beside_a_writer_sees_every_commit() {
    const COMMITS: i64 = 60;
    let db = table();
    let query = vector(90_000);
    let (begun, done) = (AtomicI64::new(0), AtomicI64::new(0));
    // Each row is nearer than the one before.
    let row = |number: i64| {
        let mut vector = query.clone();
        vector[0] += 1e-3 / number as f32;
        format!("INSERT INTO t VALUES ({}, 3, '{}')", 1_000_000 + number, text(&vector))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = db.engine.session();
            for number in 1..=COMMITS {
                begun.store(number, Ordering::SeqCst);
                let request = QueryRequest::new(row(number), &session);
                let written = async { db.engine.execute(request).await?.collect().await };
                db.runtime.block_on(written).expect("written");
                done.store(number, Ordering::SeqCst);
            }
        });
        for reader in 0..2 {
            let (db, query, begun, done) = (&db, &query, &begun, &done);
            scope.spawn(move || {
                let session = db.engine.session();
                let order = ["exact(v <-> $1)", "v <-> $1"][reader];
                let sql = format!("SELECT id FROM t WHERE tenant = 3 ORDER BY {order} LIMIT 1");
                while done.load(Ordering::SeqCst) < COMMITS {
                    let least = done.load(Ordering::SeqCst);
                    let found = ask(db, &session, &sql, &[text(query).as_str().into()]).expect("found");
                    let found = found[0].as_primitive::<Int64Type>().value(0) - 1_000_000;
                    let most = begun.load(Ordering::SeqCst);
                    assert!(least == 0 || (least..=most).contains(&found), "{least} <= {found} <= {most}");
                }
            });
        }
    });
}
