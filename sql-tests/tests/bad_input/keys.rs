//! Rows that break a constraint: nothing of their statement is applied.

use super::Volley;

#[test]
fn duplicate_keys_within_a_statement_and_against_every_kind_of_segment() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT PRIMARY KEY, name TEXT);\n\
         INSERT INTO t SELECT value, 'file' FROM generate_series(1, 5000);\n\
         INSERT INTO t VALUES (6001, 'inline'), (6002, 'inline')");
    for sql in [
        "INSERT INTO t VALUES (7001, 'a'), (7002, 'b'), (7001, 'c')",
        "INSERT INTO t VALUES (7001, 'a'), (17, 'in a file')",
        "INSERT INTO t VALUES (7001, 'a'), (6002, 'in the log')",
        "INSERT INTO t SELECT * FROM t",
        "INSERT INTO t SELECT value, 'x' FROM generate_series(8000, 20000) UNION ALL SELECT 20000, 'y'",
        "INSERT INTO t SELECT value, 'x' FROM generate_series(5000, 20000)",
    ] {
        volley.refuses_saying("23505", "already exists", sql);
    }
    assert_eq!(volley.value("SELECT count(*) FROM t"), "5002");
}

#[test]
fn nulls_where_none_may_be() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT PRIMARY KEY, name TEXT NOT NULL, e vector(2) NOT NULL)");
    volley.refuses_saying("23502", "name", "INSERT INTO t VALUES (1, 'a', '[1,0]'), (2, NULL, '[1,0]')");
    volley.refuses_saying("23502", "id", "INSERT INTO t VALUES (NULL, 'a', '[1,0]')");
    volley.refuses_saying("23502", "\"e\"", "INSERT INTO t VALUES (1, 'a', NULL)");
    volley.refuses_saying("23502", "\"e\"", "INSERT INTO t (id, name) VALUES (1, 'a')");
    assert_eq!(volley.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn values_that_do_not_fit() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT, small SMALLINT, n NUMERIC(4, 2), d DATE, b BOOLEAN)");
    for (sqlstate, sql) in [
        ("22003", "INSERT INTO t (small) VALUES (1), (40000)"),
        ("22003", "INSERT INTO t (id) VALUES (3000000000)"),
        ("22003", "INSERT INTO t (n) VALUES (100)"),
        ("22P02", "INSERT INTO t (id) VALUES ('one')"),
        ("22P02", "INSERT INTO t (b) VALUES ('perhaps')"),
        ("22007", "INSERT INTO t (d) VALUES ('2023-02-29')"),
        ("22012", "INSERT INTO t (id) SELECT 1 / (value - 3) FROM generate_series(1, 5)"),
        ("42000", "INSERT INTO t VALUES (1, 2, 3, '2024-01-01', true, 6)"),
        ("42000", "INSERT INTO t (id, small) VALUES (1)"),
        ("42701", "INSERT INTO t (id, id) VALUES (1, 2)"),
        ("42P07", "CREATE TABLE t (id INT)"),
        ("42701", "CREATE TABLE x (a INT, a INT)"),
        ("21000", "SELECT (SELECT value FROM generate_series(1, 2))"),
        ("22012", "SELECT 1 / 0"),
        ("0A000", "UPDATE t SET id = 1"),
        ("0A000", "INSERT INTO t (id) VALUES (1) ON CONFLICT DO NOTHING"),
        ("42804", "CREATE INDEX i ON t USING hnsw (n)"),
        ("0A000", "CREATE TABLE x (a INT REFERENCES t (id))"),
    ] {
        volley.refuses(sqlstate, sql);
    }
    // A table with rows is refused the same way.
    volley.ok("INSERT INTO t (id) VALUES (1)");
    volley.refuses("22P02", "INSERT INTO t (id) VALUES (2), ('x')");
}
