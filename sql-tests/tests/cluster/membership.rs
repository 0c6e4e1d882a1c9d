//! Who belongs to the cluster, as processes: strangers, doubles, those who leave, and coordinators that follow each other.

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use volley_sql_tests::cluster::{Cluster, ClusterOptions};
use volley_sql_tests::topology::Connection;

use super::{cluster, rows, run, runtime};

/// What should happen at all happens within this.
const SOON: Duration = Duration::from_secs(40);

/// A column of text.
async fn texts(client: &mut Box<dyn Connection>, sql: &str) -> Vec<String> {
    let answer = run(client, &[sql]).await;
    let mut texts = Vec::new();
    for batch in &answer.batches {
        let column = cast(batch.column(0), &DataType::Utf8).expect("text");
        texts.extend(column.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()));
    }
    texts
}

/// Waits until a query gives these texts.
async fn wait_for(client: &mut Box<dyn Connection>, sql: &str, wanted: &[&str]) {
    let began = Instant::now();
    loop {
        let seen = texts(client, sql).await;
        if seen == wanted {
            return;
        }
        assert!(began.elapsed() < SOON, "{sql}: {seen:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a node's log has a text.
async fn wait_for_log(log: impl Fn() -> String, part: &str) {
    let began = Instant::now();
    while !log().contains(part) {
        assert!(began.elapsed() < SOON, "\"{part}\" is not in the log:\n{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const LIVE: &str = "SELECT name FROM volley.executors WHERE state = 'live' ORDER BY name";

#[test]
fn executors_come_and_go() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.expect("a client");
        run(&mut client, &["CREATE TABLE t (id BIGINT NOT NULL)"]).await;
        // A segment for each statement, so that there are shards to deal out.
        for at in 0..12 {
            run(
                &mut client,
                &[&format!("INSERT INTO t SELECT value FROM generate_series({at} * 5000, {at} * 5000 + 4999)")],
            )
            .await;
        }
        let owners =
            "SELECT shard, count(*), count(DISTINCT executor) FROM volley.placements GROUP BY shard ORDER BY 1";
        let began = Instant::now();
        loop {
            let shards = rows(&mut client, "SELECT count(DISTINCT shard) FROM volley.segments").await;
            let owned = rows(&mut client, owners).await;
            let ready = rows(&mut client, "SELECT count(*) FROM volley.placements WHERE ready").await;
            if owned.len() as i64 == shards[0][0] && ready[0][0] == 2 * shards[0][0] {
                assert!(owned.iter().all(|row| row[1..] == [2, 2]), "two owners each: {owned:?}");
                break;
            }
            assert!(began.elapsed() < SOON, "{shards:?} {owned:?} {ready:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let of_e2 = "SELECT shard FROM volley.placements WHERE executor = 'e2' ORDER BY shard";
        let before = texts(&mut client, of_e2).await;

        // One that is told to end leaves at once, and loses nothing of what it does.
        cluster.executors[1].terminate();
        wait_for(&mut client, "SELECT name FROM volley.executors ORDER BY name", &["e1", "e3"]).await;
        cluster.executors[1].wait();
        assert!(cluster.executors[1].log().contains("stopped"), "{}", cluster.executors[1].log());
        assert_eq!(rows(&mut client, "SELECT count(*), sum(id) FROM t").await, [[60_000, 59_999 * 30_000]]);

        // It comes back under its name and has its shards again.
        cluster.executors[1].start();
        wait_for(&mut client, LIVE, &["e1", "e2", "e3"]).await;
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        wait_for(&mut client, of_e2, &before).await;

        // Killed and started again before anybody has missed it, it takes its own place.
        cluster.executors[2].kill();
        cluster.executors[2].start();
        let id = "SELECT id FROM volley.executors WHERE name = 'e3'";
        let old = texts(&mut client, id).await;
        let began = Instant::now();
        loop {
            let live = texts(&mut client, LIVE).await;
            if live == ["e1", "e2", "e3"] && texts(&mut client, id).await != old {
                break;
            }
            assert!(began.elapsed() < SOON, "{live:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rows(&mut client, "SELECT count(*), sum(id) FROM t").await, [[60_000, 59_999 * 30_000]]);
        cluster.stop();
    });
}

#[test]
fn strangers_and_doubles_are_refused_by_name() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.expect("a client");
        let stranger = directory.path().join("stranger.secret");
        std::fs::write(&stranger, "the secret of quite another cluster, as long").expect("written");
        let stranger = stranger.display().to_string();
        let executor = cluster.another_executor("stranger", &["--cluster-secret-file", &stranger]).expect("ports");
        executor.start();
        wait_for_log(|| executor.log(), "the caller does not know its secret").await;
        wait_for_log(|| cluster.coordinator.log(), "a call to the internal port was refused").await;

        let double = cluster.another_executor("double", &["--name", "e1"]).expect("ports");
        double.start();
        wait_for_log(|| double.log(), "is named e1 already").await;
        wait_for_log(|| cluster.coordinator.log(), "two executors have the same name").await;
        assert_eq!(texts(&mut client, LIVE).await, ["e1", "e2", "e3"]);

        // When the first one is gone, the second may have its name.
        cluster.executors[0].kill();
        let address = "SELECT address FROM volley.executors WHERE name = 'e1' AND state = 'live'";
        let began = Instant::now();
        loop {
            let live = texts(&mut client, address).await;
            if double.log().contains("gives this executor work") && live.len() == 1 {
                break;
            }
            assert!(began.elapsed() < SOON, "{live:?}\n{}", double.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cluster.stop();
    });
}

#[test]
fn a_coordinator_follows_the_one_that_is_gone() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = ClusterOptions::below(directory.path());
        options.executors = 1;
        options.arguments = ["--threads", "2", "--log-level", "info"].map(str::to_owned).to_vec();
        let cluster = Cluster::start(&options).await.unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(
            cluster.coordinator.log().contains("this coordinator is the active one"),
            "{}",
            cluster.coordinator.log()
        );
        let mut client = cluster.connect().await.expect("a client");
        run(&mut client, &["CREATE TABLE t (id BIGINT NOT NULL)", "INSERT INTO t VALUES (1), (2)"]).await;

        // A second one stands by, and serves reads and writes all the same.
        let (second, address) = cluster.another_coordinator("second").expect("ports");
        second.start();
        wait_for_log(|| second.log(), "another coordinator is active").await;
        let began = Instant::now();
        let mut other = loop {
            match volley_sql_tests::cluster::connect(&address).await {
                Ok(client) => break client,
                Err(refusal) => assert!(began.elapsed() < SOON, "{refusal}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        run(&mut other, &["INSERT INTO t VALUES (3)"]).await;
        assert_eq!(rows(&mut client, "SELECT count(*) FROM t").await, [[3]]);

        cluster.coordinator.kill();
        wait_for_log(|| second.log(), "this coordinator is the active one").await;
        run(&mut other, &["INSERT INTO t VALUES (4)"]).await;
        // The first one comes back and finds that it has been followed.
        cluster.coordinator.start();
        cluster.wait_for_door().await.expect("it answers");
        wait_for_log(|| cluster.coordinator.log(), "another coordinator is active").await;
        wait_for(&mut cluster.connect().await.expect("a client"), LIVE, &["e1"]).await;
        cluster.stop();
    });
}
