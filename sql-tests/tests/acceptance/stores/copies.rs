//! Copies of an object store's files on this machine.

use volley::EngineConfig;
use volley_sql_tests::object_store::ObjectStore;

use super::Db;

const ROWS: i64 = 20_000;
const NEAREST: &str = "SELECT id FROM t ORDER BY v <-> '[7, 0, 0]' LIMIT 1";

#[test]
fn files_are_fetched_once_and_answers_do_not_need_the_copies() {
    let Some(store) = ObjectStore::shared() else { return };
    let (place, directory) = (store.place(), tempfile::tempdir().expect("a directory"));
    let copies = directory.path().join("copies");
    let writer = Db::open(place.config(&directory.path().join("others")));
    writer.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, note TEXT, v vector(3))");
    writer.sql(&format!(
        "INSERT INTO t SELECT i, repeat('x', 20) || i, ARRAY[i, 0, 0] FROM generate_series(1, {ROWS}) AS g(i)"
    ));
    writer.sql("CREATE INDEX ON t USING hnsw (v vector_l2_ops)");
    writer.sql("DELETE FROM t WHERE id % 2 = 0");
    let answers = |db: &Db| {
        assert_eq!(db.number("SELECT count(*) FROM t WHERE note LIKE '%x1%'"), 5_556);
        assert_eq!(db.number("SELECT sum(id) FROM t"), ROWS / 2 * (ROWS / 2));
        assert_eq!(db.number(NEAREST), 7);
    };
    let first = Db::open(place.config(&copies));
    answers(&first);
    let kept = first.number("SELECT count(*) FROM volley.cache WHERE file LIKE 'tables/%' AND bytes > 0");
    assert!(kept >= 3, "{kept} files: the rows, the vectors, the index at least");
    drop(first);
    // Another process on the same directory finds them.
    let second = Db::open(place.config(&copies));
    answers(&second);
    assert!(second.number("SELECT sum(hits) FROM volley.cache") > 0);
    assert_eq!(second.number("SELECT count(*) FROM volley.cache"), kept);
    let error = second.refused(&format!("COPY t TO '{}/x.csv'", copies.display()));
    assert!(error.to_string().contains("data directory"), "{error}");
    // They may go at any time.
    std::fs::remove_dir_all(&copies).expect("deleted");
    answers(&second);
    answers(&Db::open(place.config(&copies)));
    // Without room, everything is read into memory.
    let small = Db::open(EngineConfig { cache_size: Some(1_000), ..place.config(&directory.path().join("small")) });
    answers(&small);
    assert!(small.number("SELECT coalesce(sum(bytes), 0) FROM volley.cache") <= 1_000);
}
