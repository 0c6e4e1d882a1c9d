//! The shell on a pipe: what it does without a terminal. Its pieces have unit tests beside them.

use super::program::{Data, volley_with};

#[test]
fn statements_and_commands_mix() {
    let data = Data::new();
    let script = "\
CREATE TABLE docs (id BIGINT PRIMARY KEY, \"Title\" TEXT NOT NULL, v vector(2));
CREATE VIEW titles AS SELECT \"Title\" FROM docs;
INSERT INTO docs VALUES (1,
  'x');
\\dt
\\dv
CREATE INDEX ON docs USING hnsw (v);
\\d docs
\\di
\\format csv
SELECT id FROM docs;
\\format table
\\x
SELECT id, \"Title\" FROM docs;
\\q
SELECT 'never';
";
    let script = script.replace("'x')", "'x', '[1,2]')");
    let ran = volley_with(&["-d", &data.path()], script.as_bytes());
    let out = ran.ok();
    for expected in [
        " public | docs | table",
        " public | titles | view",
        " id     | bigint    | not null",
        " Title  | text      | not null",
        " v      | vector(2) |",
        " public       | docs       | docs_v_idx | hnsw (v vector_l2_ops) WITH (m = 16, ",
        "\nid\n1\n",
        "-[ RECORD 1 ]-",
        "\nTitle | x\n",
    ] {
        assert!(out.contains(expected), "{expected:?} is missing in\n{out}");
    }
    assert!(!out.contains("never"), "{out}");
}

#[test]
fn errors_do_not_end_the_shell_but_show_in_its_exit_code() {
    let ran = volley_with(&["-d", "memory://"], b"SELECT nope;\n\\nope\nSELECT 7 AS seven;\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("seven"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 2, "{ran:?}");
}

#[test]
fn files_are_included() {
    let data = Data::new();
    let (good, bad) = (data.beside("good.sql"), data.beside("bad.sql"));
    std::fs::write(&good, "CREATE TABLE t (x INT);\nINSERT INTO t\nVALUES (1)").expect("writes");
    std::fs::write(&bad, "INSERT INTO t VALUES (2);\nSELEC;\nINSERT INTO t VALUES (3);").expect("writes");
    let own = data.beside("own.sql");
    std::fs::write(&own, format!("\\i {own}\n")).expect("writes");
    let script = format!("\\i {good}\n\\i {bad}\n\\i {own}\n\\timing on\nSELECT count(*) AS n FROM t;\n");
    let ran = volley_with(&["-d", &data.path()], script.as_bytes());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains(" n\n---\n 2\n(1 row)\nTime: "), "{ran:?}");
    assert!(ran.stderr.contains("include itself"), "{ran:?}");
}
