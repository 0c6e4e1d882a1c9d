//! Two processes write one table with a primary key at the same time.

use std::sync::{Arc, Barrier};

use volley::{ErrorKind, QueryRequest};

use super::engine::Db;
use super::program::{command, rows, succeeds};

const ROUNDS: i64 = 8;
const OWN_ROWS: i64 = 5;

/// Both insert rows of their own, then the same key: one of the two wins, the other is told, nothing of its last
/// statement stays.
#[test]
fn two_processes_fight_for_keys() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    succeeds(&["sql", "-d", &data, "-c", "CREATE TABLE t (id BIGINT PRIMARY KEY, writer BIGINT NOT NULL)"]);
    for round in 0..ROUNDS {
        let contested = 1_000_000 + round;
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let first = (round * 2 + writer) * 100;
                let mut script = String::new();
                for id in first..first + OWN_ROWS {
                    script.push_str(&format!("INSERT INTO t VALUES ({id}, {writer});"));
                }
                script.push_str(&format!("INSERT INTO t VALUES ({}, {writer}), ({contested}, {writer});", first + 50));
                command(&["sql", "-d", &data, "-c", &script]).spawn().expect("starts")
            })
            .collect();
        let mut won = 0;
        for writer in writers {
            let ended = writer.wait_with_output().expect("ends");
            let errors = String::from_utf8_lossy(&ended.stderr);
            match ended.status.success() {
                true => won += 1,
                false => assert!(errors.contains(&contested.to_string()) && errors.lines().count() == 1, "{errors}"),
            }
        }
        assert_eq!(won, 1, "round {round}");
    }
    let rows_each_round = 2 * OWN_ROWS + 2;
    let counted = rows(&data, "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id >= 1000000) FROM t");
    let all = ROUNDS * rows_each_round;
    assert_eq!(counted, [format!("{all},{all},{ROUNDS}")]);
    succeeds(&["verify", "-d", &data]);
}

/// The same with two engines that share nothing but the directory, and many keys.
#[test]
fn two_engines_fight_for_every_key() {
    const KEYS: i64 = 60;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    let first = Db::local(&path);
    first.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, writer BIGINT NOT NULL)");
    let start = Arc::new(Barrier::new(2));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (path, start) = (path.clone(), Arc::clone(&start));
            std::thread::spawn(move || {
                let db = Db::local(&path);
                let mut won = 0;
                for key in 0..KEYS {
                    start.wait();
                    match db.run(QueryRequest::new(format!("INSERT INTO t VALUES ({key}, {writer})"), &db.session)) {
                        Ok(_) => won += 1,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::UniqueViolation, "{error}"),
                    }
                }
                won
            })
        })
        .collect();
    let won: Vec<i64> = writers.into_iter().map(|writer| writer.join().expect("ends")).collect();
    assert_eq!(won.iter().sum::<i64>(), KEYS, "{won:?}");
    assert_eq!(first.number("SELECT count(*) FROM t"), KEYS);
    assert_eq!(first.number("SELECT count(DISTINCT id) FROM t"), KEYS);
    for writer in 0..2 {
        assert_eq!(first.number(&format!("SELECT count(*) FROM t WHERE writer = {writer}")), won[writer as usize]);
    }
}
