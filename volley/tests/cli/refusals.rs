//! What is refused, and how: one clear line, exit code 1, nothing changed.

use super::program::{Data, volley, volley_with};

#[test]
fn the_first_error_stops_and_keeps_what_was_committed() {
    let data = Data::new();
    let ran =
        data.sql("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1); SELECT nope FROM t; INSERT INTO t VALUES (2)");
    assert_eq!(ran.stdout, "CREATE TABLE\nINSERT 0 1\n");
    let error = ran.refused();
    assert!(error.starts_with("ERROR 42703: ") && error.contains("nope"), "{error}");
    assert_eq!(data.values("SELECT id FROM t"), "1");
}

#[test]
fn unknown_names_are_told_with_the_nearest() {
    let data = Data::new();
    data.sql("CREATE TABLE documents (title TEXT)").ok();
    for (sql, state, nearest) in [
        ("SELECT * FROM documens", "42P01", "documents"),
        ("SELECT titel FROM documents", "42703", "title"),
        ("SELECT uppr('x')", "42883", "upper"),
        ("SET volley.memory_limt = '1GB'", "42704", "volley.memory_limit"),
    ] {
        let error = data.sql(sql).refused();
        assert!(error.starts_with(&format!("ERROR {state}: ")) && error.contains(nearest), "{sql}: {error}");
    }
}

#[test]
fn wrong_vectors_change_nothing() {
    let data = Data::new();
    data.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, v vector(2)); INSERT INTO t VALUES (1, '[1,2]')").ok();
    for (sql, state) in [
        ("INSERT INTO t VALUES (2, '[1,2]'), (3, '[1,2,3]')", "22"),
        ("INSERT INTO t VALUES (2, '[1,NaN]')", "22"),
        ("INSERT INTO t VALUES (2, '[1,')", "22P02"),
        ("INSERT INTO t VALUES (2, '[1,2]'), (1, '[3,4]')", "23505"),
        ("INSERT INTO t VALUES (NULL, '[1,2]')", "23502"),
        ("CREATE TABLE u (v vector(32769))", "22023"),
        ("CREATE TABLE u (v vector(0))", "22"),
    ] {
        let error = data.sql(sql).refused();
        assert!(error.starts_with(&format!("ERROR {state}")), "{sql}: {error}");
    }
    assert_eq!(data.values("SELECT id FROM t"), "1");
}

#[test]
fn scripts_say_where() {
    let data = Data::new();
    let file = data.beside("script.sql");
    std::fs::write(&file, "SELECT 1;\n\n-- note\nSELEC\n 2;\nSELECT 3;").expect("writes");
    let error = volley(&["sql", "-d", &data.path(), "-f", &file]).refused();
    assert!(error.starts_with("ERROR 42601: ") && error.ends_with(&format!("(line 4 of {file})")), "{error}");
    let error = volley_with(&["sql", "-d", &data.path(), "-f", "-"], b"SELECT 1;\nSELECT '\xff';").refused();
    assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
}

#[test]
fn missing_files_touch_nothing() {
    let data = Data::new();
    let error = volley(&["sql", "-d", &data.path(), "-f", &data.beside("nope.sql")]).refused();
    assert!(error.starts_with("ERROR 58P01: ") && error.contains("nope.sql"), "{error}");
    assert!(!std::path::Path::new(&data.path()).exists());
    let error = data.sql("CREATE TABLE t (x INT); COPY t FROM '/nowhere/file.parquet'").refused();
    assert!(error.starts_with("ERROR 58P01: "), "{error}");
}

#[test]
fn other_places_are_refused_in_a_sentence() {
    let places = [
        ("ftp://bucket/db", "a directory, memory://"),
        ("hdfs://host/db", "a directory, memory://"),
        ("s3://", "the name of a bucket"),
        ("s3://key:secret@bucket/db", "credentials and endpoints come from the environment"),
        ("az://container?sig=secret", "credentials and endpoints come from the environment"),
    ];
    for (url, sentence) in places {
        for command in [&["sql", "-c", "SELECT 1", "-d"][..], &["verify", "-d"], &["demo", "-d"]] {
            let error = volley(&[command, &[url]].concat()).refused();
            assert!(error.contains(sentence) && !error.contains("secret"), "{error}");
        }
    }
}

#[test]
fn a_server_is_no_directory() {
    for command in ["verify", "demo", "serve"] {
        let error = volley(&[command, "-d", "grpc://ann:secret@localhost:1"]).refused();
        assert!(error.contains("not on a server") && !error.contains("secret"), "{error}");
    }
    // Nobody listens on port 1.
    let error = volley(&["sql", "-d", "grpc://ann:secret@localhost:1", "-c", "SELECT 1"]).refused();
    assert!(error.starts_with("ERROR 08006: no connection to grpc://localhost:1: "), "{error}");
    let error = volley(&["sql", "-d", "grpc://localhost:1", "--threads", "1", "-c", "SELECT 1"]).refused();
    assert!(error.contains("--threads"), "{error}");
}

#[test]
fn memory_is_gone_afterwards() {
    let run = |sql: &str| volley(&["sql", "-d", "memory://", "--format", "csv", "-c", sql]);
    assert_eq!(run("CREATE TABLE t AS SELECT 42 AS x; SELECT x FROM t").ok(), "x\n42\n");
    run("SELECT x FROM t").refused();
}

#[test]
fn a_malformed_command_line_exits_with_2() {
    for arguments in [&["sql"][..], &["nope"], &["sql", "-c", "x", "--format", "xml"], &["--threads", "0"]] {
        let ran = volley(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}

#[test]
fn help_has_examples() {
    let commands = [
        &["--help"][..],
        &["sql", "--help"],
        &["demo", "--help"],
        &["verify", "--help"],
        &["serve", "--help"],
        &["coordinator", "--help"],
        &["executor", "--help"],
        &["config", "check", "--help"],
    ];
    for arguments in commands {
        let help = volley(arguments).ok();
        assert!(help.contains("Examples:"), "{help}");
    }
    assert!(volley(&["--version"]).ok().starts_with("volley 0."));
}

#[test]
fn chains_and_nests_without_end_are_refused() {
    let data = Data::new();
    let chain = format!("SELECT {}", vec!["1"; 100_000].join("+"));
    let file = data.beside("chain.sql");
    std::fs::write(&file, chain).expect("writes");
    let ran = volley(&["sql", "-d", &data.path(), "--format", "csv", "-f", &file]);
    // Either it is computed or it is refused; it never overflows the stack.
    match ran.code {
        Some(0) => assert!(ran.stdout.ends_with("\n100000\n"), "{ran:?}"),
        _ => assert!(ran.refused().starts_with("ERROR 54001: ")),
    }
    let nest = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    std::fs::write(&file, nest).expect("writes");
    let error = volley(&["sql", "-d", &data.path(), "-f", &file]).refused();
    assert!(error.starts_with("ERROR 54001: "), "{error}");
}
