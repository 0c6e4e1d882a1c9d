//! Executors that die, hang or answer nonsense in the middle of a query.

use std::time::{Duration, Instant};

use super::fixture::{Cluster, docs};
use super::proxy::Fault;
use crate::cluster::TaskKind;

const SEARCH: &str = "SELECT id, body, e FROM docs ORDER BY e <-> '[1,2,3]', id LIMIT 50";
const SCAN: &str = "SELECT tenant, count(*), sum(id), max(body) FROM docs GROUP BY tenant ORDER BY tenant";

async fn filled() -> Cluster {
    let cluster = Cluster::start(3).await;
    for sql in docs(6, 400) {
        cluster.run(&sql).await.unwrap();
    }
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_fails_in_the_middle_changes_no_answer() {
    let cluster = filled().await;
    for fault in [Fault::Break, Fault::Garbage, Fault::Silence] {
        cluster.until(|cluster| cluster.engine.members().unwrap().live().len() == 3).await;
        for sql in [SEARCH, SCAN] {
            cluster.check(sql).await;
        }
        cluster.proxies[0].set(fault);
        let begun = Instant::now();
        for _ in 0..5 {
            cluster.check(SEARCH).await;
            cluster.check(SCAN).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{fault:?} took {:?}", begun.elapsed());
        cluster.proxies[0].set(Fault::None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_executor_gone_the_coordinator_answers() {
    let cluster = filled().await;
    cluster.check(SEARCH).await;
    cluster.proxies.iter().for_each(|proxy| proxy.set(Fault::Break));
    let begun = Instant::now();
    cluster.check(SEARCH).await;
    cluster.check(SCAN).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_executor_is_hedged_and_rarely() {
    let cluster = filled().await;
    for _ in 0..200 {
        cluster.run(SEARCH).await.unwrap();
    }
    let (_, before) = cluster.counted(TaskKind::Search);
    cluster.proxies[0].set(Fault::Silence);
    let begun = Instant::now();
    cluster.check(SEARCH).await;
    // Somebody else was asked before anybody could know that nothing will come.
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
    cluster.proxies[0].set(Fault::None);
    let hedges: u64 = cluster
        .engine
        .members()
        .unwrap()
        .live()
        .iter()
        .map(|member| member.counters().of(TaskKind::Search).counted().hedges)
        .sum();
    assert!(hedges >= 1 && hedges as f64 <= before as f64 * 0.05 + 10.0, "{hedges} of {before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_nobody_waits_for_stops_at_the_executors() {
    let mut cluster = Cluster::start(1).await;
    for sql in docs(24, 300) {
        cluster.run(&sql).await.unwrap();
    }
    // Half a second or so for each of 24 segments.
    let sql = "SELECT id FROM docs WHERE levenshtein(repeat(body, 60), repeat(reverse(body), 60)) > 3 \
               ORDER BY e <-> '[1,2,3]' LIMIT 3";
    let waited = tokio::time::timeout(Duration::from_millis(200), cluster.run(sql)).await;
    assert!(waited.is_err(), "the query is too short for this test");
    let (executor, _engine) = cluster.executors.remove(0);
    let begun = Instant::now();
    // Waits for what still runs.
    executor.shutdown(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
