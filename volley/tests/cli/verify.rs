//! `volley verify`, on sound and on damaged data.

use super::program::{Data, volley};

fn filled() -> Data {
    let data = Data::new();
    data.sql(
        "CREATE TABLE sound (id BIGINT PRIMARY KEY); INSERT INTO sound VALUES (1);
         CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(4), body TEXT);
         INSERT INTO t SELECT value, '[1,2,3,4]', repeat('text', 50) FROM generate_series(1, 20000);
         DELETE FROM t WHERE id % 3 = 0",
    )
    .ok();
    data
}

#[test]
fn sound_data_is_in_order() {
    let data = filled();
    let out = volley(&["verify", "-d", &data.path()]).ok();
    assert!(out.contains("files") && out.contains("bytes") && out.contains("everything is in order"), "{out}");
    assert!(!out.contains("checked 0 files"), "{out}");
}

#[test]
fn a_missing_directory_is_not_made() {
    let data = Data::new();
    let error = volley(&["verify", "-d", &data.path()]).refused();
    assert!(error.starts_with("ERROR 58P01: "), "{error}");
    assert!(!std::path::Path::new(&data.path()).exists());
}

#[test]
fn every_damaged_file_is_named_and_other_tables_work() {
    let data = filled();
    let root = std::path::PathBuf::from(data.path());
    let mut kinds = std::collections::BTreeSet::new();
    for path in data.files() {
        let name = path.strip_prefix(&root).expect("below").display().to_string();
        // Advice about where to look first may be wrong or missing.
        if !name.contains("/seg/") && !name.contains("/dv/") {
            continue;
        }
        kinds.insert(path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default());
        let sound = std::fs::read(&path).expect("reads");
        let mut damaged = sound.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x40;
        std::fs::write(&path, &damaged).expect("writes");
        let ran = volley(&["verify", "-d", &data.path()]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        assert!(ran.stdout.contains(&name) && ran.stdout.contains("wrong"), "{name}: {ran:?}");
        assert_eq!(data.values("SELECT count(*) FROM sound"), "1", "{name}");
        std::fs::write(&path, &sound).expect("writes");
    }
    assert!(kinds.contains("parquet") && kinds.contains("f32") && kinds.contains("vpk"), "{kinds:?}");
    volley(&["verify", "-d", &data.path()]).ok();
}

#[test]
fn a_damaged_log_is_named_and_other_tables_work() {
    let data = filled();
    let log = data
        .files()
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("/tables/") && path.extension().is_some_and(|e| e == "vlc"));
    // The newest commit of the larger table: the directory that holds segments.
    let tables: Vec<_> = log.collect();
    let path = tables.iter().rev().find(|path| path.ancestors().nth(2).is_some_and(|table| table.join("seg").exists()));
    let path = path.expect("a log").clone();
    let mut bytes = std::fs::read(&path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x01;
    std::fs::write(&path, bytes).expect("writes");
    let ran = volley(&["verify", "-d", &data.path()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(ran.stdout.contains(&name), "{name}: {ran:?}");
    assert_eq!(data.values("SELECT count(*) FROM sound"), "1");
    let error = data.sql("SELECT count(*) FROM t").refused();
    assert!(error.starts_with("ERROR XX001: "), "{error}");
}

#[test]
fn a_damaged_catalog_is_named() {
    let data = filled();
    let root = std::path::PathBuf::from(data.path());
    for path in data.files() {
        let name = path.strip_prefix(&root).expect("below").display().to_string();
        if name != "volley.vfm" && !name.starts_with("catalog/log/") {
            continue;
        }
        let sound = std::fs::read(&path).expect("reads");
        let mut damaged = sound.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        std::fs::write(&path, &damaged).expect("writes");
        let ran = volley(&["verify", "-d", &data.path()]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        assert!(ran.stdout.contains(&name) && ran.stdout.starts_with("WRONG "), "{name}: {ran:?}");
        let error = data.sql("SELECT 1").refused();
        assert!(error.starts_with("ERROR XX001: ") && error.contains(&name), "{error}");
        std::fs::write(&path, &sound).expect("writes");
    }
    volley(&["verify", "-d", &data.path()]).ok();
}
