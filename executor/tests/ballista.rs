//! Volley's nodes inside Ballista: the spike that decided the scan node, kept as a test.
//!
//! One scheduler and one executor run in this process; plans travel between them as bytes, each stage is sliced into
//! tasks by file group, and every answer is compared with the same query in plain DataFusion. What is at stake is rows:
//! a leaf that Ballista cannot slice gives every row once per task (see `docs/DECISIONS.md`).

mod cluster;
mod tables;

use datafusion::prelude::SessionContext;

use cluster::Cluster;
use tables::Tables;

/// What Ballista is asked; the order of each answer is defined.
const QUERIES: &[&str] = &[
    // Every live row once.
    "SELECT id, name, price, flag FROM t ORDER BY id",
    "SELECT count(*), count(name), sum(price), min(name), max(id) FROM t WHERE id % 3 <> 1",
    "SELECT count(*) FROM t",
    // An exchange between the scan and its consumer.
    "SELECT id % 7 AS bucket, count(*), count(DISTINCT name), avg(price) FROM t GROUP BY 1 ORDER BY 1",
    "SELECT count(*), sum(a.price) FROM t a JOIN t b ON a.id = b.id WHERE b.flag",
    // A filter that rules segments out, and a limit.
    "SELECT id, name FROM t WHERE id BETWEEN 2995 AND 3010 ORDER BY id LIMIT 7",
    // The search: a unary node over the scan, merged in order; then with a filter and a join above it.
    "SELECT * FROM nearest ORDER BY __distance, _rowid LIMIT 10",
    "SELECT n._rowid, n.__distance, t.name FROM nearest n JOIN t ON t.id = n._rowid \
     ORDER BY n.__distance, n._rowid LIMIT 10",
    // The winners' columns, read above the merge.
    "SELECT id, name, __distance FROM winners ORDER BY __distance, id",
];

async fn rows(context: &SessionContext, sql: &str) -> String {
    let answer = async { context.sql(sql).await?.collect().await };
    match answer.await {
        Ok(batches) => datafusion::arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_row_is_lost_or_doubled() {
    let tables = Tables::new().await;
    // Plain DataFusion is the oracle below; the rows themselves are its.
    let all = rows(&tables.context(3), "SELECT id FROM t ORDER BY id").await;
    let ids = all.lines().filter_map(|line| line.trim_matches(['|', ' ']).parse::<u64>().ok());
    assert!(ids.eq(tables.live_ids()));

    let cluster = Cluster::start(&tables).await;
    let mut wrong = Vec::new();
    for sql in QUERIES {
        let expected = rows(&tables.context(1), sql).await;
        for adaptive in [false, true] {
            for (partitions, per_task) in [(1, 1), (3, 1), (8, 1), (8, 3)] {
                let answer = rows(&cluster.context(&tables, adaptive, partitions, per_task), sql).await;
                if answer != expected {
                    let case = format!("adaptive={adaptive} partitions={partitions} per task={per_task}");
                    wrong.push(format!("{case}\n{sql}\n{answer}\nexpected\n{expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers, the first: {}", wrong.len(), wrong[0]);
}
