//! Paths that lead out of the directories that statements may use.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use volley_scheduler::{DataLocation, Engine, EngineConfig};

use super::Volley;

/// A directory that may be used, one that may not, and a data directory. `in/` is where everything good is.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        for directory in ["in/sub", "in/p", "out/sub", "in2"] {
            fs::create_dir_all(place.path(directory)).unwrap();
        }
        for file in ["in/good.csv", "in/sub/good.csv", "out/secret.csv", "out/sub/secret.csv", "in2/secret.csv"] {
            fs::write(place.path(file), "a\n1\n").unwrap();
        }
        symlink(place.path("out"), place.path("in/link")).unwrap();
        symlink(place.path("out/secret.csv"), place.path("in/p/link.csv")).unwrap();
        symlink(place.path("out/secret.csv"), place.path("in/secret.csv")).unwrap();
        symlink(place.path("out/later"), place.path("in/dangling")).unwrap();
        symlink(place.path("in/sub"), place.path("in/good")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, allowed_paths: Option<Vec<PathBuf>>) -> Volley {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let data = DataLocation::Local(self.path("in/data"));
        let config = EngineConfig { threads: Some(2), allowed_paths, ..EngineConfig::new(data) };
        let engine = runtime.block_on(Engine::open(config)).unwrap();
        let session = engine.session();
        let volley = Volley { runtime, engine: Arc::clone(&engine), session, directory: tempfile::tempdir().unwrap() };
        volley.ok("CREATE TABLE IF NOT EXISTS t (a BIGINT)");
        volley
    }

    /// Every file below a directory that may not be used, with what is in it.
    fn outside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut left = vec![self.path("out"), self.path("in2")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => left.push(path),
                    false => found.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }
}

/// Ways out of `in/`, from a directory `root` that holds it.
fn ways_out(root: &Path) -> Vec<String> {
    let root = root.display();
    let deep = "../".repeat(40);
    let paths = [
        "{}/out/secret.csv",
        "{}/out/",
        "{}/out",
        "{}/out/new.csv",
        "{}/out/new/deep/file.csv",
        "{}/in2/secret.csv",
        "{}/in2/",
        "{}/in/../out/secret.csv",
        "{}/in/../out/",
        "{}/in/./../out/secret.csv",
        "{}/in/sub/../../out/secret.csv",
        "{}/in/missing/../../out/secret.csv",
        "{}/in//../out/secret.csv",
        "file://{}/in/../out/secret.csv",
        "file://{}/in/%2e%2e/out/secret.csv",
        "file://{}/in/%2E%2E/out/secret.csv",
        "file://{}/in/.%2e/out/secret.csv",
        "file://{}/in/..%2fout/secret.csv",
        "file://{}/in/%2e%2e%2fout%2fsecret.csv",
        "file://{}/in%2f..%2fout%2fsecret.csv",
        "file://{}/in\\..\\out\\secret.csv",
        "file://{}/out/secret.csv",
        "file:{}/out/secret.csv",
        "FILE://{}/out/secret.csv",
        "file://localhost{}/out/secret.csv",
        "file:////{}/out/secret.csv",
        " file://{}/out/secret.csv",
        "\tfile://{}/out/secret.csv",
        "fi\nle://{}/in/.\t./out/secret.csv",
        "{}/in/link/secret.csv",
        "{}/in/link/",
        "{}/in/link",
        "{}/in/link/sub/secret.csv",
        "{}/in/link/new.csv",
        "{}/in/secret.csv",
        "{}/in/dangling",
        "{}/in/dangling/new.csv",
        "file://{}/in/link/secret.csv",
        "file://{}/in/lin%6b/secret.csv",
        "{}/*/secret.csv",
        "{}/o*/secret.csv",
        "{}/ou?/secret.csv",
        "{}/[o]ut/secret.csv",
        "{}/in*/*.csv",
        "{}/**/*.csv",
        "{}/in/link/*.csv",
        "{}/in/../out/*.csv",
        "{}/in/../*/secret.csv",
        "{}",
        "{}/",
        "{}/in/..",
        "/etc/passwd",
        "/etc/",
        "/",
        "/*",
        "/e*/passwd",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "secret.csv",
        "./secret.csv",
        "*.csv",
        ".",
        "~/secret.csv",
    ];
    let up = [
        format!("{deep}etc/passwd"),
        format!("{root}/in/{deep}etc/passwd"),
        format!("file://{root}/in/{deep}etc/passwd"),
    ];
    paths.iter().map(|path| path.replace("{}", &root.to_string())).chain(up).collect()
}

/// Runs a statement that has to be refused for its path.
#[track_caller]
fn is_refused(volley: &Volley, sql: &str) {
    let refusal = match volley.run(sql) {
        Err(refusal) => refusal,
        Ok(rows) => panic!("not refused but answered with {rows:?}: {sql:?}"),
    };
    assert_eq!(refusal.sqlstate, "42501", "{}: {sql:?}", refusal.sentence);
    assert!(refusal.sentence.contains("allowed_paths"), "{}: {sql:?}", refusal.sentence);
}

#[test]
fn no_way_leads_out() {
    let place = Place::new();
    let volley = place.open(Some(vec![place.path("in")]));
    let before = place.outside();
    for path in ways_out(place.directory.path()) {
        is_refused(&volley, &format!("COPY t FROM '{path}' (FORMAT csv)"));
        is_refused(&volley, &format!("COPY t TO '{path}' (FORMAT csv)"));
        is_refused(&volley, &format!("COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet)"));
        is_refused(&volley, &format!("CREATE EXTERNAL TABLE e (a BIGINT) STORED AS CSV LOCATION '{path}'"));
        is_refused(&volley, &format!("CREATE EXTERNAL TABLE IF NOT EXISTS e STORED AS PARQUET LOCATION '{path}'"));
    }
    assert_eq!(volley.value("SELECT count(*) FROM t"), "0");
    assert_eq!(place.outside(), before);
    assert!(!place.path("out/later").exists());
}

#[test]
fn ways_inside_work() {
    let place = Place::new();
    // One of them is a link itself, one does not exist yet.
    symlink(place.path("in"), place.path("alias")).unwrap();
    for allowed in
        [vec![place.path("in")], vec![place.path("nowhere"), place.path("alias")], vec![place.path("in/../in/")]]
    {
        let volley = place.open(Some(allowed));
        let root = place.directory.path().display();
        volley.ok("DELETE FROM t");
        volley.ok(&format!(
            "COPY t FROM '{root}/in/good.csv';\n\
             COPY t FROM '{root}/in/../in/good.csv';\n\
             COPY t FROM 'file://{root}/in/good.csv';\n\
             COPY t FROM 'file://{root}/in/%67ood.csv';\n\
             COPY t FROM '{root}/in/good/good.csv';\n\
             COPY t FROM '{root}/alias/good.csv';\n\
             COPY t FROM '{root}/in/sub/' (FORMAT csv);\n\
             COPY t FROM '{root}/in/sub/*.csv';\n\
             COPY t TO '{root}/in/new/deep/file.csv';\n\
             COPY t TO '{root}/in/written/' (FORMAT parquet);\n\
             CREATE EXTERNAL TABLE IF NOT EXISTS e STORED AS PARQUET LOCATION '{root}/in/written/'"
        ));
        assert_eq!(volley.value("SELECT count(*) FROM t"), "8");
        assert_eq!(volley.value("SELECT count(*) FROM e"), "8");
        volley.ok("DROP TABLE e");
        fs::remove_dir_all(place.path("in/written")).unwrap();
    }
}

#[test]
fn links_in_a_directory_are_looked_at() {
    let place = Place::new();
    let volley = place.open(Some(vec![place.path("in")]));
    let root = place.directory.path().display();
    for path in [format!("{root}/in/p/"), format!("{root}/in/p/*.csv"), format!("{root}/in/p")] {
        volley.refuses_saying("42501", "allowed_paths", &format!("COPY t FROM '{path}' (FORMAT csv)"));
        volley.refuses_saying(
            "42501",
            "allowed_paths",
            &format!("CREATE EXTERNAL TABLE e (a BIGINT) STORED AS CSV LOCATION '{path}'"),
        );
    }
    assert_eq!(volley.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn the_data_directory_stays_out_of_reach() {
    let place = Place::new();
    let volley = place.open(Some(vec![place.path("in")]));
    let root = place.directory.path().display();
    for path in [format!("{root}/in/data/"), format!("{root}/in/"), format!("{root}/in/data/volley.vfm")] {
        volley.refuses("42501", &format!("COPY t FROM '{path}' (FORMAT csv)"));
        volley.refuses("42501", &format!("COPY t TO '{path}' (FORMAT csv)"));
    }
}

#[test]
fn nothing_may_be_used_where_nothing_is_named() {
    let place = Place::new();
    let volley = place.open(Some(Vec::new()));
    let root = place.directory.path().display();
    for path in [format!("{root}/in/good.csv"), "/".to_owned(), "good.csv".to_owned()] {
        volley.refuses_saying("42501", "allowed_paths", &format!("COPY t FROM '{path}' (FORMAT csv)"));
        volley.refuses_saying("42501", "allowed_paths", &format!("COPY t TO '{path}' (FORMAT csv)"));
    }
}

#[test]
fn what_was_made_without_a_limit_is_read_within_it() {
    let place = Place::new();
    let root = place.directory.path().display().to_string();
    let free = place.open(None);
    for (name, path) in [("good", "in/good.csv"), ("bad", "out/secret.csv"), ("worse", "out/")] {
        free.ok(&format!("CREATE EXTERNAL TABLE {name} (a BIGINT) STORED AS CSV LOCATION '{root}/{path}' OPTIONS ('format.has_header' 'true')"));
        assert_ne!(free.value(&format!("SELECT count(*) FROM {name}")), "0");
    }
    drop(free);
    let volley = place.open(Some(vec![place.path("in")]));
    assert_ne!(volley.value("SELECT count(*) FROM good"), "0");
    for name in ["bad", "worse"] {
        volley.refuses_saying("42501", "allowed_paths", &format!("SELECT * FROM {name}"));
        volley.refuses_saying("42501", "allowed_paths", &format!("INSERT INTO t SELECT * FROM {name}"));
    }
    // One that may not be read hides no other.
    assert_eq!(volley.value("SELECT count(*) FROM information_schema.tables WHERE table_name = 'good'"), "1");
}

#[test]
fn settings_name_no_files() {
    let place = Place::new();
    let volley = place.open(Some(vec![place.path("in")]));
    let out = place.path("out").display().to_string();
    for setting in ["catalog.location", "catalog.format", "catalog.create_default_catalog_and_schema"] {
        volley.refuses_saying("42501", "allowed_paths", &format!("SET datafusion.{setting} = '{out}'"));
        volley.refuses_saying("42501", "allowed_paths", &format!("RESET datafusion.{setting}"));
    }
    for setting in
        ["temp_directory", "memory_limit", "max_temp_directory_size", "metadata_cache_limit", "list_files_cache_limit"]
    {
        volley.refuses("42704|22023", &format!("SET datafusion.runtime.{setting} = '{out}'"));
    }
    for sql in [
        format!("SELECT * FROM '{out}/secret.csv'"),
        format!("SELECT * FROM \"{out}/secret.csv\""),
        format!("SELECT * FROM read_csv('{out}/secret.csv')"),
        format!("SELECT * FROM read_parquet('{out}/secret.csv')"),
        format!("SELECT * FROM parquet_metadata('{out}/secret.csv')"),
        format!("SELECT pg_read_file('{out}/secret.csv')"),
        "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 's3://bucket/x.csv'".to_owned(),
        "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 'http://localhost/x.csv'".to_owned(),
        format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 'file://host{out}/secret.csv'"),
    ] {
        assert!(volley.run(&sql).is_err(), "{sql}");
    }
}
