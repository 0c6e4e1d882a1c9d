//! Cancellation, deadlines and clients that go away: the client hears of it, and the work stops, within 100 ms.
//!
//! Whether work stops shows in the processor time of the process, so each case runs in a process of its own: this test
//! starts its own program again for one case.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use volley::{DataLocation, EngineConfig, ErrorKind};

use super::engine::Db;

/// How soon the client must hear. On a machine that is busy with other tests it may take longer, so the test allows ten
/// times that and prints the figure.
const WITHIN: Duration = Duration::from_millis(100);
const HEARD_MAX: Duration = Duration::from_secs(1);
/// Queries run so long before they are stopped.
const HEAD_START: Duration = Duration::from_millis(100);
/// Few enough for every machine that the queries last longer than that.
const THREADS: usize = 2;
/// Processor time that may be spent from the stop on: 100 ms of all threads. Other programs cannot add to it, so it
/// holds on a busy machine as well.
const WORK_MAX: Duration = Duration::from_millis(100 * THREADS as u64);
/// Processor time is watched in windows of this length …
const WINDOW: Duration = Duration::from_millis(200);
/// … until one has no more than what a runtime without work uses, or so many have passed.
const IDLE_MAX: Duration = Duration::from_millis(20);
const WINDOWS_MAX: usize = 20;
/// The case to run, in a process of its own.
const CASE: &str = "VOLLEY_CANCEL_CASE";

/// Queries that take long, by the operator that is at work when they are stopped.
const QUERIES: [(&str, &str); 6] = [
    ("scan", "SELECT max(md5(repeat(body, 20))) FROM big"),
    ("sort", "SELECT a.id FROM big a, generate_series(1, 60) ORDER BY a.body, value"),
    ("aggregate", "SELECT count(*) FROM (SELECT a.body, value FROM big a, generate_series(1, 60) GROUP BY 1, 2)"),
    ("cross join", "SELECT count(*) FROM big a, big b WHERE (a.id * b.id) % 1000003 = 7"),
    ("hash join", "SELECT sum(a.id * b.id % 7) FROM big a JOIN big b ON a.id % 97 = b.id % 97"),
    ("vector top-k", "SELECT id FROM big WHERE md5(repeat(body, 20)) > '1' ORDER BY v <=> '[1, 2, 3, 4]' LIMIT 10"),
];

#[test]
fn work_stops_when_it_is_cancelled() {
    if let Ok(case) = std::env::var(CASE) {
        return run_case(&case);
    }
    for (name, _) in QUERIES {
        in_own_process(name);
    }
}

fn in_own_process(case: &str) {
    let test = std::env::current_exe().expect("a path");
    let ran = Command::new(test)
        .args(["--exact", "acceptance::cancel::work_stops_when_it_is_cancelled", "--nocapture"])
        .env(CASE, case)
        .output()
        .expect("starts");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    out.lines().filter(|line| line.contains(" ms")).for_each(|line| println!("{line}"));
    assert!(ran.status.success(), "{case}:\n{out}{err}");
}

/// How a query is stopped.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Cancel,
    Deadline,
    Timeout,
    DropStream,
}

fn run_case(case: &str) {
    let (_, sql) = QUERIES.into_iter().find(|(name, _)| *name == case).expect("a case");
    let db = Db::open(EngineConfig { threads: Some(THREADS), ..EngineConfig::new(DataLocation::Memory) });
    db.sql("CREATE TABLE big (id BIGINT NOT NULL, body TEXT NOT NULL, v vector(4))");
    let rows = "SELECT value, repeat(md5(value::text), 3), '[4, 3, 2, 1]'::vector(4) FROM generate_series(1, 400000)";
    db.sql(&format!("INSERT INTO big {rows}"));
    // Whatever the load left to do is done before processor time is measured.
    db.runtime.block_on(db.engine.close());
    for stop in [Stop::Cancel, Stop::Deadline, Stop::Timeout, Stop::DropStream] {
        let stopped = stop_it(&db, sql, stop);
        let work = work_after(stopped.processor_time);
        let heard = stopped.heard;
        println!("{case}, {stop:?}: heard after {} ms, then {} ms of work", heard.as_millis(), work.as_millis());
        if heard > WITHIN {
            println!("{case}, {stop:?}: that is more than {} ms; is the machine busy?", WITHIN.as_millis());
        }
        assert!(heard <= HEARD_MAX, "{case}, {stop:?}: heard after {heard:?}");
        assert!(work <= WORK_MAX, "{case}, {stop:?}: {work:?} of work after the stop");
    }
    // The engine works as before.
    assert_eq!(db.number("SELECT count(*) FROM big"), 400_000);
}

/// What was seen of a stop.
struct Stopped {
    /// From the stop until the client had the error.
    heard: Duration,
    /// Of the process, when the stop was given.
    processor_time: Duration,
}

/// Starts the query, stops it and waits for its error.
fn stop_it(db: &Db, sql: &str, stop: Stop) -> Stopped {
    let mut request = db.request(sql);
    let start = Instant::now();
    let at = start + HEAD_START;
    let meter = std::thread::spawn(move || {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        processor_time()
    });
    match stop {
        Stop::Cancel => {
            let cancel = request.cancel.clone();
            db.runtime.spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                cancel.cancel();
            });
        }
        Stop::Deadline => request.deadline = Some(at),
        Stop::Timeout => drop(db.sql(&format!("SET volley.statement_timeout = '{}ms'", HEAD_START.as_millis()))),
        Stop::DropStream => drop_stream(db, request.clone(), at),
    }
    if !matches!(stop, Stop::DropStream) {
        let error = db.run(request).expect_err("the query takes longer than that");
        let expected = match stop {
            Stop::Cancel => ErrorKind::Cancelled,
            _ => ErrorKind::DeadlineExceeded,
        };
        assert_eq!(error.kind(), expected, "{error}");
    }
    let heard = start.elapsed().saturating_sub(HEAD_START);
    let processor_time = meter.join().expect("the meter reads");
    // The timeout holds for its own end as well, which a busy machine may not reach in time at first.
    while db.run(db.request("RESET volley.statement_timeout")).is_err() {}
    Stopped { heard, processor_time }
}

fn drop_stream(db: &Db, request: volley::QueryRequest, at: Instant) {
    db.runtime.block_on(async {
        // A search that is kept planned is done before there is a stream: then it is the call that is dropped.
        let first = async { db.engine.execute(request).await.expect("starts").stream.next().await };
        let early = tokio::time::timeout_at(at.into(), first).await;
        assert!(early.is_err(), "the query takes longer than that");
    });
}

/// Waits until the process does nothing more; how much processor time it has used since.
fn work_after(since: Duration) -> Duration {
    let mut before = processor_time();
    for _ in 0..WINDOWS_MAX {
        std::thread::sleep(WINDOW);
        let now = processor_time();
        if now - before <= IDLE_MAX {
            return before.saturating_sub(since);
        }
        before = now;
    }
    panic!("work goes on: {:?} since the stop", before - since);
}

/// Processor time this process has used, all threads together, to the kernel's hundredth of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name stands in brackets and may hold anything; user and system time are 12 and 13 words behind it.
    let behind = stat.rsplit_once(')').expect("a name").1;
    let ticks: u64 =
        behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
