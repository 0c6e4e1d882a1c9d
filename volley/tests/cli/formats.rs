//! The three output formats.

use super::program::{Data, volley};

const SETUP: &str = "
    CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT, v vector(3));
    INSERT INTO t VALUES (1, 'a, b', '[1,2,3.5]'), (2, NULL, NULL), (3, '', '[0,0,0]');";

fn select(data: &Data, format: &str, sql: &str) -> String {
    volley(&["sql", "-d", &data.path(), "--format", format, "-c", sql]).ok()
}

#[test]
fn tables_are_for_people() {
    let data = Data::new();
    assert_eq!(data.sql(SETUP).ok(), "CREATE TABLE\nINSERT 0 3\n");
    let expected = [
        " id | name |     v",
        "----+------+-----------",
        "  1 | a, b | [1,2,3.5]",
        "  2 | NULL | NULL",
        "  3 |      | [0,0,0]",
        "(3 rows)",
    ];
    assert_eq!(data.sql("SELECT * FROM t ORDER BY id").ok().lines().collect::<Vec<_>>(), expected);
    assert_eq!(data.sql("SELECT id FROM t WHERE id > 9").ok(), " id\n----\n(0 rows)\n");
}

#[test]
fn csv_is_for_programs() {
    let data = Data::new();
    data.sql(SETUP).ok();
    let expected = "id,name,v\n1,\"a, b\",\"[1,2,3.5]\"\n2,,\n3,\"\",\"[0,0,0]\"\n";
    assert_eq!(select(&data, "csv", "SELECT * FROM t ORDER BY id"), expected);
    assert_eq!(select(&data, "csv", "SELECT id FROM t WHERE id > 9"), "id\n");
    // Only result sets are written: nothing else could be told from them.
    assert_eq!(select(&data, "csv", "DELETE FROM t WHERE id = 3; SELECT count(*) AS n FROM t"), "n\n2\n");
}

#[test]
fn json_is_one_array_per_result_set() {
    let data = Data::new();
    data.sql(SETUP).ok();
    let found = select(&data, "json", "SELECT * FROM t ORDER BY id; DELETE FROM t; SELECT * FROM t");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2, "{found}");
    let rows: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
    let expected = serde_json::json!([
        {"id": 1, "name": "a, b", "v": [1.0, 2.0, 3.5]},
        {"id": 2, "name": null, "v": null},
        {"id": 3, "name": "", "v": [0.0, 0.0, 0.0]},
    ]);
    assert_eq!(rows, expected);
    assert_eq!(lines[1], "[]");
}

#[test]
fn csv_comes_back_in_by_copy() {
    let data = Data::new();
    data.sql(SETUP).ok();
    let file = data.beside("t.csv");
    std::fs::write(&file, select(&data, "csv", "SELECT * FROM t ORDER BY id")).expect("writes");
    data.sql(&format!("CREATE TABLE u (id BIGINT, name TEXT, v vector(3)); COPY u FROM '{file}'")).ok();
    assert_eq!(
        data.values(
            "SELECT count(*) FROM t JOIN u ON t.id = u.id AND (t.v <-> u.v = 0 OR t.v IS NULL AND u.v IS NULL)"
        ),
        "3"
    );
}

#[test]
fn names_of_any_language_work() {
    let data = Data::new();
    let sql =
        "CREATE TABLE \"Größe von 東京\" (\"Spalte \"\"1\"\"\" TEXT); INSERT INTO \"Größe von 東京\" VALUES ('Ж;''')";
    data.sql(sql).ok();
    let found = select(&data, "json", "SELECT * FROM \"Größe von 東京\"");
    assert_eq!(found, "[{\"Spalte \\\"1\\\"\":\"Ж;'\"}]\n");
}

#[test]
fn types_print_as_sql_writes_them() {
    let data = Data::new();
    let found = data.values(
        "SELECT TRUE, 1.50::numeric(10,2), DATE '2024-02-29', TIMESTAMP '2024-02-29 12:30:00', ARRAY[1, 2], NULL, 'x'",
    );
    assert_eq!(found, "true,1.50,2024-02-29,2024-02-29 12:30:00,\"[1,2]\",,x");
}

#[test]
fn a_million_rows_stream() {
    let data = Data::new();
    let csv = select(&data, "csv", "SELECT value FROM generate_series(1, 1000000)");
    assert_eq!(csv.lines().count(), 1_000_001);
    let table = data.sql("SELECT value FROM generate_series(1, 3000)").ok();
    assert!(table.ends_with("(3,000 rows)\n"), "{}", &table[table.len() - 100..]);
}
