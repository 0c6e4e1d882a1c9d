//! How fresh what a session reads is, beside another process that writes.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Db;

const COUNT: &str = "SELECT count(*) FROM t";

/// Two engines that share nothing but the directory, and a table with one row.
fn two(directory: &Path) -> (Db, Db) {
    let path = directory.join("data");
    let writer = Db::local(&path);
    writer.sql("CREATE TABLE t (id BIGINT)");
    writer.sql("INSERT INTO t VALUES (1)");
    (writer, Db::local(&path))
}

#[test]
fn a_directory_of_this_machine_is_looked_at_each_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let (writer, reader) = two(directory.path());
    for row in 2..20 {
        writer.sql(&format!("INSERT INTO t VALUES ({row})"));
        assert_eq!(reader.number(COUNT), row);
    }
}

#[test]
fn eventual_reads_may_be_old_but_never_go_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (writer, reader) = two(directory.path());
    reader.sql("SET volley.consistency = eventual");
    assert_eq!(reader.number(COUNT), 1);
    writer.sql("INSERT INTO t VALUES (2)");
    assert_eq!(reader.number(COUNT), 1, "nobody looked");
    // Asked often, so that a kept plan answers.
    for _ in 0..4 {
        assert_eq!(reader.number("SELECT count(*) FROM t WHERE id > 1"), 0);
    }
    // What this session writes stands on everything before it.
    reader.sql("INSERT INTO t VALUES (3)");
    assert_eq!(reader.number(COUNT), 3);
    writer.sql("INSERT INTO t VALUES (4)");
    assert_eq!(reader.number(COUNT), 3);
    reader.sql("SET volley.consistency = strong");
    assert_eq!(reader.number(COUNT), 4);
    reader.sql("SET volley.consistency = eventual");
    assert_eq!(reader.number(COUNT), 4, "what was seen stays seen");
    writer.sql("DELETE FROM t WHERE id = 1");
    // Another session of the same process, which has seen nothing yet.
    let session = reader.engine.session();
    let mut request = reader.request(COUNT);
    request.session = session;
    let rows = reader.run(request).expect("rows");
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    assert_eq!(reader.number(COUNT), 3, "a session that looked showed it to all of the process");
}

#[test]
fn bounded_reads_are_as_old_as_they_may_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let (writer, reader) = two(directory.path());
    for (level, most) in [("bounded", Duration::from_millis(300)), ("session", Duration::from_secs(1))] {
        reader.sql(&format!("SET volley.consistency = {level}"));
        reader.sql("SET volley.max_staleness = '300ms'");
        let before = reader.number(COUNT);
        writer.sql("INSERT INTO t VALUES (0)");
        let written = Instant::now();
        // The version that was read at first was the newest shortly before the insert; a busy machine is given some time more.
        while reader.number(COUNT) == before {
            assert!(written.elapsed() < most + Duration::from_secs(2), "{level}: {:?}", written.elapsed());
        }
    }
    reader.sql("SET volley.max_staleness = 0");
    reader.sql("SET volley.consistency = bounded");
    let before = reader.number(COUNT);
    std::thread::sleep(Duration::from_millis(2));
    writer.sql("INSERT INTO t VALUES (0)");
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(reader.number(COUNT), before + 1);
}

#[test]
fn names_that_another_process_made_are_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let (writer, reader) = two(directory.path());
    reader.sql("SET volley.consistency = eventual");
    assert_eq!(reader.number(COUNT), 1);
    writer.sql("CREATE TABLE late (id BIGINT)");
    assert_eq!(reader.number("SELECT count(*) FROM late"), 0);
    writer.sql("CREATE TABLE later (id BIGINT)");
    reader.sql("INSERT INTO later VALUES (1)");
    writer.sql("DROP TABLE late");
    reader.sql("CREATE TABLE late (other TEXT)");
    assert_eq!(writer.number("SELECT count(*) FROM late WHERE other IS NULL"), 0);
    assert_eq!(reader.refused("SELECT * FROM never").kind(), volley::ErrorKind::UndefinedTable);
}

#[test]
fn levels_are_words_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, reader) = two(directory.path());
    for wrong in ["'linearizable'", "0", "''"] {
        let error = reader.refused(&format!("SET volley.consistency = {wrong}"));
        assert_eq!(error.kind(), volley::ErrorKind::InvalidValue, "{error}");
    }
    reader.sql("RESET volley.consistency");
}
