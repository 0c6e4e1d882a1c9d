//! The life of an index: built by itself after writes, given up without a trace, completed after a kill, repaired after
//! damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use volley::{DataLocation, EngineConfig, ErrorKind, Progress};

use super::engine::Db;
use super::program::{command, rows, succeeds};

/// Enough rows of enough dimensions for an index to take a second or so to build.
const ROWS: i64 = 20_000;
const DIMENSIONS: usize = 64;

/// An INSERT of rows whose vectors scatter.
fn insert(from: i64, to: i64) -> String {
    let element = |i: usize| format!("sin(value * {}.7) ", i + 1);
    let elements = (0..DIMENSIONS).map(element).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO t SELECT value, ARRAY[{elements}]::vector({DIMENSIONS}) FROM generate_series({from}, {to})")
}

/// How soon whoever cancels must hear, on a machine that is busy with other tests.
const HEARD_MAX: Duration = Duration::from_secs(1);

const CREATE_TABLE: &str = "CREATE TABLE t (id BIGINT NOT NULL, v vector(64))";
const CREATE_INDEX: &str = "CREATE INDEX i ON t USING hnsw (v vector_cosine_ops) WITH (ef_construction = 200)";
const COVERAGE: &str = "SELECT coalesce(sum(rows - indexed_rows), -1) FROM volley.vector_indexes";
const LEFTOVERS: &str = "SELECT count(*) FROM volley.segments WHERE sidecars LIKE '%hnsw%'";

#[test]
fn what_is_written_is_indexed_in_the_background() {
    let db = Db::memory();
    db.sql(CREATE_TABLE);
    db.sql(&insert(1, 3_000));
    db.sql(CREATE_INDEX);
    assert_eq!(db.number(COVERAGE), 0);
    db.sql("SET volley.auto_index = off");
    db.sql(&insert(3_001, 6_000));
    db.runtime.block_on(db.engine.close());
    assert_eq!(db.number(COVERAGE), 3_000, "the session did not want it");
    db.sql("RESET volley.auto_index");
    // The next write looks at the whole table.
    db.sql("DELETE FROM t WHERE id = 1");
    db.runtime.block_on(db.engine.close());
    assert_eq!(db.number(COVERAGE), 0);
    // Small commits travel in the log until they are folded; nothing is built for a few rows.
    for id in 0..70 {
        db.sql(&insert(10_000 + id, 10_000 + id));
    }
    db.runtime.block_on(db.engine.close());
    assert!(db.number(COVERAGE) >= 65, "few rows are compared one by one");
    db.sql(&insert(20_001, 23_000));
    db.sql("VACUUM t");
    db.runtime.block_on(db.engine.close());
    assert!(db.number(COVERAGE) <= 70, "{} rows are not indexed", db.number(COVERAGE));
    assert_eq!(db.number("SELECT count(*) FROM volley.vector_indexes WHERE damaged_segments > 0"), 0);
}

#[test]
fn a_cancelled_build_leaves_no_trace() {
    let db = Db::open(EngineConfig { threads: Some(2), ..EngineConfig::new(DataLocation::Memory) });
    db.sql(CREATE_TABLE);
    db.sql(&insert(1, ROWS));
    for wait in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(300)] {
        let mut request = db.request(CREATE_INDEX);
        request.progress = Some(Arc::new(Progress::default()));
        let (cancel, progress) = (request.cancel.clone(), request.progress.clone().unwrap());
        let canceller = std::thread::spawn(move || {
            let started = Instant::now();
            while progress.now().is_none() && started.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let seen = progress.now();
            std::thread::sleep(wait);
            cancel.cancel();
            (seen, Instant::now())
        });
        let error = db.run(request).expect_err("it takes longer than that");
        let ended = Instant::now();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        let (seen, cancelled) = canceller.join().unwrap();
        let heard = ended - cancelled;
        println!("heard after {} ms that the index is gone", heard.as_millis());
        assert!(heard <= HEARD_MAX, "heard after {heard:?}");
        let seen = seen.expect("it says what it does");
        assert_eq!((seen.what.as_str(), seen.total), ("indexing segment 1 of 1", ROWS as u64));
        assert_eq!(db.number("SELECT count(*) FROM volley.vector_indexes"), 0);
        assert_eq!(db.number(LEFTOVERS), 0);
    }
    // A client that goes away without a word.
    db.runtime.block_on(async {
        let executing = db.engine.execute(db.request(CREATE_INDEX));
        assert!(tokio::time::timeout(Duration::from_millis(100), executing).await.is_err());
    });
    db.runtime.block_on(db.engine.close());
    assert_eq!(db.number("SELECT count(*) FROM volley.vector_indexes"), 0);
    // One that is too slow.
    let mut request = db.request(CREATE_INDEX);
    request.deadline = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(db.run(request).expect_err("it takes longer than that").kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(db.number("SELECT count(*) FROM volley.vector_indexes"), 0);
    assert_eq!(db.number("SELECT count(*) FROM t"), ROWS);
    db.sql(CREATE_INDEX);
    assert_eq!(db.number(COVERAGE), 0);
}

#[test]
fn an_index_that_memory_is_refused_for_is_not_there() {
    let db = Db::memory();
    db.sql(CREATE_TABLE);
    db.sql(&insert(1, ROWS));
    db.sql("SET volley.memory_limit = '16MB'");
    let error = db.refused(CREATE_INDEX);
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert_eq!(db.number("SELECT count(*) FROM volley.vector_indexes"), 0);
    db.sql("RESET volley.memory_limit");
    db.sql(CREATE_INDEX);
}

#[test]
fn a_drop_during_the_build_wins() {
    let db = Db::memory();
    db.sql(CREATE_TABLE);
    db.sql(&insert(1, ROWS));
    let building = db.runtime.spawn({
        let (engine, request) = (Arc::clone(&db.engine), db.request(CREATE_INDEX));
        async move { engine.execute(request).await.map(|_| ()) }
    });
    while db.number("SELECT count(*) FROM volley.vector_indexes") == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    db.sql("DROP INDEX i");
    let error = db.runtime.block_on(building).unwrap().expect_err("its index is gone");
    assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
    assert_eq!(db.number(LEFTOVERS), 0);
    assert_eq!(db.number("SELECT count(*) FROM t"), ROWS);
}

#[test]
fn an_index_that_is_being_built_takes_nothing_from_a_finished_one() {
    let db = Db::memory();
    db.sql(CREATE_TABLE);
    db.sql(&insert(1, ROWS));
    db.sql(CREATE_INDEX);
    let building = db.runtime.spawn({
        let slower = CREATE_INDEX.replace("INDEX i", "INDEX a").replace("200", "300");
        let (engine, request) = (Arc::clone(&db.engine), db.request(&slower));
        async move { engine.execute(request).await.map(|_| ()) }
    });
    while db.number("SELECT count(*) FROM volley.vector_indexes") == 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let plan = db.plan("SELECT id FROM t ORDER BY v <=> (SELECT v FROM t WHERE id = 77) LIMIT 3");
    assert!(plan.contains("index=i,"), "{plan}");
    db.sql("DROP INDEX a");
    db.runtime.block_on(building).unwrap().expect_err("its index is gone");
}

#[test]
fn a_killed_build_is_completed_by_reindex() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    succeeds(&["sql", "-d", &data, "-c", CREATE_TABLE]);
    for part in 0..4 {
        succeeds(&["sql", "-d", &data, "-c", &insert(part * 5_000 + 1, part * 5_000 + 5_000)]);
    }
    for life in [30, 150, 400, 900] {
        let mut child = command(&["sql", "-d", &data, "-c", CREATE_INDEX]).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(life));
        child.kill().expect("kills");
        child.wait().expect("ends");
        succeeds(&["verify", "-d", &data]);
        assert_eq!(rows(&data, "SELECT count(*) FROM t"), ["20000"]);
        let there = rows(&data, "SELECT index_name FROM volley.vector_indexes");
        if there.is_empty() {
            continue;
        }
        succeeds(&["sql", "-d", &data, "-c", "REINDEX INDEX i"]);
        assert_eq!(rows(&data, COVERAGE), ["0"]);
        succeeds(&["verify", "-d", &data]);
        succeeds(&["sql", "-d", &data, "-c", "DROP INDEX i"]);
        assert_eq!(rows(&data, LEFTOVERS), ["0"]);
    }
}

#[test]
fn a_damaged_index_is_left_aside_named_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let nearest = "SELECT id FROM t ORDER BY v <=> (SELECT v FROM t WHERE id = 77), id LIMIT 3";
    {
        let db = Db::local(&data);
        db.sql(CREATE_TABLE);
        db.sql(&insert(1, 5_000));
        db.sql(CREATE_INDEX);
        db.runtime.block_on(db.engine.close());
    }
    for damage in [Damage::Cut, Damage::Flip, Damage::Gone] {
        let file = index_file(&data);
        damage.strike(&file);
        let db = Db::local(&data);
        let answer = db.runtime.block_on(db.engine.execute(db.request(nearest))).unwrap();
        let told = "index i cannot be used for 1 of 1 segments, which are searched exactly; REINDEX builds it anew";
        assert_eq!(answer.notices, [told], "{damage:?}");
        assert_eq!(db.number(nearest), 77, "{damage:?}");
        assert_eq!(db.number("SELECT damaged_segments FROM volley.vector_indexes"), 1, "{damage:?}");
        let report = db.runtime.block_on(db.engine.verify(Arc::new(|_: &str| {}))).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(report.findings.iter().any(|finding| finding.path.ends_with(&*name)), "{damage:?}: {report:?}");
        db.sql("REINDEX TABLE t");
        assert_eq!(db.number("SELECT indexed_segments - damaged_segments FROM volley.vector_indexes"), 1, "{damage:?}");
        let answer = db.runtime.block_on(db.engine.execute(db.request(nearest))).unwrap();
        assert!(answer.notices.is_empty(), "{damage:?}: {:?}", answer.notices);
        assert_eq!(db.number(nearest), 77, "{damage:?}");
        let report = db.runtime.block_on(db.engine.verify(Arc::new(|_: &str| {}))).unwrap();
        assert!(report.is_clean(), "{damage:?}: {report:?}");
        db.runtime.block_on(db.engine.close());
        // The file that nothing refers to any more would be found again.
        let _ = std::fs::remove_file(&file);
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Flip,
    Gone,
}

impl Damage {
    fn strike(self, file: &Path) {
        let mut bytes = std::fs::read(file).unwrap();
        match self {
            Damage::Cut => bytes.truncate(bytes.len() / 2),
            Damage::Flip => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x40;
            }
            Damage::Gone => return std::fs::remove_file(file).unwrap(),
        }
        std::fs::write(file, bytes).unwrap();
    }
}

/// The one index file below a data directory.
fn index_file(data: &Path) -> PathBuf {
    let mut folders = vec![data.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|ending| ending == "hnsw") => found.push(path),
                false => {}
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
