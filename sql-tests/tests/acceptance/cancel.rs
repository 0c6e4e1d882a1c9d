//! Cancellation, deadlines and clients that go away: the client hears of it, and the work stops, within 100 ms.
//!
//! Whether work stops shows in the processor time of the process, so each case runs in a process of its own: this test
//! starts its own program again for one case.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::StreamExt;
use volley::{DataLocation, EngineConfig, ErrorKind};

use super::engine::Db;

/// How soon the client must hear, and the work must have stopped.
const WITHIN: Duration = Duration::from_millis(100);
/// When it is heard of at the latest, on a machine that is busy with other tests.
const HEARD_MAX: Duration = Duration::from_secs(1);
/// Windows of watching after which work that has not stopped is taken to go on for ever.
const IDLE_WINDOWS_MAX: usize = 20;
/// Processor time after that is watched for so long …
const WATCHED: Duration = Duration::from_millis(300);
/// … and this much of it is the runtime's own.
const IDLE_MAX: Duration = Duration::from_millis(40);
/// Queries run so long before they are stopped.
const HEAD_START: Duration = Duration::from_millis(100);
/// Few enough for every machine that the queries last longer than that.
const THREADS: usize = 2;
/// The case to run, in a process of its own.
const CASE: &str = "VOLLEY_CANCEL_CASE";

/// Queries that take long, by the operator that is at work when they are stopped.
///
/// Work stops between batches, and where a scan feeds nothing but cheap operators after 128 of them: the scans here are
/// many, not expensive row by row.
const QUERIES: [(&str, &str, usize); 6] = [
    ("scan", "SELECT max(length(body || id)) FROM big", 60),
    ("sort", "SELECT a.id FROM big a, generate_series(1, 60) ORDER BY a.body, value", 1),
    ("aggregate", "SELECT count(*) FROM (SELECT a.body, value FROM big a, generate_series(1, 60) GROUP BY 1, 2)", 1),
    ("cross join", "SELECT count(*) FROM big a, big b WHERE (a.id * b.id) % 1000003 = 7", 1),
    ("hash join", "SELECT sum(a.id * b.id % 7) FROM big a JOIN big b ON a.id % 97 = b.id % 97", 1),
    (
        "vector top-k",
        "SELECT count(*) FROM (SELECT id FROM big WHERE length(body || id) > 3 ORDER BY v <=> '[1, 2, 3, 4]' LIMIT 10)",
        60,
    ),
];

#[test]
fn work_stops_when_it_is_cancelled() {
    if let Ok(case) = std::env::var(CASE) {
        return run_case(&case);
    }
    for (name, ..) in QUERIES {
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
    let (_, query, times) = QUERIES.into_iter().find(|(name, ..)| *name == case).expect("a case");
    let sql = &vec![query; times].join(" UNION ALL ");
    let db = Db::open(EngineConfig { threads: Some(THREADS), ..EngineConfig::new(DataLocation::Memory) });
    db.sql("CREATE TABLE big (id BIGINT NOT NULL, body TEXT NOT NULL, v vector(4))");
    let rows = "SELECT value, repeat(md5(value::text), 3), '[4, 3, 2, 1]'::vector(4) FROM generate_series(1, 400000)";
    db.sql(&format!("INSERT INTO big {rows}"));
    // Whatever the load left to do is done before processor time is measured.
    db.runtime.block_on(db.engine.close());
    for stop in [Stop::Cancel, Stop::Deadline, Stop::Timeout, Stop::DropStream] {
        let heard = stop_it(&db, sql, stop);
        std::thread::sleep(WITHIN.saturating_sub(heard));
        // On a machine that is busy with other tests the last batch takes longer: what must never happen is that work
        // goes on. The figures are printed for who measures on a quiet one.
        let windows = (0..IDLE_WINDOWS_MAX).map(|_| {
            let before = processor_time();
            std::thread::sleep(WATCHED);
            processor_time() - before
        });
        let mut busy = Vec::new();
        for window in windows {
            busy.push(window.as_millis());
            if window <= IDLE_MAX {
                break;
            }
        }
        println!("{case}, {stop:?}: heard after {} ms, ms of work after that: {busy:?}", heard.as_millis());
        assert!(heard <= HEARD_MAX, "{case}, {stop:?}: heard after {heard:?}");
        assert!(busy.len() < IDLE_WINDOWS_MAX, "{case}, {stop:?}: work goes on: {busy:?} ms");
    }
    // The engine works as before.
    assert_eq!(db.number("SELECT count(*) FROM big"), 400_000);
}

/// Starts the query, stops it and waits for its error; how long after the stop that came.
fn stop_it(db: &Db, sql: &str, stop: Stop) -> Duration {
    let mut request = db.request(sql);
    let start = Instant::now();
    let at = start + HEAD_START;
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
        Stop::DropStream => return drop_stream(db, request, at),
    }
    let Err(error) = db.run(request) else {
        println!("the query was faster than the stop; nothing was measured");
        db.sql("RESET volley.statement_timeout");
        return Duration::ZERO;
    };
    let heard = start.elapsed().saturating_sub(HEAD_START);
    let expected = match stop {
        Stop::Cancel => ErrorKind::Cancelled,
        _ => ErrorKind::DeadlineExceeded,
    };
    assert_eq!(error.kind(), expected, "{error}");
    db.sql("RESET volley.statement_timeout");
    heard
}

fn drop_stream(db: &Db, request: volley::QueryRequest, at: Instant) -> Duration {
    db.runtime.block_on(async {
        let mut result = db.engine.execute(request).await.expect("starts");
        if tokio::time::timeout_at(at.into(), result.stream.next()).await.is_ok() {
            println!("the query had rows before the stop");
        }
        let start = Instant::now();
        drop(result);
        start.elapsed()
    })
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
