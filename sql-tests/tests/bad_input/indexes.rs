//! Indexes that cannot be, and statements about indexes that are not.

use super::Volley;

#[test]
fn each_refusal_says_what_to_do() {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE docs (id INT PRIMARY KEY, body TEXT, emb vector(4), nums REAL[]);\n\
         CREATE VIEW seen AS SELECT * FROM docs;\n\
         CREATE TABLE queries (v vector(3));\n\
         INSERT INTO queries VALUES ('[1,2,3]');\n\
         INSERT INTO docs SELECT value, 'x', ARRAY[value, 1, 2, 3], NULL FROM generate_series(1, 3000);\n\
         CREATE INDEX named ON docs USING hnsw (emb)");
    let on_emb = |with: &str| format!("CREATE INDEX i ON docs USING hnsw (emb) WITH ({with})");
    let cases = [
        ("42809", "select from its table", "SELECT * FROM named".to_owned()),
        ("42809", "is an index and cannot be written to", "INSERT INTO named VALUES (1)".to_owned()),
        ("42P07", "index \"named\" exists already", "CREATE TABLE named (a INT)".to_owned()),
        ("42P07", "table \"docs\" exists already", "CREATE INDEX docs ON docs USING hnsw (emb)".to_owned()),
        ("42P07", "view \"seen\" exists already", "CREATE INDEX seen ON docs USING hnsw (emb)".to_owned()),
        ("42804", "has the type text", "CREATE INDEX ON docs USING hnsw (body)".to_owned()),
        ("42804", "CAST(nums AS vector(n))", "CREATE INDEX ON docs USING hnsw (nums)".to_owned()),
        ("42703", "did you mean \"emb\"", "CREATE INDEX ON docs USING hnsw (enb)".to_owned()),
        ("42P01", "did you mean \"docs\"", "CREATE INDEX ON dosc USING hnsw (emb)".to_owned()),
        ("42809", "is a view and cannot be indexed", "CREATE INDEX ON seen USING hnsw (emb)".to_owned()),
        ("42704", "the one there is is hnsw", "CREATE INDEX ON docs USING ivfflat (emb) WITH (lists = 9)".to_owned()),
        ("42704", "vector_l2_ops, vector_cosine_ops, ", "CREATE INDEX ON docs USING hnsw (emb vector_ops)".to_owned()),
        ("22023", "m, ef_construction and quantizer", on_emb("lists = 100")),
        ("22023", "from 2 to 100", on_emb("m = 1")),
        ("22023", "from 4 to 1000", on_emb("ef_construction = 2000")),
        ("22023", "twice m", on_emb("m = 40, ef_construction = 79")),
        ("22023", "f32, f16, i8", on_emb("quantizer = 'pq'")),
        ("0A000", "USING hnsw", "CREATE INDEX ON docs (id)".to_owned()),
        ("42704", "did you mean \"named\"", "DROP INDEX nammed".to_owned()),
        ("42704", "does not exist", "REINDEX INDEX missing".to_owned()),
        ("42809", "not an index; use DROP TABLE", "DROP INDEX docs".to_owned()),
        ("42809", "not an index; use DROP VIEW", "DROP INDEX seen".to_owned()),
        ("42809", "is an index, not a table; use DROP INDEX", "DROP TABLE named".to_owned()),
        ("42809", "is an index and cannot be analyzed", "ANALYZE named".to_owned()),
        ("22023", "3 dimensions, and the table's index has 4", "ANALYZE docs USING (SELECT v FROM queries)".to_owned()),
        ("42804", "one column of type vector(n)", "ANALYZE docs USING (SELECT id FROM docs)".to_owned()),
        ("22023", "gave no vectors", "ANALYZE docs USING (SELECT emb FROM docs WHERE id < 0)".to_owned()),
        ("55000", "CREATE INDEX first", "ANALYZE queries USING (SELECT v FROM queries)".to_owned()),
        ("22023", "EXPLAIN (ANALYZE, VERIFY)", "EXPLAIN (VERIFY) SELECT 1".to_owned()),
        ("22023", "above 0 and at most 1", "SET volley.recall_target = 1.5".to_owned()),
        ("22023", "auto, exact, in, post", "SET volley.filter_strategy = 'acorn'".to_owned()),
        ("22023", "from 1 to 1000", "SET hnsw.ef_search = 0".to_owned()),
    ];
    for (sqlstate, part, sql) in &cases {
        volley.refuses_saying(sqlstate, part, sql);
    }
    assert_eq!(volley.value("SELECT count(*) FROM volley.vector_indexes"), "1");
}
