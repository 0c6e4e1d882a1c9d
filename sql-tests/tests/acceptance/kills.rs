//! The program, killed at any moment while it loads, inserts and deletes, loses nothing it has acknowledged.
//!
//! Statements go to `volley sql -f -` one by one; the next is sent when the tag of the last has come back. Then SIGKILL.
//! At most one statement has no answer, and it must have happened wholly or not at all: the tables are compared with a
//! model, batch by batch.

mod model;
mod workload;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::model::Model;
use self::workload::{Step, Workload};
use super::program::{command, rows, succeeds};
use super::setting;

/// Kills before the next data directory: long logs, but tables that can be compared quickly.
const KILLS_PER_DIRECTORY: usize = 50;
/// Opening a directory after a kill and answering one query, the start of the program included.
const REOPEN_MAX: Duration = Duration::from_secs(2);

/// What was seen over all kills.
#[derive(Debug, Default)]
struct Seen {
    kills: usize,
    acknowledged: usize,
    unanswered_but_done: usize,
    unanswered_and_not_done: usize,
    slowest_reopening: Duration,
    directories: usize,
}

#[test]
fn kills() {
    let kills: usize = setting("VOLLEY_KILLS", 20);
    let mut rng = StdRng::seed_from_u64(setting("VOLLEY_SEED", 1));
    let mut seen = Seen::default();
    while seen.kills < kills {
        let directory = tempfile::tempdir().expect("a directory");
        one_directory(directory.path(), kills.min(seen.kills + KILLS_PER_DIRECTORY), &mut rng, &mut seen);
        seen.directories += 1;
    }
    println!("{seen:#?}");
    assert!(seen.acknowledged > kills / 2, "the kills came before anything was done");
}

fn one_directory(directory: &Path, until: usize, rng: &mut StdRng, seen: &mut Seen) {
    let data = directory.join("data").display().to_string();
    let columns = "(id BIGINT {key}, batch BIGINT NOT NULL, body TEXT NOT NULL, v vector(4))";
    for (table, key) in [("keyed", "PRIMARY KEY"), ("plain", "NOT NULL")] {
        let columns = columns.replace("{key}", key);
        succeeds(&["sql", "-d", &data, "-c", &format!("CREATE TABLE {table} {columns}")]);
    }
    let mut workload = Workload::new(directory);
    let mut model = Model::default();
    while seen.kills < until {
        let unanswered = run_until_killed(&data, &mut workload, &mut model, rng, seen);
        seen.kills += 1;
        compare(&data, &mut model, unanswered, seen);
    }
}

/// Feeds the program until it is dead; returns the step that was sent and not answered.
fn run_until_killed(
    data: &str,
    workload: &mut Workload,
    model: &mut Model,
    rng: &mut StdRng,
    seen: &mut Seen,
) -> Option<Step> {
    let mut child = command(&["sql", "-d", data, "-f", "-"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    // One in five dies while it opens or soon after.
    let life = if rng.random_bool(0.2) { rng.random_range(0..60) } else { rng.random_range(30..500) };
    let child = Arc::new(Mutex::new(child));
    let killer = kill_after(&child, Duration::from_millis(life));
    let unanswered = loop {
        let step = workload.next(model, rng);
        // A dead program does not read; what it did not read it did not do, but part of it may have been read before.
        let sent = stdin.write_all(step.sql.as_bytes()).and_then(|()| stdin.write_all(b";\n"));
        let mut line = String::new();
        let answered = sent.is_ok() && stdout.read_line(&mut line).is_ok() && line.ends_with('\n');
        if !answered {
            break Some(step);
        }
        assert_eq!(line.trim_end(), step.tag, "{}", step.sql);
        model.apply(&step);
        seen.acknowledged += 1;
    };
    killer.join().expect("kills");
    let mut child = child.lock().expect("one at a time");
    let status = child.wait().expect("ends");
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert_eq!(status.code(), None, "the program ended by itself: {errors}");
    unanswered
}

fn kill_after(child: &Arc<Mutex<Child>>, life: Duration) -> std::thread::JoinHandle<()> {
    let child = Arc::clone(child);
    std::thread::spawn(move || {
        std::thread::sleep(life);
        child.lock().expect("one at a time").kill().expect("kills");
    })
}

/// Opens the directory again: quickly, with everything that was acknowledged, and the checker finds nothing.
fn compare(data: &str, model: &mut Model, unanswered: Option<Step>, seen: &mut Seen) {
    let start = Instant::now();
    rows(data, "SELECT id FROM keyed WHERE id = 1");
    let reopening = start.elapsed();
    seen.slowest_reopening = seen.slowest_reopening.max(reopening);
    assert!(reopening <= REOPEN_MAX, "kill {}: reopening took {reopening:?}", seen.kills);
    let found = rows(data, model::QUERY);
    if found != model.rows() {
        let Some(step) = unanswered else { panic!("{}", model.difference(&found)) };
        let before = model.difference(&found);
        model.apply(&step);
        assert!(
            found == model.rows(),
            "kill {}: neither without nor with the unanswered statement\n{}\nwithout: {before}\nwith: {}",
            seen.kills,
            step.sql,
            model.difference(&found)
        );
        seen.unanswered_but_done += 1;
    } else if unanswered.is_some() {
        seen.unanswered_and_not_done += 1;
    }
    succeeds(&["verify", "-d", data]);
}
