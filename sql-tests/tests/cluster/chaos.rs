//! Executors are killed and stopped under load, and no answer is wrong, short or lost.

mod checker;
mod load;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use volley_sql_tests::cluster::{Cluster, Node};

use self::checker::Data;
use self::load::{Load, Seen};
use super::{cluster, run, runtime, setting};

/// After a blow, throughput is back within this.
const RECOVERY_MAX: Duration = Duration::from_secs(15);
/// Of the placements, at most so many move when one of three executors is gone.
const MOVED_MAX: f64 = 1.0 / 3.0 + 0.1;

/// What an executor suffers.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// It is killed.
    Kill,
    /// It hangs without dying.
    Hang,
}

impl Blow {
    fn strike(self, node: &Node) {
        match self {
            Blow::Kill => node.kill(),
            Blow::Hang => node.pause(),
        }
    }

    fn mend(self, node: &Node) {
        match self {
            Blow::Kill => node.start(),
            Blow::Hang => node.resume(),
        }
    }
}

#[test]
fn executors_that_die_or_hang_cost_no_answer() {
    let seconds = setting("VOLLEY_CHAOS_SECONDS", 30);
    let every = setting("VOLLEY_CHAOS_EVERY", if seconds >= 300 { 45 } else { 6 });
    // As long as it takes to notice one that hangs, and a little longer.
    let out = if seconds >= 300 { 10 } else { 2 };
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = Arc::new(cluster(&directory).await);
        let data = Arc::new(Data::new());
        data.load(&cluster, directory.path()).await;
        let load = Load::begin(&cluster, &data, None);
        // What is usual, before anything happens.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut blows = Vec::new();
        let mut worst_moved = 0.0_f64;
        while Instant::now() < end {
            let number = blows.len();
            let node = &cluster.executors[number % cluster.executors.len()];
            let blow = if number % 4 == 3 { Blow::Hang } else { Blow::Kill };
            let before = placements(&cluster).await;
            blow.strike(node);
            blows.push(Instant::now());
            tokio::time::sleep(Duration::from_secs(out)).await;
            if let (Blow::Kill, Ok(2)) = (blow, cluster.live_executors().await) {
                worst_moved = worst_moved.max(moved(&before, &placements(&cluster).await));
            }
            blow.mend(node);
            tokio::time::sleep(Duration::from_secs(every.saturating_sub(out))).await;
        }
        let seen = load.end().await;
        cluster.wait_for_executors(3).await.unwrap();
        seen.check_writes(&cluster).await;
        let slowest = blows.iter().filter_map(|blow| seen.recovery(*blow)).max().unwrap_or_default();
        println!("{} blows; slowest recovery {slowest:?}; moved placements {worst_moved:.3}\n{seen}", blows.len());
        assert_eq!(seen.wrong, Vec::<String>::new(), "answers that are wrong");
        assert!(seen.success() >= 0.999, "{} of {} failed: {:?}", seen.failed.len(), seen.calls(), seen.failed);
        assert!(slowest <= RECOVERY_MAX, "{slowest:?}");
        assert!(worst_moved <= MOVED_MAX, "{worst_moved}");
        cluster.stop();
    });
}

/// The checker is worth something: answers from which a row was taken are found.
#[test]
fn a_row_that_is_missing_is_found() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let cluster = Arc::new(cluster(&directory).await);
        let data = Arc::new(Data::new());
        data.load(&cluster, directory.path()).await;
        let drops_rows = Arc::new(AtomicBool::new(false));
        let load = Load::begin(&cluster, &data, Some(Arc::clone(&drops_rows)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(load.wrong_so_far(), 0);
        drops_rows.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen: Seen = load.end().await;
        assert!(seen.wrong.iter().any(|sentence| sentence.contains("nearest")), "{seen}");
        cluster.stop();
    });
}

/// Who owns what, as the coordinator says.
async fn placements(cluster: &Cluster) -> HashSet<String> {
    let mut client = cluster.connect().await.unwrap();
    let sql = "SELECT table_name || ' ' || shard || ' ' || executor FROM volley.placements";
    let answer = run(&mut client, &[sql]).await;
    let mut found = HashSet::new();
    for batch in &answer.batches {
        let texts = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        found.extend(texts.as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    found
}

/// The share of placements that are somewhere else than before.
fn moved(before: &HashSet<String>, after: &HashSet<String>) -> f64 {
    after.difference(before).count() as f64 / before.len().max(1) as f64
}
