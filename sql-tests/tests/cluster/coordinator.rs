//! The coordinator, killed at any moment while it writes, loses nothing that it acknowledged and does nothing twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use volley_sql_tests::cluster::Cluster;
use volley_sql_tests::program::command;

use super::{cluster, rows, run, runtime, setting};

/// A coordinator that is started again answers within this.
const BACK_MAX: Duration = Duration::from_secs(10);

/// What became of a batch of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    /// There was no answer: all of it is there, or nothing.
    Open,
}

#[derive(Debug, Default)]
struct Seen {
    kills: u64,
    acknowledged: usize,
    open_and_there: usize,
    open_and_gone: usize,
    slowest_return: Duration,
}

#[test]
fn a_killed_coordinator_loses_nothing_and_repeats_nothing() {
    let kills = setting("VOLLEY_COORDINATOR_KILLS", 5);
    let mut rng = StdRng::seed_from_u64(setting("VOLLEY_SEED", 1));
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = cluster(&directory).await;
        let mut client = cluster.connect().await.unwrap();
        run(&mut client, &["CREATE TABLE t (id BIGINT NOT NULL, batch BIGINT NOT NULL)"]).await;
        let mut batches: BTreeMap<i64, (i64, Fate)> = BTreeMap::new();
        let mut seen = Seen::default();
        while seen.kills < kills {
            if rng.random_bool(0.5) {
                // Otherwise it mostly writes by itself, before they have come back.
                cluster.wait_for_executors(3).await.unwrap();
            }
            write_until_killed(&cluster, &mut batches, &mut rng).await;
            seen.kills += 1;
            let begun = Instant::now();
            cluster.coordinator.start();
            cluster.wait_for_door().await.unwrap();
            seen.slowest_return = seen.slowest_return.max(begun.elapsed());
            compare(&cluster, &mut batches, &mut seen).await;
        }
        seen.acknowledged = batches.values().filter(|(_, fate)| *fate == Fate::Acknowledged).count();
        println!("{seen:#?}");
        assert!(seen.slowest_return < BACK_MAX, "{:?}", seen.slowest_return);
        assert!(seen.acknowledged as u64 >= kills, "the kills came before anything was done");
        cluster.wait_for_executors(3).await.unwrap();
        cluster.stop();
        let data = directory.path().join("data").display().to_string();
        let verified = command(&["verify", "-d", &data]).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    });
}

/// Inserts batch after batch, small and large, until the coordinator is dead.
async fn write_until_killed(cluster: &Cluster, batches: &mut BTreeMap<i64, (i64, Fate)>, rng: &mut StdRng) {
    let life = Duration::from_millis(rng.random_range(20..900));
    let mut sizes = StdRng::seed_from_u64(rng.random());
    let writing = async {
        let Ok(mut client) = cluster.connect().await else { return };
        loop {
            let batch = batches.keys().next_back().map_or(1, |last| last + 1);
            let count =
                if sizes.random_bool(0.5) { sizes.random_range(1..50) } else { sizes.random_range(5_000..40_000) };
            // Known before it is sent.
            batches.insert(batch, (count, Fate::Open));
            let sql = format!("INSERT INTO t SELECT value, {batch} FROM generate_series(1, {count})");
            match client.run(&sql).await {
                Ok(_) => batches.insert(batch, (count, Fate::Acknowledged)),
                Err(_) => return,
            };
        }
    };
    let killing = async {
        tokio::time::sleep(life).await;
        cluster.coordinator.kill();
    };
    tokio::join!(writing, killing);
}

/// Every acknowledged batch is there once and whole, every open one at most once and whole.
async fn compare(cluster: &Cluster, batches: &mut BTreeMap<i64, (i64, Fate)>, seen: &mut Seen) {
    let mut client = cluster.connect().await.unwrap();
    let found = rows(&mut client, "SELECT batch, count(*), sum(id) FROM t GROUP BY batch").await;
    let found: BTreeMap<i64, (i64, i64)> = found.iter().map(|row| (row[0], (row[1], row[2]))).collect();
    assert!(found.keys().all(|batch| batches.contains_key(batch)), "rows that nobody wrote");
    batches.retain(|batch, (count, fate)| {
        let whole = Some((*count, *count * (*count + 1) / 2));
        match (found.get(batch).copied(), *fate) {
            (there, Fate::Acknowledged) => {
                assert_eq!(there, whole, "kill {}: acknowledged batch {batch}", seen.kills);
                true
            }
            (None, Fate::Open) => {
                seen.open_and_gone += 1;
                false
            }
            (there, Fate::Open) => {
                assert_eq!(there, whole, "kill {}: batch {batch} without an answer", seen.kills);
                seen.open_and_there += 1;
                *fate = Fate::Acknowledged;
                true
            }
        }
    });
}
