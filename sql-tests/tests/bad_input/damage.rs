//! Damaged data directories: the damage is named, everything else keeps working.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Volley, assert_clear, open};

/// A directory with two tables: `a` and `b`, each with a Parquet segment and inline rows.
fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let volley = open(&directory.path().join("data")).unwrap();
    volley.ok("CREATE TABLE a (id INT PRIMARY KEY, name TEXT, e vector(4));\n\
         INSERT INTO a SELECT value, 'row ' || value, ARRAY[value, 1, 2, 3] FROM generate_series(1, 3000);\n\
         INSERT INTO a VALUES (4000, 'inline', NULL);\n\
         DELETE FROM a WHERE id = 7;\n\
         CREATE TABLE b (id INT PRIMARY KEY, e vector(4));\n\
         INSERT INTO b SELECT value, ARRAY[value, 1, 2, 3] FROM generate_series(1, 3000)");
    close(volley);
    directory
}

fn close(volley: Volley) {
    volley.runtime.block_on(volley.engine.close());
}

/// The files below a folder, by path.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The folders of the tables' files: of `a`, then of `b` (ids are in the order of creation).
fn tables(data: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(data.join("tables")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert_eq!(folders.len(), 2);
    folders
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Statements that read all of table `a`.
const READS: [&str; 4] = [
    "SELECT sum(id), min(name), max(e::text) FROM a",
    "SELECT id, name FROM a ORDER BY e <-> '[1,1,2,3]' LIMIT 5",
    "SELECT * FROM a ORDER BY id",
    "INSERT INTO a SELECT id, name, e FROM a",
];

#[test]
fn a_flipped_byte_in_any_segment_file_is_named_and_the_other_table_works() {
    let directory = prepared();
    let data = directory.path().join("data");
    let segments = tables(&data)[0].join("seg");
    let files = files_below(&segments);
    assert!(files.len() >= 2, "{files:?}");
    let intact: Vec<_> = {
        let volley = open(&data).unwrap();
        READS[..3].iter().map(|read| volley.run(read).unwrap()).collect()
    };
    for file in files {
        let bytes = fs::read(&file).unwrap();
        for at in [0, 100, bytes.len() / 2, bytes.len() - 5] {
            flip(&file, at);
            let volley = open(&data).unwrap();
            let mut named = false;
            for (read, intact) in READS.iter().zip(intact.iter().map(Some).chain([None])) {
                match volley.run(read) {
                    Err(refusal) if refusal.sqlstate == "XX001" => {
                        assert_clear(&refusal, read);
                        assert!(
                            refusal.sentence.contains(&name(&file)),
                            "{} does not name {}",
                            refusal.sentence,
                            name(&file)
                        );
                        named = true;
                    }
                    Err(refusal) => {
                        assert_eq!(refusal.sqlstate, "23505", "{}: {read}, {} at {at}", refusal.sentence, name(&file))
                    }
                    // A statement that does not need the file answers as before; nothing answers wrongly.
                    Ok(rows) => {
                        assert_eq!(Some(&rows), intact, "a wrong answer from {} damaged at {at}: {read}", name(&file))
                    }
                }
            }
            assert!(named, "nobody noticed byte {at} of {}", file.display());
            assert_eq!(volley.value("SELECT count(*) FROM b WHERE e <-> '[1,1,2,3]' < 10"), "10");
            volley.ok("INSERT INTO b VALUES (999999, NULL);\nDELETE FROM b WHERE id = 999999");
            let report = volley.runtime.block_on(volley.engine.verify(std::sync::Arc::new(|_: &str| {}))).unwrap();
            assert!(report.findings.iter().any(|finding| finding.path.ends_with(&name(&file))), "{report:?}");
            close(volley);
            fs::write(&file, &bytes).unwrap();
        }
    }
}

#[test]
fn missing_and_truncated_segment_files_are_named() {
    let directory = prepared();
    let data = directory.path().join("data");
    for file in files_below(&tables(&data)[0].join("seg")) {
        let bytes = fs::read(&file).unwrap();
        for damage in ["missing", "empty", "half"] {
            match damage {
                "missing" => fs::remove_file(&file).unwrap(),
                "empty" => fs::write(&file, []).unwrap(),
                _ => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
            }
            let volley = open(&data).unwrap();
            let refusals: Vec<_> =
                READS.iter().filter_map(|read| volley.run(read).err()).filter(|r| r.sqlstate != "23505").collect();
            assert!(!refusals.is_empty(), "nobody noticed: {damage} {}", file.display());
            for refusal in refusals {
                assert_clear(&refusal, damage);
                assert!(
                    refusal.sentence.contains(&name(&file)),
                    "{} does not name {damage} {}",
                    refusal.sentence,
                    name(&file)
                );
            }
            assert_eq!(volley.value("SELECT count(*) FROM b"), "3000");
            close(volley);
            fs::write(&file, &bytes).unwrap();
        }
    }
}

#[test]
fn a_flipped_byte_in_a_table_s_log_is_named_and_the_other_table_works() {
    let directory = prepared();
    let data = directory.path().join("data");
    let logs = files_below(&tables(&data)[0].join("log"));
    assert!(!logs.is_empty());
    for file in logs {
        let bytes = fs::read(&file).unwrap();
        for at in [0, 20, bytes.len() / 2, bytes.len() - 1] {
            flip(&file, at);
            let volley = open(&data).unwrap();
            let refusal = volley.run("SELECT * FROM a").expect_err("a damaged log");
            assert_clear(&refusal, "SELECT * FROM a");
            assert!(["XX001", "55000"].contains(&refusal.sqlstate), "{}: {}", refusal.sqlstate, refusal.sentence);
            assert!(refusal.sentence.contains(&name(&file)), "{} does not name {}", refusal.sentence, file.display());
            assert_eq!(volley.value("SELECT count(*) FROM b"), "3000");
            assert_eq!(
                volley.value("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"),
                "2"
            );
            close(volley);
            fs::write(&file, &bytes).unwrap();
        }
    }
    // The table that cannot be read can be dropped.
    let file = files_below(&tables(&data)[0].join("log")).remove(0);
    flip(&file, 30);
    let volley = open(&data).unwrap();
    volley.ok("DROP TABLE a");
    assert_eq!(volley.value("SELECT count(*) FROM b"), "3000");
}

#[test]
fn a_damaged_catalog_is_named() {
    let directory = prepared();
    let data = directory.path().join("data");
    for file in files_below(&data.join("catalog/log")) {
        let bytes = fs::read(&file).unwrap();
        flip(&file, bytes.len() / 2);
        let refusal = match open(&data) {
            Err(refusal) => refusal,
            Ok(volley) => volley.run("SELECT * FROM b").expect_err("a damaged catalog"),
        };
        assert_clear(&refusal, "open");
        assert_eq!(refusal.sqlstate, "XX001", "{}", refusal.sentence);
        assert!(refusal.sentence.contains(&name(&file)), "{}", refusal.sentence);
        fs::write(&file, &bytes).unwrap();
    }
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_alone() {
    let directory = prepared();
    let data = directory.path().join("data");
    let file = data.join("volley.vfm");
    let intact = fs::read(&file).unwrap();
    for (field, at) in [("format", 8), ("feature", 16)] {
        let mut newer = intact[..24].to_vec();
        newer[at] = 99;
        let checksum = crc32c(&newer);
        newer.extend_from_slice(&checksum.to_le_bytes());
        fs::write(&file, &newer).unwrap();
        let refusal = match open(&data) {
            Err(refusal) => refusal,
            Ok(_) => panic!("a newer {field} was opened"),
        };
        assert_clear(&refusal, "open");
        assert_eq!(refusal.sqlstate, "55000");
        assert!(refusal.sentence.contains("newer Volley"), "{}", refusal.sentence);
        assert_eq!(fs::read(&file).unwrap(), newer);
    }
    // Neither a directory of something else nor a file is taken for one.
    fs::write(&file, "something else").unwrap();
    assert_eq!(open(&data).err().map(|refusal| refusal.sqlstate), Some("XX001"));
    fs::write(&file, intact).unwrap();
    assert_eq!(open(&data).unwrap().value("SELECT count(*) FROM b"), "3000");
    let refusal = open(&file).err().expect("a file is no data directory");
    assert_clear(&refusal, "open a file");
}

/// The checksum of the format's file, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
