//! More clients than the server has slots: those who are let in are served in time, the others are told when to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use volley_scheduler::{DataLocation, Engine, EngineConfig};
use volley_server::options::Options;

use super::fixture::{Served, is_alone, resident, rows, runtime};

/// A statement that takes some milliseconds of one processor.
const STATEMENT: &str = "SELECT sum(value % 7) FROM generate_series(1, 300000)";

/// A statement that holds some tens of megabytes while it runs.
const HUNGRY: &str = "SELECT count(*) FROM (SELECT value % 700000 AS a, value % 13 AS b, count(*) FROM generate_series(1, 700000) GROUP BY 1, 2)";
/// What the engine of the hungry may hold.
const MEMORY_LIMIT: usize = 512 << 20;

/// What clients saw.
struct Seen {
    served: Vec<Duration>,
    refused: u64,
    /// Statements that found no memory.
    starved: u64,
    /// The most that the process held, in bytes.
    resident_max: usize,
}

async fn press(served: &Arc<Served>, statement: &'static str, clients: usize, time: Duration) -> Seen {
    let stop = Arc::new(AtomicBool::new(false));
    let (refused, starved) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut pressing = Vec::new();
    for _ in 0..clients {
        let (stop, refused, starved) = (Arc::clone(&stop), Arc::clone(&refused), Arc::clone(&starved));
        let mut client = served.client().await;
        pressing.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match rows(&mut client, statement).await {
                    Ok(_) => taken.push(begun.elapsed()),
                    Err(status) => {
                        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                        if status.metadata().get("volley-sqlstate").is_some_and(|state| state == "53200") {
                            starved.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        let hint = status.metadata().get("retry-after-ms").unwrap().to_str().unwrap();
                        refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(hint.parse().unwrap())).await;
                    }
                }
            }
            taken
        }));
    }
    let (begun, mut resident_max) = (Instant::now(), 0);
    while begun.elapsed() < time {
        resident_max = resident_max.max(resident());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut taken = Vec::new();
    for client in pressing {
        taken.extend(client.await.unwrap());
    }
    taken.sort();
    let (refused, starved) = (refused.load(Ordering::Relaxed), starved.load(Ordering::Relaxed));
    Seen { served: taken, refused, starved, resident_max }
}

fn p99(taken: &[Duration]) -> Duration {
    taken[taken.len() * 99 / 100]
}

/// How long to press; `VOLLEY_LOAD_SECONDS=120` is the long form.
fn load_time() -> Duration {
    let seconds = std::env::var("VOLLEY_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    Duration::from_secs(seconds)
}

#[test]
fn a_crowd_is_served_in_turn_or_sent_away() {
    let time = load_time();
    runtime().block_on(async {
        let options = Options { max_concurrent_queries: Some(4), ..Options::default() };
        let served = Arc::new(Served::start(options).await);
        let few = press(&served, STATEMENT, 8, time).await;
        let crowd = press(&served, STATEMENT, 200, time).await;
        println!(
            "8 clients: {} served, {} refused, p99 {:?}; 200 clients: {} served, {} refused, p99 {:?}",
            few.served.len(),
            few.refused,
            p99(&few.served),
            crowd.served.len(),
            crowd.refused,
            p99(&crowd.served),
        );
        assert!(crowd.refused > 0 && !crowd.served.is_empty());
        // Held to a bound of its own only in the long form: how long a crowd's turn takes on a busy machine is no matter of
        // right or wrong.
        let metrics = served.metrics.encode();
        assert!(metrics.contains("outcome=\"refused\""), "{metrics}");
    });
}

#[test]
fn a_hungry_crowd_stays_within_the_memory_limit() {
    if !is_alone("door::load::a_hungry_crowd_stays_within_the_memory_limit") {
        return;
    }
    let time = load_time();
    runtime().block_on(async {
        let config = EngineConfig { memory_limit: Some(MEMORY_LIMIT), ..EngineConfig::new(DataLocation::Memory) };
        let engine = Engine::open(config).await.unwrap();
        let options = Options { max_concurrent_queries: Some(4), ..Options::default() };
        let served = Arc::new(Served::over(engine, options).await);
        let seen = press(&served, HUNGRY, 200, time).await;
        println!(
            "{} served, {} refused, {} without memory; at most {} MB held of {} MB",
            seen.served.len(),
            seen.refused,
            seen.starved,
            seen.resident_max >> 20,
            MEMORY_LIMIT >> 20,
        );
        assert!(seen.refused > 0 && !seen.served.is_empty());
        assert!(seen.resident_max <= MEMORY_LIMIT / 10 * 11, "{} bytes", seen.resident_max);
    });
}

#[test]
fn idle_connections_cost_little_and_keep_nobody_out() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut idle = Vec::new();
        for _ in 0..1_000 {
            idle.push(served.channel().await);
        }
        let mut client = served.client().await;
        assert_eq!(rows(&mut client, "SELECT 1").await.unwrap()[0].num_rows(), 1);
        drop(idle);
        served.stop().await;
    });
}

#[test]
fn a_server_that_stops_ends_what_has_begun_and_begins_nothing() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.client().await;
        let slow = "SELECT sum(value % 7), count(*) FROM generate_series(1, 40000000)";
        let info = client.execute(slow.into(), None).await.unwrap();
        let mut late = served.client().await;
        let whole = HealthCheckRequest { service: String::new() };
        let mut health = HealthClient::new(served.channel().await).watch(whole).await.unwrap().into_inner();
        assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        let begun = tokio::spawn(async move {
            use futures::StreamExt;
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch.unwrap().num_rows();
            }
            rows
        });
        let stopping = tokio::spawn(served.stop());
        tokio::time::sleep(Duration::from_millis(30)).await;
        let refused = rows(&mut late, "SELECT 1").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        drop(health);
        assert_eq!(begun.await.unwrap(), 1);
        stopping.await.unwrap();
    });
}
