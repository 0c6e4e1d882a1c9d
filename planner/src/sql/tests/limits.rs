//! What is refused before it can overflow a stack, and what is long but ordinary.

use std::time::{Duration, Instant};

use volley_storage::ErrorKind;

use crate::sql::{Limits, parse_statement, parse_statement_with};

fn assert_refused(name: &str, sql: &str) {
    let start = Instant::now();
    match parse_statement(sql) {
        Ok(_) => panic!("{name} parsed"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::TooComplex, "{name}: {error}"),
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
}

fn assert_fast(name: &str, sql: &str, most: Duration) {
    let start = Instant::now();
    if let Err(error) = parse_statement(sql) {
        panic!("{name}: {error}");
    }
    let elapsed = start.elapsed();
    println!("{name}: {} bytes in {elapsed:?}", sql.len());
    assert!(elapsed < most, "{name} took {elapsed:?}");
}

#[test]
fn endless_chains_are_refused() {
    const N: usize = 100_000;
    for operator in [
        "+",
        "-",
        "*",
        "||",
        "OR",
        "AND",
        "=",
        "<->",
        "<=>",
        "->",
        "::int +",
        "IS DISTINCT FROM",
        "COLLATE c ||",
        "LIKE",
        "NOT LIKE",
        "+ where -",
        "+ when -",
        "+ union -",
    ] {
        assert_refused(operator, &format!("SELECT 1{}", format!(" {operator} 1").repeat(N)));
    }
    for (name, sql) in [
        ("unary", format!("SELECT {}1", "- ".repeat(N))),
        ("not", format!("SELECT {}true", "NOT ".repeat(N))),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(N), ")".repeat(N))),
        ("open parentheses", format!("SELECT {}", "(".repeat(N))),
        ("brackets", format!("SELECT {}1{}", "[".repeat(N), "]".repeat(N))),
        ("braces", format!("SELECT {}", "{'a':".repeat(N))),
        ("subscripts", format!("SELECT a{}", "[1]".repeat(N))),
        ("casts", format!("SELECT a{}", "::int".repeat(N))),
        ("calls", format!("SELECT {}1{}", "f(".repeat(N), ")".repeat(N))),
        ("cases", format!("SELECT {}", "CASE WHEN a THEN ".repeat(N))),
        ("else cases", format!("SELECT {} 1 {}", "CASE WHEN a THEN 1 ELSE ".repeat(N), " END".repeat(N))),
        ("union", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(N))),
        ("except", format!("SELECT 1{}", " EXCEPT (SELECT 1)".repeat(N))),
        ("subqueries", format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(N), ") x".repeat(N))),
        ("joins", format!("SELECT * FROM t{}", " JOIN t ON true".repeat(N))),
        ("is null", format!("SELECT a{}", " IS NULL".repeat(N))),
        ("at time zone", format!("SELECT a{}", " AT TIME ZONE 'UTC'".repeat(N))),
        ("intervals", format!("SELECT a{}", " + INTERVAL '1' DAY".repeat(N))),
        ("array types", format!("SELECT a::int{}", "[]".repeat(N))),
        ("explain", "EXPLAIN ".repeat(N)),
        ("prepare", "PREPARE a AS ".repeat(N)),
        ("exists", format!("SELECT {}", "EXISTS ".repeat(N))),
        ("delete", format!("DELETE FROM t WHERE a{}", " OR a".repeat(N))),
        ("default", format!("CREATE TABLE t (a int DEFAULT 1{})", " + 1".repeat(N))),
        ("chained groups", format!("SELECT {}1{}", "(".repeat(100), format!("){}", " + 1".repeat(100)).repeat(100))),
    ] {
        assert_refused(name, &sql);
    }
}

#[test]
fn what_people_write_is_allowed() {
    let most = Duration::from_secs(5);
    for (name, sql) in [
        ("900 ORs", format!("SELECT * FROM t WHERE a = 1{}", " OR a".repeat(900))),
        (
            "300 conditions",
            format!("SELECT * FROM t WHERE a = 1{}", " OR (b = 2 AND c <> 'x' AND d < 4.5)".repeat(300)),
        ),
        ("100 parentheses", format!("SELECT {}1{}", "(".repeat(100), ")".repeat(100))),
        ("100 calls", format!("SELECT {}1{}", "f(".repeat(100), ")".repeat(100))),
        ("20 subqueries", format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(20), ") x".repeat(20))),
        ("900 unions", format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(900))),
        ("5,000 branches", format!("SELECT CASE {} ELSE 0 END", "WHEN a = 1 THEN b + 1 ".repeat(5_000))),
        ("100,000 values", format!("SELECT * FROM t WHERE a IN (1{})", ", 2".repeat(100_000))),
        ("10,000 columns", format!("SELECT a + b{} FROM t", ", a + b".repeat(10_000))),
        ("32,768 elements", format!("SELECT ARRAY[0.5{}]", ", -0.25".repeat(32_767))),
        ("100,000 rows", format!("INSERT INTO t VALUES (1, 'a', -2.5){}", ", (1, 'a', -2.5)".repeat(100_000))),
        ("200 joins", format!("SELECT * FROM t{}", " JOIN t ON t.a = t.b AND t.c = t.d".repeat(199))),
    ] {
        assert_fast(name, &sql, most);
    }
}

/// 10 MB of vectors, as text and as arrays of numbers.
#[test]
fn a_large_insert_is_ordinary() {
    let numbers = (0..768).map(|i| format!("0.{:04}", (i * 37) % 10_000)).collect::<Vec<_>>().join(",");
    let rows = 10_000_000 / numbers.len();
    let texts: Vec<String> = (0..rows).map(|row| format!("({row}, '[{numbers}]')")).collect();
    assert_fast("10 MB of text vectors", &format!("INSERT INTO t VALUES {}", texts.join(", ")), Duration::from_secs(5));
    let arrays: Vec<String> = (0..rows).map(|row| format!("({row}, ARRAY[{numbers}])")).collect();
    assert_fast("10 MB of arrays", &format!("INSERT INTO t VALUES {}", arrays.join(", ")), Duration::from_secs(10));
}

#[test]
fn length_is_bounded() {
    let limits = Limits { bytes_max: 10, ..Limits::default() };
    let error = parse_statement_with("SELECT 12345", &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooComplex);
    assert!(error.to_string().contains("COPY"), "{error}");
}

/// sqlparser tries several readings of brackets and words; nested, that must not take exponential time.
#[test]
fn backtracking_is_bounded() {
    for (name, sql) in [
        ("broken casts", format!("SELECT {}1{}", "CAST(".repeat(100), ")".repeat(100))),
        ("broken cases", format!("SELECT {}1", "CASE WHEN ".repeat(100))),
        ("broken calls", format!("SELECT {}1 1{}", "f(".repeat(100), ")".repeat(100))),
        ("broken extracts", format!("SELECT {}1{}", "EXTRACT(DAY FROM ".repeat(100), "]".repeat(100))),
        ("parentheses in FROM", format!("SELECT * FROM {}t{}", "(".repeat(100), ")".repeat(100))),
        (
            "joins in parentheses",
            format!("SELECT * FROM {}t{}", "((SELECT * FROM ".repeat(40), ") x JOIN y ON true)".repeat(40)),
        ),
        ("nested IN", format!("SELECT {}1{}", "a IN (".repeat(100), ")".repeat(100))),
        ("nested parentheses in IN", format!("SELECT a IN {}1{}", "(".repeat(100), ")".repeat(100))),
        ("nested arrays", format!("SELECT {}1{}", "ARRAY[".repeat(100), "]".repeat(99))),
        ("nested structs", format!("SELECT {}1", "{'a': ".repeat(100))),
        ("nested maps", format!("SELECT {}1", "MAP {'a': ".repeat(100))),
        ("nested types", format!("SELECT a::{}int", "STRUCT<a ".repeat(100))),
        ("nested positions", format!("SELECT {}1", "POSITION(a IN ".repeat(100))),
        ("nested trims", format!("SELECT {}1", "TRIM(BOTH FROM ".repeat(100))),
        ("nested intervals", format!("SELECT {}1", "INTERVAL (".repeat(100))),
        ("nested exists", format!("SELECT {}1", "EXISTS(SELECT ".repeat(100))),
    ] {
        let start = Instant::now();
        let _ = parse_statement_with(&sql, &Limits { subqueries_max: 100, ..Limits::default() });
        assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
    }
}
