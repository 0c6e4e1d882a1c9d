//! The program over an object store, killed at any moment, loses nothing it has acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use volley_sql_tests::object_store::{ObjectStore, StorePlace};

use super::super::program::command;
use super::setting;

fn over(place: &StorePlace, copies: &str, arguments: &[&str]) -> Command {
    let mut command = command(&[arguments, &["-d", place.url.as_str(), "--cache-dir", copies]].concat());
    command.envs(place.environment());
    command
}

#[track_caller]
fn succeeds(mut command: Command) -> String {
    let output = command.output().expect("starts");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}{errors}", output.status);
    out.into_owned()
}

#[test]
fn acknowledged_rows_outlive_kills() {
    let Some(store) = ObjectStore::shared() else { return };
    let place = store.place();
    let directory = tempfile::tempdir().expect("a directory");
    let copies = directory.path().join("copies").display().to_string();
    succeeds(over(&place, &copies, &["sql", "-c", "CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(4))"]));
    let (mut next, mut acknowledged) = (0, 0);
    for kill in 0..setting("VOLLEY_STORE_KILLS", 8) {
        let mut child = over(&place, &copies, &["sql", "-f", "-"]).stdin(Stdio::piped()).spawn().expect("starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150 + 130 * (kill % 5)));
            child.kill().expect("kills");
            child.wait().expect("ends")
        });
        let unanswered = loop {
            next += 1;
            let sent = writeln!(stdin, "INSERT INTO t VALUES ({next}, '[1, 2, 3, {next}]');");
            let mut line = String::new();
            if sent.is_err() || stdout.read_line(&mut line).unwrap_or(0) == 0 {
                break next;
            }
            assert_eq!(line.trim_end(), "INSERT 0 1");
            acknowledged += 1;
        };
        killer.join().expect("kills");
        let count = format!("SELECT count(*), count(*) FILTER (WHERE id = {unanswered}) FROM t");
        let found = succeeds(over(&place, &copies, &["sql", "--format", "csv", "-c", &count]));
        let found: Vec<u64> = found.lines().nth(1).expect("a row").split(',').map(|n| n.parse().expect("n")).collect();
        assert_eq!(found[0], acknowledged + found[1], "kill {kill}");
        acknowledged = found[0];
        succeeds(over(&place, &copies, &["verify"]));
    }
    assert!(acknowledged > 0, "the kills came before anything was done");
}

#[test]
fn verify_knows_a_store_that_holds_nothing() {
    let Some(store) = ObjectStore::shared() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let copies = directory.path().join("copies").display().to_string();
    let place = store.place();
    let output = over(&place, &copies, &["verify"]).output().expect("starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("there is no data directory at s3://"), "{errors}");
}
