//! Two engines commit to one table of an S3 server at the same time, while the way there loses replies and contradicts itself.

use std::sync::{Arc, Barrier};

use volley::ErrorKind;

use super::{Db, Faults, behind_a_proxy, setting};

const FAULTS: Faults = Faults { lost: 200, conflict: 100, refused: 50, slow: 100, silent: false };

/// What a writer was told of its insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Refused,
    Unknown,
}

#[test]
fn every_commit_is_applied_once_or_not_at_all() {
    let Some((place, proxy)) = behind_a_proxy() else { return };
    let keys: usize = setting("VOLLEY_STORE_COMMITS", 40);
    let directory = tempfile::tempdir().expect("a directory");
    let opened = |name: &str| Db::open(place.config(&directory.path().join(name)));
    let first = opened("first");
    first.sql("CREATE TABLE keyed (id BIGINT PRIMARY KEY, writer BIGINT NOT NULL)");
    first.sql("CREATE TABLE plain (id BIGINT NOT NULL, writer BIGINT NOT NULL)");
    let start = Arc::new(Barrier::new(2));
    let writers: Vec<Db> = ["one", "two"].map(opened).into();
    proxy.set(FAULTS);
    let told: Vec<Vec<[Told; 2]>> = std::thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter()
            .enumerate()
            .map(|(writer, db)| {
                let start = Arc::clone(&start);
                let insert = move |table: &str, key: usize| {
                    let sql = format!("INSERT INTO {table} VALUES ({key}, {writer})");
                    match db.run(db.request(&sql)).map_err(|error| error.kind()) {
                        Ok(_) => Told::Done,
                        Err(ErrorKind::CommitUnknown) => Told::Unknown,
                        Err(ErrorKind::UniqueViolation | ErrorKind::Conflict | ErrorKind::Io) => Told::Refused,
                        Err(other) => panic!("{sql}: {other:?}"),
                    }
                };
                scope.spawn(move || {
                    let both = |key| {
                        start.wait();
                        ["keyed", "plain"].map(|table| insert(table, key))
                    };
                    (0..keys).map(both).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
    });
    assert!(proxy.count() > keys as u64, "{} faults", proxy.count());
    proxy.set(Faults::default());
    let judge = opened("judge");
    for key in 0..keys {
        for (table, name) in ["keyed", "plain"].into_iter().enumerate() {
            for (writer, told) in told.iter().enumerate() {
                let count =
                    judge.number(&format!("SELECT count(*) FROM {name} WHERE id = {key} AND writer = {writer}"));
                let fits = match told[key][table] {
                    Told::Done => count == 1,
                    Told::Refused => count == 0,
                    Told::Unknown => count <= 1,
                };
                assert!(fits, "{name} {key} of {writer}: {:?}, and {count} rows", told[key][table]);
            }
        }
    }
    assert_eq!(judge.number("SELECT count(*) FROM keyed"), judge.number("SELECT count(DISTINCT id) FROM keyed"));
    let done = told.iter().flatten().flatten().filter(|told| **told == Told::Done).count();
    assert!(done >= 2 * keys, "only {done} of {} were acknowledged", 4 * keys);
}
