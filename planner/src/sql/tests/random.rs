//! No text panics or hangs, whatever it holds. The generator is a fixed one, so that a failure comes again.

use crate::sql::{is_complete, parse_statement, split_statements};

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: usize) -> usize {
        // SplitMix64, see Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

const WORDS: [&str; 74] = [
    "SELECT",
    "FROM",
    "WHERE",
    "t",
    "a",
    "\"B c\"",
    "'x'",
    "'[1,2]'",
    "1",
    "-2.5e3",
    "(",
    ")",
    ",",
    ";",
    "<->",
    "<=>",
    "<#>",
    "<+>",
    "?",
    "$1",
    "::",
    "vector",
    "vector(3)",
    "CAST",
    "AS",
    "[",
    "]",
    "{",
    "}",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "BETWEEN",
    "IN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "ORDER",
    "BY",
    "LIMIT",
    "JOIN",
    "ON",
    "UNION",
    "ALL",
    "WITH",
    "INSERT",
    "INTO",
    "VALUES",
    "DELETE",
    "CREATE",
    "TABLE",
    "VIEW",
    "DROP",
    "COPY",
    "TO",
    "SET",
    "=",
    "SHOW",
    "EXPLAIN",
    "$$",
    "E'",
    "/*",
    "*/",
    "--",
    "\n",
    "ARRAY",
    "'",
    "\"",
    "é",
    ".",
];

#[test]
fn random_words_never_panic() {
    let mut random = Random(1);
    for _ in 0..30_000 {
        let length = random.below(40);
        let words: Vec<&str> = (0..length).map(|_| WORDS[random.below(WORDS.len())]).collect();
        check(&words.join(if random.below(4) == 0 { "" } else { " " }));
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(2);
    for _ in 0..30_000 {
        let bytes: Vec<u8> = (0..random.below(60)).map(|_| random.below(256) as u8).collect();
        check(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn mutated_statements_never_panic() {
    let mut random = Random(3);
    let statements = [
        "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3) NOT NULL DEFAULT '[1,2,3]') WITH (shards = 2)",
        "COPY t (a, b) FROM 'f.csv' (FORMAT csv, HEADER true, DELIMITER ';', NULL '')",
        "INSERT INTO s.t (a, b) SELECT x <=> $1, y::vector(3) FROM u WHERE z IN (1, 2) ORDER BY 1 LIMIT 3",
        "WITH a AS (SELECT 1) SELECT CASE WHEN b THEN c ELSE d END FROM a JOIN e ON f = g GROUP BY h HAVING i > 1",
        "EXPLAIN (ANALYZE, FORMAT tree) SELECT $$x$$, E'\\n', \"y\" FROM (VALUES (1, 'a')) AS z(p, q)",
        "CREATE INDEX CONCURRENTLY i ON s.t USING hnsw (v vector_ip_ops) WITH (m = 16, quantizer = 'f16')",
        "ANALYZE t USING (SELECT v FROM queries)",
        "PREPARE p (int, text) AS DELETE FROM t WHERE a = $1 AND b <-> '[1]' < 2",
    ];
    for _ in 0..20_000 {
        let mut text: Vec<char> = statements[random.below(statements.len())].chars().collect();
        for _ in 0..=random.below(4) {
            if text.is_empty() {
                break;
            }
            let at = random.below(text.len());
            match random.below(3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, ['(', ')', '\'', '"', ';', '$', '\\', '<', '?', '\0', 'é', ','][random.below(12)]),
                _ => text.truncate(at.max(1)),
            }
        }
        check(&text.into_iter().collect::<String>());
    }
}

fn check(text: &str) {
    is_complete(text);
    for range in split_statements(text) {
        let statement = &text[range];
        if let Err(error) = parse_statement(statement) {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && sentence.len() < 2_000, "{statement}: {sentence}");
        }
    }
}
