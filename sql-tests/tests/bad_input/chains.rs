//! Statements that could exhaust a stack: 100,000 operators, brackets, set operations.

use std::time::Instant;

use super::Volley;

const MANY: usize = 100_000;

fn chained(first: &str, next: &str) -> String {
    let mut text = String::with_capacity(first.len() + next.len() * MANY);
    text.push_str(first);
    (0..MANY).for_each(|_| text.push_str(next));
    text
}

#[test]
fn a_hundred_thousand_operators_are_refused() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT, name TEXT, e vector(2));\nINSERT INTO t VALUES (1, 'a', '[1,0]')");
    let nested =
        |open: &str, inner: &str, close: &str| format!("SELECT {}{inner}{}", open.repeat(MANY), close.repeat(MANY));
    let statements = [
        chained("SELECT 1", " + 1"),
        chained("SELECT 1", " - 1"),
        chained("SELECT 1", " * 1"),
        chained("SELECT 'a'", " || 'b'"),
        chained("SELECT id FROM t WHERE id = 1", " OR id = 2"),
        chained("SELECT id FROM t WHERE id = 1", " AND name = 'a'"),
        chained("DELETE FROM t WHERE id = 5", " OR id = 6"),
        chained("INSERT INTO t (id) VALUES (1", " + 1") + ")",
        chained("SELECT id FROM t ORDER BY e <-> '[1,0]'", " + 1") + " LIMIT 1",
        chained("SELECT e", " + '[1,0]'::vector(2)") + " FROM t",
        chained("SELECT 1", "::int"),
        chained("SELECT name", " -> 'a'") + " FROM t",
        chained("SELECT 1", " UNION ALL SELECT 1"),
        chained("SELECT 1", " EXCEPT SELECT 1"),
        chained("SELECT ", "NOT ") + "true",
        chained("SELECT ", "- ") + "1",
        chained("SELECT ARRAY[1]", "[1]"),
        nested("(", "1", ")"),
        nested("abs(", "1", ")"),
        nested("CASE WHEN true THEN ", "1", " END"),
        nested("(SELECT ", "1", ")"),
        nested("ARRAY[", "1", "]"),
        chained("SELECT 1 FROM t", " JOIN t USING (id)"),
        format!("SELECT 1 FROM {}t{}", "(".repeat(MANY), ")".repeat(MANY)),
        format!("CREATE VIEW v AS {}", chained("SELECT 1", " + 1")),
        format!("EXPLAIN {}", chained("SELECT 1", " + 1")),
        format!("PREPARE p AS {}", chained("SELECT 1", " + 1")),
        format!("COPY ({}) TO '/tmp/never-written.csv'", chained("SELECT 1", " + 1")),
        format!("CREATE TABLE x (a INT DEFAULT {})", &chained("1", " + 1")),
    ];
    for statement in statements {
        volley.refuses("54001", &statement);
    }
}

#[test]
fn brackets_that_do_not_close_are_refused() {
    let volley = Volley::in_memory();
    for text in ["(", ")", "[", "]", "'", "\"", "$$", "/*", "--", "case ", "select ", "not ", "{", ";"] {
        let text = format!("SELECT {}", text.repeat(MANY));
        if let Err(refusal) = volley.run(&text) {
            super::assert_clear(&refusal, &text);
        }
    }
    assert_eq!(volley.value("SELECT 1"), "1");
}

/// Long is not deep: what a program generates has to work.
#[test]
fn long_lists_and_chains_within_the_bounds_work() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id INT)");
    let started = Instant::now();
    let rows: Vec<_> = (0..MANY).map(|row| format!("({row})")).collect();
    volley.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    assert_eq!(volley.value("SELECT count(*) FROM t"), MANY.to_string());
    let list: Vec<_> = (0..20_000).map(|row| (row * 2).to_string()).collect();
    assert_eq!(volley.value(&format!("SELECT count(*) FROM t WHERE id IN ({})", list.join(", "))), "20000");
    let sum = vec!["1"; 1_000].join(" + ");
    assert_eq!(volley.value(&format!("SELECT {sum}")), "1000");
    let or: Vec<_> = (0..400).map(|row| format!("id = {row}")).collect();
    assert_eq!(volley.value(&format!("SELECT count(*) FROM t WHERE {}", or.join(" OR "))), "400");
    let union = vec!["SELECT 1 AS x"; 100].join(" UNION ALL ");
    assert_eq!(volley.value(&format!("SELECT count(*) FROM ({union}) AS u")), "100");
    println!("long statements: {:.1} s", started.elapsed().as_secs_f64());
}
