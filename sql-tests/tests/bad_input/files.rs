//! Files that are not what the statement takes them for.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;

use super::Volley;

fn with_table() -> Volley {
    let volley = Volley::in_memory();
    volley.ok("CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT NOT NULL, e vector(2));\nINSERT INTO t VALUES (1, 'one', '[1,0]')");
    volley
}

fn write(volley: &Volley, name: &str, columns: Vec<(&str, ArrayRef)>) -> String {
    let path = volley.path(name);
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path.display().to_string()
}

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn names(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn vectors(dim: i32, values: Vec<f32>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, dim, Arc::new(Float32Array::from(values)), None))
}

#[test]
fn parquet_of_another_schema() {
    let volley = with_table();
    let two = || names(&[Some("a"), Some("b")]);
    let none = || vectors(2, vec![0.0; 4]);
    let cases = [
        (
            "22P04",
            write(
                &volley,
                "more.parquet",
                vec![("id", ids(&[2, 3])), ("name", two()), ("e", none()), ("extra", ids(&[1, 2]))],
            ),
        ),
        ("22P04", write(&volley, "other.parquet", vec![("key", ids(&[2, 3])), ("name", two()), ("e", none())])),
        ("42804", write(&volley, "types.parquet", vec![("id", two()), ("name", two()), ("e", none())])),
        ("42804", write(&volley, "vector.parquet", vec![("id", ids(&[2, 3])), ("name", two()), ("e", ids(&[1, 2]))])),
        (
            "22023",
            write(
                &volley,
                "dims.parquet",
                vec![("id", ids(&[2, 3])), ("name", two()), ("e", vectors(3, vec![0.0; 6]))],
            ),
        ),
        (
            "22023",
            write(
                &volley,
                "nan.parquet",
                vec![("id", ids(&[2, 3])), ("name", two()), ("e", vectors(2, vec![0.0, f32::NAN, 1.0, 1.0]))],
            ),
        ),
        (
            "23502",
            write(
                &volley,
                "null.parquet",
                vec![("id", ids(&[2, 3])), ("name", names(&[Some("a"), None])), ("e", none())],
            ),
        ),
        ("22P04", write(&volley, "absent.parquet", vec![("id", ids(&[2, 3]))])),
        ("23505", write(&volley, "key.parquet", vec![("id", ids(&[2, 1])), ("name", two()), ("e", none())])),
        ("23505", write(&volley, "twice.parquet", vec![("id", ids(&[2, 2])), ("name", two()), ("e", none())])),
    ];
    for (sqlstate, path) in cases {
        volley.refuses(sqlstate, &format!("COPY t FROM '{path}'"));
    }
    let good = write(&volley, "good.parquet", vec![("e", none()), ("name", two()), ("id", ids(&[2, 3]))]);
    volley.ok(&format!("COPY t FROM '{good}'"));
    assert_eq!(volley.value("SELECT count(*) FROM t"), "3");
}

#[test]
fn truncated_and_foreign_files() {
    let volley = with_table();
    let columns = vec![("id", ids(&[2, 3])), ("name", names(&[Some("a"), Some("b")])), ("e", vectors(2, vec![0.0; 4]))];
    let good = write(&volley, "good.parquet", columns);
    let bytes = fs::read(&good).unwrap();
    let text = "id,name\n2,\"a\n".to_owned();
    let files: [(&str, Vec<u8>); 11] = [
        ("half.parquet", bytes[..bytes.len() / 2].to_vec()),
        ("headless.parquet", bytes[bytes.len() / 2..].to_vec()),
        ("tailless.parquet", bytes[..bytes.len() - 1].to_vec()),
        ("empty.parquet", Vec::new()),
        ("magic.parquet", b"PAR1".to_vec()),
        ("text.parquet", b"not parquet at all, but a text of some length".to_vec()),
        ("broken.csv", text.into_bytes()),
        ("more.csv", b"id,name,e\n2,a,\"[1,0]\",9\n".to_vec()),
        ("words.csv", b"id,name,e\ntwo,a,\"[1,0]\"\n".to_vec()),
        ("broken.json", b"{\"id\": 2, \"name\": \"a\"\n".to_vec()),
        ("list.json", b"[1, 2, 3]\n".to_vec()),
    ];
    for (name, bytes) in files {
        let path = volley.path(name);
        fs::write(&path, bytes).unwrap();
        let sql = format!("COPY t FROM '{}'", path.display());
        let before = volley.everything();
        let refusal = match volley.run(&sql) {
            Err(refusal) => refusal,
            Ok(_) => panic!("not refused: {sql}"),
        };
        super::assert_clear(&refusal, &sql);
        assert!(
            ["22P04", "22P02", "22023", "58030"].contains(&refusal.sqlstate),
            "{}: {} for {name}",
            refusal.sqlstate,
            refusal.sentence
        );
        assert_eq!(volley.everything(), before, "{name} changed something");
    }
    // Bytes flipped in the middle of a Parquet file: refused or read, never half of it. The Parquet reader panics on some
    // of them.
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x5a;
        let path = volley.path("flipped.parquet");
        fs::write(&path, damaged).unwrap();
        if let Err(refusal) = volley.run(&format!("COPY t FROM '{}'", path.display())) {
            assert_eq!(refusal.sentence.lines().count(), 1, "{}", refusal.sentence);
            assert!(!refusal.sentence.contains("panicked"), "byte {at}: {}", refusal.sentence);
        }
        volley.ok("DELETE FROM t WHERE id <> 1");
    }
}

#[test]
fn missing_paths() {
    let volley = with_table();
    let nowhere = volley.path("nowhere");
    let nowhere = nowhere.display();
    for sql in [
        format!("COPY t FROM '{nowhere}.parquet'"),
        format!("COPY t FROM '{nowhere}.csv'"),
        format!("COPY t FROM '{nowhere}/' (FORMAT csv)"),
        format!("COPY t FROM '{nowhere}/*.parquet'"),
    ] {
        volley.refuses("58P01", &sql);
    }
    for sql in [
        format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{nowhere}.parquet'"),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{nowhere}/'"),
    ] {
        volley.refuses("58P01", &sql);
    }
    // A place that cannot be written: a file stands where a directory should.
    let file = volley.path("file");
    fs::write(&file, "x").unwrap();
    let sql = format!("COPY t TO '{}/below/x.csv'", file.display());
    let refusal = volley.run(&sql).expect_err("not a directory");
    super::assert_clear(&refusal, &sql);
    let refusal = volley.run("COPY t FROM ''").expect_err("no path");
    super::assert_clear(&refusal, "COPY t FROM ''");
}

/// An external table whose file went away or was replaced says so, and other tables keep working.
#[test]
fn external_files_that_change_under_a_table() {
    let volley = with_table();
    let path = write(&volley, "ext.parquet", vec![("id", ids(&[2, 3]))]);
    volley.ok(&format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{path}'"));
    assert_eq!(volley.value("SELECT sum(id) FROM x"), "5");
    fs::write(&path, "no longer parquet, but long enough to be looked at").unwrap();
    let refusal = volley.run("SELECT sum(id) FROM x").expect_err("a foreign file");
    super::assert_clear(&refusal, "SELECT sum(id) FROM x");
    fs::remove_file(&path).unwrap();
    let gone = volley.run("SELECT sum(id) FROM x").expect_err("a missing file");
    super::assert_clear(&gone, "SELECT sum(id) FROM x");
    assert_eq!(volley.value("SELECT count(*) FROM t"), "1");
    volley.ok("DROP TABLE x");
}
