use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::*;

fn vectors(rows: &[Option<Vec<f32>>], dimension: usize) -> ArrayRef {
    let values: Vec<f32> = rows.iter().flat_map(|row| row.clone().unwrap_or(vec![0.0; dimension])).collect();
    let nulls = rows.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    Arc::new(FixedSizeListArray::new(item, dimension as i32, Arc::new(Float32Array::from(values)), Some(nulls)))
}

fn sample() -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(300)])) as ArrayRef, true),
        ("text", Arc::new(StringArray::from(vec![Some("a, \"b\""), Some(""), None])) as ArrayRef, true),
        ("v", vectors(&[Some(vec![1.0, 0.5]), None, Some(vec![1e-7, -2.0])], 2), true),
    ])
    .expect("columns of one length")
}

fn written(format: Format, batches: &[RecordBatch], table: TableOptions) -> String {
    let mut out = Vec::new();
    let mut writer = ResultWriter::begin(format, batches[0].schema(), table);
    for batch in batches {
        writer.batch(batch, &mut out).expect("writes");
    }
    writer.end(&mut out).expect("writes");
    String::from_utf8(out).expect("text")
}

#[test]
fn csv_tells_null_from_empty() {
    let found = written(Format::Csv, &[sample()], TableOptions::default());
    assert_eq!(found, "id,text,v\n1,\"a, \"\"b\"\"\",\"[1,0.5]\"\n,\"\",\n300,,\"[1e-07,-2]\"\n");
}

#[test]
fn csv_without_rows_has_a_header() {
    assert_eq!(written(Format::Csv, &[sample().slice(0, 0)], TableOptions::default()), "id,text,v\n");
}

#[test]
fn json_is_one_array_on_one_line() {
    let found = written(Format::Json, &[sample().slice(0, 2), sample().slice(2, 1)], TableOptions::default());
    assert_eq!(found.matches('\n').count(), 1);
    let parsed: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let expected = serde_json::json!([
        {"id": 1, "text": "a, \"b\"", "v": [1.0, 0.5]},
        {"id": null, "text": "", "v": null},
        {"id": 300, "text": null, "v": [1e-7f32, -2.0]},
    ]);
    assert_eq!(parsed[0], expected[0]);
    assert_eq!(parsed[1], expected[1]);
    assert_eq!(parsed[2]["text"], serde_json::Value::Null);
    assert_eq!(written(Format::Json, &[sample().slice(0, 0)], TableOptions::default()), "[]\n");
}

#[test]
fn json_has_no_word_for_nan() {
    let numbers = Float64Array::from(vec![f64::NAN, f64::INFINITY, 1.5]);
    let batch = RecordBatch::try_from_iter([("x", Arc::new(numbers) as ArrayRef)]).expect("batch");
    assert_eq!(written(Format::Json, &[batch], TableOptions::default()), "[{\"x\":null},{\"x\":null},{\"x\":1.5}]\n");
}

#[test]
fn nested_values_are_json_in_csv() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).expect("batch");
    assert_eq!(written(Format::Csv, std::slice::from_ref(&batch), TableOptions::default()), "l\n\"[1,null]\"\n\n");
    assert_eq!(written(Format::Json, &[batch], TableOptions::default()), "[{\"l\":[1,null]},{\"l\":null}]\n");
}

#[test]
fn tables_look_like_psql() {
    let found = written(Format::Table, &[sample()], TableOptions::default());
    let expected = "  id  |  text  |      v\n------+--------+------------\n    1 | a, \"b\" | [1,0.5]\n NULL |        | NULL\n  300 | NULL   | [1e-07,-2]\n(3 rows)\n";
    assert_eq!(found, expected);
}

#[test]
fn an_empty_table_has_its_header() {
    let found = written(Format::Table, &[sample().slice(0, 0)], TableOptions::default());
    assert_eq!(found, " id | text | v\n----+------+---\n(0 rows)\n");
}

#[test]
fn long_vectors_are_shortened_on_request() {
    let long = vectors(&[Some((0..384).map(|i| i as f32 / 4.0).collect())], 384);
    let batch = RecordBatch::try_from_iter([("v", long)]).expect("batch");
    let short = TableOptions { shorten_vectors: true, ..TableOptions::default() };
    assert!(
        written(Format::Table, std::slice::from_ref(&batch), short).contains("[0.0000, 0.2500, 0.5000, … 384 dims]")
    );
    assert!(written(Format::Table, std::slice::from_ref(&batch), TableOptions::default()).contains(",95.75]"));
    assert!(written(Format::Csv, &[batch], short).contains(",95.75]"));
}

#[test]
fn expanded_tables_have_a_value_per_line() {
    let options = TableOptions { expanded: true, ..TableOptions::default() };
    let found = written(Format::Table, &[sample().slice(0, 1)], options);
    assert!(found.starts_with("-[ RECORD 1 ]----"), "{found}");
    assert!(found.contains("\nid   | 1\ntext | a, \"b\"\nv    | [1,0.5]\n(1 row)\n"), "{found}");
    assert_eq!(written(Format::Table, &[sample().slice(0, 0)], options), "(0 rows)\n");
}

#[test]
fn long_tables_stream_with_the_widths_of_their_beginning() {
    let ids = Int64Array::from_iter_values(0..2_500);
    let names: StringArray = (0..2_500).map(|i| Some(if i == 10 { "the widest name" } else { "n" })).collect();
    let batch =
        RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names))]).expect("batch");
    let mut out = Vec::new();
    let mut writer = ResultWriter::begin(Format::Table, batch.schema(), TableOptions::default());
    assert!(!writer.has_written());
    writer.batch(&batch, &mut out).expect("writes");
    assert!(writer.has_written());
    let streamed = out.len();
    assert!(streamed > 0);
    writer.end(&mut out).expect("writes");
    let found = String::from_utf8(out).expect("text");
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2 + 2_500 + 1);
    assert_eq!(lines[2 + 7], "   7 | n");
    assert_eq!(lines[2 + 2_007], "2007 | n".replace("2007", " 2007").as_str());
    assert_eq!(lines.last(), Some(&"(2,500 rows)"));
}

#[test]
fn data_cannot_write_on_the_terminal() {
    let texts = StringArray::from(vec!["\x1b[31mred\x07", "a\tb", "two\nlines"]);
    let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).expect("batch");
    let found = written(Format::Table, &[batch], TableOptions::default());
    assert!(found.contains("\\x1B[31mred\\x07"), "{found}");
    assert!(found.contains("a    b") && found.contains(" two\n lines\n"), "{found}");
}

#[test]
fn wide_values_wrap_on_a_narrow_screen() {
    let text = "word ".repeat(40);
    let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec![text.as_str()])) as ArrayRef)])
        .expect("batch");
    let options = TableOptions { width: Some(60), ..TableOptions::default() };
    let found = written(Format::Table, &[batch], options);
    assert!(found.lines().all(|line| line.chars().count() <= 60), "{found}");
}

#[test]
fn dates_and_truth_values_have_their_sql_form() {
    let batch = RecordBatch::try_from_iter([
        ("b", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_250_000])) as ArrayRef),
    ])
    .expect("batch");
    assert_eq!(written(Format::Csv, &[batch], TableOptions::default()), "b,t\ntrue,2023-11-14 22:13:20.250\n");
}

#[test]
fn large_counts_are_grouped() {
    assert_eq!(row_count(1), "(1 row)");
    assert_eq!(row_count(1_234_567), "(1,234,567 rows)");
    assert_eq!(grouped(999), "999");
}
