//! Statements run as they arrive, output leaves as it is made, and a reader that goes away is no fault.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use super::program::{Data, command, spawn, volley, volley_with};

#[test]
fn statements_run_as_they_arrive_and_survive_a_kill() {
    let data = Data::new();
    let mut child = spawn(&["sql", "-d", &data.path(), "-f", "-"]);
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut acknowledged = |sql: &[u8], tag: &str| {
        stdin.write_all(sql).expect("writes");
        stdin.flush().expect("flushes");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("reads");
        assert_eq!(line.trim_end(), tag);
    };
    acknowledged(b"CREATE TABLE t (id BIGINT PRIMARY KEY);", "CREATE TABLE");
    acknowledged(b"INSERT INTO t VALUES (1); INSERT", "INSERT 0 1");
    // Another process sees it while the first still waits for the rest of its statement.
    assert_eq!(data.values("SELECT id FROM t"), "1");
    acknowledged(b" INTO t VALUES (2);\nINSERT INTO t VALUES (3", "INSERT 0 1");
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert_eq!(data.values("SELECT id FROM t ORDER BY id"), "1\n2");
    volley(&["verify", "-d", &data.path()]).ok();
}

#[test]
fn the_last_statement_needs_no_semicolon() {
    let ran = volley_with(
        &["sql", "-d", "memory://", "--format", "csv", "-f", "-"],
        b"SELECT 1 AS a;\n;;\nSELECT 2 AS b -- end",
    );
    assert_eq!(ran.ok(), "a\n1\nb\n2\n");
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    for format in ["csv", "json", "table"] {
        let sql = "SELECT value FROM generate_series(1, 5000000)";
        let mut child = command(&["sql", "-d", "memory://", "--format", format, "-c", sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut begin = [0; 100];
        child.stdout.take().expect("a pipe").read_exact(&mut begin).expect("reads");
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        // As a program that SIGPIPE ends: a script that was cut short did not succeed.
        assert_eq!(ended.status.code(), Some(141));
    }
}

#[test]
fn ten_megabytes_of_vectors_in_one_statement() {
    let data = Data::new();
    let mut sql = String::from("CREATE TABLE big (id BIGINT, v vector(256)); INSERT INTO big VALUES ");
    let mut rows = 0;
    while sql.len() < 10 << 20 {
        let elements: Vec<String> =
            (0..256).map(|i| format!("{}.{}", (rows * 7 + i) % 100, (rows + i) % 1000)).collect();
        sql.push_str(if rows == 0 { "" } else { "," });
        sql.push_str(&format!("({rows},'[{}]')", elements.join(",")));
        rows += 1;
    }
    sql.push(';');
    let ran = volley_with(&["sql", "-d", &data.path(), "-f", "-"], sql.as_bytes());
    assert_eq!(ran.ok(), format!("CREATE TABLE\nINSERT 0 {rows}\n"));
    assert_eq!(data.values("SELECT count(*), min(vector_dims(v)) FROM big"), format!("{rows},256"));
}

#[test]
fn two_processes_write_one_table() {
    let data = Data::new();
    data.sql("CREATE TABLE t (id BIGINT PRIMARY KEY)").ok();
    let writers: Vec<_> = (0..2)
        .map(|writer: u32| {
            let path = data.path();
            let script: String = (0..20).map(|i| format!("INSERT INTO t VALUES ({});", i * 2 + writer)).collect();
            std::thread::spawn(move || volley_with(&["sql", "-d", &path, "-f", "-"], script.as_bytes()).ok())
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.join().expect("ends").lines().count(), 20);
    }
    assert_eq!(data.values("SELECT count(*), count(DISTINCT id) FROM t"), "40,40");
}
