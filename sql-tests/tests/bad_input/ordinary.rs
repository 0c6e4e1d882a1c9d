//! Ordinary SQL that simply has to work, in ordinary time. Small forms stand in `slt/limits.slt` and `slt/names.slt`.

use std::fmt::Write as _;
use std::time::Instant;

use super::Volley;

#[test]
fn ten_megabytes_of_vectors_in_one_insert() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT PRIMARY KEY, e vector(128))");
    for form in ["text", "array"] {
        volley.ok("TRUNCATE t");
        let (mut sql, mut rows) = ("INSERT INTO t VALUES ".to_owned(), 0);
        while sql.len() < 10 << 20 {
            let numbers: Vec<_> =
                (0..128).map(|i| format!("{:.6}", ((rows * 131 + i * 17) % 1000) as f32 / 999.0)).collect();
            let numbers = numbers.join(",");
            let (open, close) = if form == "text" { ("'[", "]'") } else { ("ARRAY[", "]") };
            write!(sql, "{}({rows}, {open}{numbers}{close})", if rows == 0 { "" } else { ", " }).unwrap();
            rows += 1;
        }
        let started = Instant::now();
        volley.ok(&sql);
        let seconds = started.elapsed().as_secs_f64();
        println!("INSERT of {rows} vectors as {form}, {:.1} MB: {seconds:.2} s", sql.len() as f64 / 1e6);
        // A few seconds; a form whose time grows with the square of the rows would take an hour.
        assert!(seconds < 120.0, "{form}: {seconds:.1} s");
        assert_eq!(volley.value("SELECT count(e) FROM t"), rows.to_string());
        assert_eq!(volley.value("SELECT id FROM t ORDER BY e <-> (SELECT e FROM t WHERE id = 17), id LIMIT 1"), "17");
    }
}

#[test]
fn limits_far_beyond_the_rows() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT, e vector(2));\nINSERT INTO t SELECT value, ARRAY[value, 0] FROM generate_series(1, 3000);\nINSERT INTO t VALUES (0, NULL)");
    for limit in ["1000000000", "9223372036854775807"] {
        let rows = volley.run(&format!("SELECT id FROM t ORDER BY e <-> '[0,0]' LIMIT {limit}")).unwrap();
        assert_eq!(rows.len(), 3001);
        assert_eq!((rows[0][0].as_str(), rows[3000][0].as_str()), ("1", "0"));
    }
    assert!(volley.run("SELECT id FROM t ORDER BY e <-> '[0,0]' LIMIT 0").unwrap().is_empty());
    assert!(volley.run("SELECT id FROM t ORDER BY e <-> '[0,0]' LIMIT 5 OFFSET 1000000000").unwrap().is_empty());
    assert_eq!(volley.run("SELECT id FROM t ORDER BY e <-> '[0,0]' LIMIT 5 OFFSET 2999").unwrap(), [["3000"], ["0"]]);
}

/// Sessions in parallel on one engine see whole statements only.
#[test]
fn many_sessions_at_once() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id BIGINT PRIMARY KEY, s INT)");
    std::thread::scope(|scope| {
        for session in 0..4 {
            let volley = &volley;
            scope.spawn(move || {
                for round in 0..5 {
                    let first = session * 1000 + round * 10;
                    volley.ok(&format!(
                        "INSERT INTO t SELECT value, {session} FROM generate_series({first}, {first} + 9)"
                    ));
                    let rows: i64 = volley.value("SELECT count(*) FROM t").parse().unwrap();
                    assert_eq!(rows % 10, 0);
                }
            });
        }
    });
    assert_eq!(volley.value("SELECT count(*) FROM t"), "200");
}
