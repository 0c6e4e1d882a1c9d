//! The same answers as of one process.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use volley_storage::ErrorKind;

use super::fixture::{Cluster, docs};
use crate::cluster::TaskKind;

/// A search, as anybody could ask it.
fn search(random: &mut impl Rng) -> String {
    let columns = ["id", "id, body", "id, e", "body, tenant, id", "id, e <-> '[1,2,3]' AS other"];
    let columns = columns[random.random_range(0..columns.len())];
    let metric = ["<->", "<=>", "<#>", "<+>"][random.random_range(0..4)];
    let (x, y, z) = (random.random_range(0..18), random.random_range(0..8), random.random_range(0..4));
    let distance = format!("e {metric} '[{x},{y},{z}.5]'");
    let filter = match random.random_range(0..7) {
        0 => "WHERE tenant = 2".to_owned(),
        1 => "WHERE body LIKE '%7'".to_owned(),
        2 => format!("WHERE id < {}", random.random_range(0..3000)),
        3 => "WHERE e IS NULL OR tenant = 1".to_owned(),
        4 => format!("WHERE {distance} < 4"),
        _ => String::new(),
    };
    let ties = ["", ", id", ", tenant DESC, id", ", body DESC"][random.random_range(0..4)];
    let k = [1, 3, 10, 10, 100, 2500][random.random_range(0..6)];
    format!("SELECT {columns} FROM docs {filter} ORDER BY {distance}{ties} LIMIT {k}")
}

const SCANS: [&str; 9] = [
    "SELECT * FROM docs WHERE id = 77",
    "SELECT body FROM docs WHERE id IN (3, 700, 1501, 2003) ORDER BY id",
    "SELECT tenant, count(*), sum(id), min(body), max(id) FROM docs GROUP BY tenant ORDER BY tenant NULLS FIRST",
    "SELECT count(*) FROM docs WHERE e IS NULL",
    "SELECT id * 2 AS twice, upper(body) FROM docs WHERE tenant = 3 ORDER BY id DESC LIMIT 7",
    "SELECT a.id, b.id FROM docs a JOIN docs b ON a.id = b.id + 1000 WHERE a.tenant = 1 ORDER BY 1 LIMIT 20",
    "SELECT count(*) FROM (SELECT id FROM docs WHERE tenant = 2 LIMIT 50)",
    "SELECT avg(e) FROM docs WHERE tenant = 4",
    "SELECT id FROM docs WHERE id = (SELECT max(id) FROM docs)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_one_process() {
    for executors in [1, 3] {
        let cluster = Cluster::start(executors).await;
        for sql in docs(4, 500) {
            cluster.run(&sql).await.unwrap();
        }
        let mut random = StdRng::seed_from_u64(executors as u64);
        for _ in 0..60 {
            cluster.check(&search(&mut random)).await;
        }
        // The same statements again run by templates.
        let again: Vec<String> = (0..5).map(|_| search(&mut random)).collect();
        for sql in again.iter().cycle().take(20) {
            cluster.check(sql).await;
        }
        for sql in SCANS {
            cluster.check(sql).await;
        }
        let ((_, searches), (_, scans)) = (cluster.counted(TaskKind::Search), cluster.counted(TaskKind::Scan));
        assert!(searches >= 80 && scans >= 9, "{searches} searches, {scans} scans");
        // An index makes answers approximate; there are as many rows, and the nearest are among them.
        cluster.run("CREATE INDEX by_l2 ON docs USING hnsw (e vector_l2_ops)").await.unwrap();
        let found =
            cluster.run("SELECT id, e <-> '[3,3,1]' AS d FROM docs ORDER BY e <-> '[3,3,1]', id LIMIT 10").await;
        assert_eq!(found.unwrap().lines().count(), 14);
        let shown = cluster.run("EXPLAIN ANALYZE SELECT id FROM docs ORDER BY e <-> '[3,3,1]' LIMIT 10").await.unwrap();
        assert!(shown.contains("nodes=[e"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_query_is_said_as_ever() {
    let cluster = Cluster::start(2).await;
    for sql in docs(2, 500) {
        cluster.run(&sql).await.unwrap();
    }
    for (sql, kind) in [
        ("SELECT 1 / (id - 7) FROM docs WHERE tenant = 2", ErrorKind::DivisionByZero),
        ("SELECT id FROM docs WHERE 1 / (id - 7) > 0 ORDER BY e <-> '[1,2,3]' LIMIT 3", ErrorKind::DivisionByZero),
        ("SELECT CAST(body AS INT) FROM docs WHERE id = 9", ErrorKind::InvalidText),
    ] {
        let (ours, alone) = (cluster.run(sql).await.unwrap_err(), cluster.run_alone(sql).await.unwrap_err());
        assert_eq!((ours.kind(), ours.to_string()), (kind, alone.to_string()), "{sql}");
    }
    // Nobody was blamed for it.
    assert_eq!(cluster.engine.members().unwrap().live().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_executors_the_coordinator_answers() {
    let cluster = Cluster::start(0).await;
    for sql in docs(2, 500) {
        cluster.run(&sql).await.unwrap();
    }
    cluster.check("SELECT id, body FROM docs ORDER BY e <-> '[1,2,3]', id LIMIT 10").await;
    cluster.check(SCANS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_do_not_grow_with_the_table() {
    let cluster = Cluster::start(1).await;
    let mut taken = Vec::new();
    for (table, rows) in [("small", 2_000), ("large", 40_000)] {
        let vector = "CAST(replace('[' || repeat((value % 97) || ',', 384) || ']', ',]', ']') AS VECTOR(384))";
        cluster.run(&format!("CREATE TABLE {table} (id BIGINT PRIMARY KEY, body TEXT, e VECTOR(384))")).await.unwrap();
        let fill = format!("INSERT INTO {table} SELECT value, 'a text', {vector} FROM generate_series(1, {rows})");
        cluster.run(&fill).await.unwrap();
        let query = vec!["5.5"; 384].join(",");
        let sql = format!("SELECT id, body FROM {table} ORDER BY e <-> '[{query}]' LIMIT 10");
        cluster.run(&sql).await.unwrap();
        let before = cluster.counted(TaskKind::Search);
        for _ in 0..10 {
            cluster.run(&sql).await.unwrap();
        }
        let after = cluster.counted(TaskKind::Search);
        assert_eq!(after.1 - before.1, 10);
        taken.push((after.0 - before.0) / 10);
    }
    // 4 KiB, and twice the rows: a number and a short text each.
    let row_bytes = 8 + 16;
    assert!(taken.iter().all(|bytes| *bytes <= 4096 + 2 * 10 * row_bytes), "{taken:?}");
    assert!(taken[1] as f64 <= taken[0] as f64 * 1.1, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_take_more_memory_than_there_is_are_read_by_the_coordinator() {
    let cluster = Cluster::start(1).await;
    // Small files, and more text than the coordinator has memory.
    let fill = "INSERT INTO wide SELECT value, repeat(chr(97 + value % 26), 5000) FROM generate_series(1, 60000)";
    for sql in ["CREATE TABLE wide (id BIGINT PRIMARY KEY, body TEXT)", fill] {
        cluster.run(sql).await.unwrap();
    }
    let sql = "SELECT sum(length(body) + n) FROM (SELECT body, row_number() OVER () AS n FROM wide)";
    cluster.check(sql).await;
    let shown = cluster.run(&format!("EXPLAIN ANALYZE {sql}")).await.unwrap();
    assert!(shown.contains("RemoteScanExec") && shown.contains("more memory than there is"), "{shown}");
}
