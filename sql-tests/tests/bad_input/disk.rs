//! A full disk: a small tmpfs, which needs the right to mount; without it the test says that it did not run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{assert_clear, open};

/// A tmpfs of some megabytes, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: usize) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(directory)),
            _ => None,
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What was written of a file that did not fit is taken away in the background, a moment after the statement has failed.
    fn wait_for_room(&self) {
        let begun = Instant::now();
        let probe = self.path().join("probe");
        while std::fs::write(&probe, vec![1_u8; 2 << 20]).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the disk stays full");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(&probe).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_refuses_the_statement_and_keeps_what_was_there() {
    let Some(disk) = SmallDisk::mount(24) else {
        println!("skipped: a full disk needs the right to mount a tmpfs");
        return;
    };
    let data = disk.path().join("data");
    let volley = open(&data).unwrap();
    volley.ok("CREATE TABLE t (id INT PRIMARY KEY, name TEXT, e vector(64));\nINSERT INTO t SELECT value, 'row', NULL FROM generate_series(1, 2000)");
    // Random text does not compress: about 60 MB.
    let large = "INSERT INTO t SELECT value, encode(sha512((value + 1)::text), 'hex') || encode(sha512((value + 2)::text), 'hex') \
                 || encode(sha512((value * 7)::text), 'hex'), NULL FROM generate_series(10000, 160000)";
    for round in 0..3 {
        volley.refuses("53100", large);
        assert_eq!(volley.value("SELECT count(*) FROM t"), "2000", "round {round}");
    }
    let copy = format!(
        "COPY (SELECT value, sha512(value::text) AS h FROM generate_series(1, 2000000)) TO '{}'",
        disk.path().join("out.csv").display()
    );
    let refusal = volley.run(&copy).expect_err("the disk is full");
    assert_clear(&refusal, &copy);
    assert_eq!(refusal.sqlstate, "53100", "{}", refusal.sentence);
    let _ = std::fs::remove_file(disk.path().join("out.csv"));
    disk.wait_for_room();
    // What is left works, also when the directory is opened again.
    volley.ok("DELETE FROM t WHERE id <= 1000;\nVACUUM");
    volley.runtime.block_on(volley.engine.close());
    drop(volley);
    let volley = open(&data).unwrap();
    assert_eq!(volley.value("SELECT count(*) FROM t"), "1000");
    let report = volley.runtime.block_on(volley.engine.verify(std::sync::Arc::new(|_: &str| {}))).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_disk_that_fills_while_an_index_is_built_keeps_the_table() {
    let Some(disk) = SmallDisk::mount(24) else {
        println!("skipped: a full disk needs the right to mount a tmpfs");
        return;
    };
    let data = disk.path().join("data");
    let volley = open(&data).unwrap();
    volley.ok("CREATE TABLE t (id INT, e vector(64));\n\
         INSERT INTO t SELECT value, array_repeat(sin(value), 64)::vector(64) FROM generate_series(1, 20000)");
    let filler = disk.path().join("filler");
    // As much as there is room for, but for a few small files.
    let mut room = 24 << 20;
    while room > 0 && std::fs::write(&filler, vec![1_u8; room]).is_err() {
        room -= 256 << 10;
    }
    std::fs::write(&filler, vec![1_u8; room.saturating_sub(512 << 10)]).unwrap();
    volley.refuses("53100", "CREATE INDEX i ON t USING hnsw (e)");
    assert_eq!(volley.value("SELECT count(*) FROM volley.vector_indexes"), "0");
    assert_eq!(volley.value("SELECT count(*) FROM t WHERE e IS NOT NULL"), "20000");
    std::fs::remove_file(&filler).unwrap();
    volley.ok("CREATE INDEX i ON t USING hnsw (e)");
    assert_eq!(volley.value("SELECT indexed_rows FROM volley.vector_indexes"), "20000");
    let report = volley.runtime.block_on(volley.engine.verify(std::sync::Arc::new(|_: &str| {}))).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
