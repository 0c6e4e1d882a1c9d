//! Large writes and index builds are done by executors, and come to what one process would have made.

use std::time::{Duration, Instant};

use super::{cluster, is_retryable, numbers, rows, run, runtime};
use volley_sql_tests::topology::Connection;

/// Calls of a task that executors were given.
async fn calls(client: &mut Box<dyn Connection>, task: &str) -> i64 {
    let sql = format!("SELECT coalesce(sum(calls), 0) FROM volley.executor_calls WHERE task = '{task}'");
    rows(client, &sql).await[0][0]
}

#[test]
fn large_writes_are_staged_on_executors_and_committed_once() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.unwrap();
        run(&mut client, &[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, body TEXT NOT NULL)",
            "INSERT INTO t SELECT value, 'small ' || value FROM generate_series(1, 100)",
        ])
        .await;
        assert_eq!(calls(&mut client, "stage").await, 0, "a small write is not worth another process");
        // Two segments and a piece of a third.
        run(&mut client, &["INSERT INTO t SELECT value, 'row ' || value FROM generate_series(1001, 2300000)"]).await;
        assert!(calls(&mut client, "stage").await >= 3);
        let all = [vec![2_299_100, 1 + 2_299_099, (1..=100).sum::<i64>() + (1001..=2_300_000).sum::<i64>()]];
        let query = "SELECT count(*), count(DISTINCT id), sum(id) FROM t WHERE body = (CASE WHEN id <= 100 THEN 'small ' ELSE 'row ' END) || id";
        assert_eq!(rows(&mut client, query).await, all);
        let segments = "SELECT count(*) FROM volley.segments WHERE table_name = 't' AND rows > 100";
        assert_eq!(rows(&mut client, segments).await, [[3]], "as many as one process makes");
        let history = "SELECT count(*) FROM volley.snapshots WHERE table_name = 't' AND operation = 'INSERT'";
        assert_eq!(rows(&mut client, history).await, [[2]]);
        // Keys that are there already, and keys that come twice in different segments of one statement.
        for series in ["generate_series(2299999, 2310000)", "(SELECT value FROM generate_series(3000001, 4200000) UNION ALL SELECT 4199999)"] {
            let sql = format!("INSERT INTO t SELECT value, 'x' FROM {series}");
            let refusal = client.run(&sql).await.unwrap_err();
            assert_eq!(refusal.sqlstate, "23505", "{refusal}");
        }
        assert_eq!(rows(&mut client, query).await, all);
        // Errors of rows are told as one process tells them.
        let refusal = client.run("INSERT INTO t SELECT value + 5000000, NULL FROM generate_series(1, 9000)").await;
        assert_eq!(refusal.unwrap_err().sqlstate, "23502");
        run(&mut client, &["DELETE FROM t WHERE id % 2 = 0"]).await;
        let odd = "SELECT count(*), count(*) FILTER (WHERE id % 2 = 0) FROM t";
        assert_eq!(rows(&mut client, odd).await, [[1_149_550, 0]]);
        cluster.stop();
    });
}

#[test]
fn indexes_are_built_by_executors() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.unwrap();
        run(&mut client, &["CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(8))", "SET volley.auto_index = off"]).await;
        let vector = "[random(), random(), random(), random(), random(), random(), random(), random()]";
        for part in 0..6 {
            let (first, last) = (part * 5000 + 1, (part + 1) * 5000);
            let sql = format!("INSERT INTO t SELECT value, {vector}::vector(8) FROM generate_series({first}, {last})");
            run(&mut client, &[&sql]).await;
        }
        run(&mut client, &["CREATE INDEX i ON t USING hnsw (v vector_l2_ops)"]).await;
        assert_eq!(calls(&mut client, "build_index").await, 6);
        let covered = "SELECT indexed_segments FROM volley.vector_indexes WHERE index_name = 'i'";
        assert_eq!(rows(&mut client, covered).await, [[6]]);
        run(&mut client, &["ANALYZE t"]).await;
        assert_eq!(calls(&mut client, "calibrate").await, 6);
        run(&mut client, &["REINDEX INDEX i"]).await;
        let nearest = "SELECT id FROM t ORDER BY v <-> '[0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5]' LIMIT 20";
        let by_index = rows(&mut client, nearest).await;
        run(&mut client, &["SET volley.recall_target = 1.0"]).await;
        let exact = rows(&mut client, nearest).await;
        let found = exact.iter().filter(|row| by_index.contains(row)).count();
        assert!(by_index.len() == 20 && found >= 17, "{found} of 20");
        // In the background as well, unless the session that writes wants none of that.
        let more = |first: i64| {
            let last = first + 4999;
            format!("INSERT INTO t SELECT value, {vector}::vector(8) FROM generate_series({first}, {last})")
        };
        run(&mut client, &[&more(100_001)]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(rows(&mut client, covered).await, [[6]]);
        run(&mut client, &["SET volley.auto_index = on", &more(200_001)]).await;
        let begun = Instant::now();
        while rows(&mut client, covered).await != [[8]] {
            assert!(begun.elapsed() < Duration::from_secs(30), "new segments are not indexed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster.stop();
    });
}

#[test]
fn an_index_is_built_although_executors_die_and_hang() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.unwrap();
        run(&mut client, &["CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(16))", "SET volley.auto_index = off"])
            .await;
        let vector = format!("'[' || {} || ']'", ["random()"; 16].join(" || ',' || "));
        for part in 0..6 {
            let (first, last) = (part * 8000 + 1, (part + 1) * 8000);
            let sql =
                format!("INSERT INTO t SELECT value, ({vector})::vector(16) FROM generate_series({first}, {last})");
            run(&mut client, &[&sql]).await;
        }
        let building = async { client.run("CREATE INDEX i ON t USING hnsw (v vector_l2_ops)").await };
        let striking = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.executors[0].kill();
            cluster.executors[1].pause();
        };
        let (built, ()) = tokio::join!(building, striking);
        built.unwrap_or_else(|refusal| panic!("{refusal}"));
        let covered = "SELECT indexed_segments FROM volley.vector_indexes WHERE index_name = 'i'";
        assert_eq!(rows(&mut client, covered).await, [[6]]);
        cluster.executors[1].resume();
        cluster.stop();
    });
}

#[test]
fn an_executor_that_dies_while_it_writes_leaves_nothing_half_done() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.unwrap();
        run(&mut client, &["CREATE TABLE t (id BIGINT PRIMARY KEY, body TEXT)"]).await;
        let mut present = 0;
        for attempt in 0..6_i64 {
            let (first, last) = (attempt * 1_000_000 + 1, attempt * 1_000_000 + 400_000);
            let sql = format!("INSERT INTO t SELECT value, 'row ' || value FROM generate_series({first}, {last})");
            let writing = async { client.run(&sql).await };
            let victim = &cluster.executors[attempt as usize % 3];
            let killing = async {
                tokio::time::sleep(Duration::from_millis(40 * attempt as u64)).await;
                victim.kill();
            };
            let (written, ()) = tokio::join!(writing, killing);
            match written {
                Ok(_) => present += 400_000,
                Err(refusal) => assert!(is_retryable(&refusal), "{refusal} ({})", refusal.sqlstate),
            }
            let answer = run(&mut client, &["SELECT count(*) FROM t"]).await;
            assert_eq!(numbers(&answer.batches), [[present]], "after attempt {attempt}");
            victim.start();
            cluster.wait_for_executors(3).await.unwrap();
        }
        assert!(present >= 4 * 400_000, "most of them find another executor");
        cluster.stop();
    });
}
