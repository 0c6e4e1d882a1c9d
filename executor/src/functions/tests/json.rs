use datafusion::arrow::datatypes::DataType;

use super::*;

#[tokio::test]
async fn operators_read_json_text() {
    let context = postgres_session();
    assert_eq!(
        rows(&context, "SELECT body -> 'a', body -> 'a' -> 'b' -> 1, body -> 'a' -> 'b' ->> 1, body -> 'n', body ->> 'n' FROM t WHERE id = 1")
            .await,
        [r#"{"b": [1, "two"]} "two" two null NULL"#]
    );
    assert_eq!(
        rows(&context, "SELECT body -> 0, body ->> 1, body ->> -1, body -> 'a' FROM t ORDER BY id").await,
        ["NULL NULL NULL {\"b\": [1, \"two\"]}", "10 20 20 NULL", "NULL NULL NULL NULL", "NULL NULL NULL NULL"]
    );
    assert_eq!(
        rows(&context, "SELECT body #> '{a,b}', body #>> '{a,b,1}', body #>> '{}' IS NULL FROM t WHERE id = 1").await,
        [r#"[1, "two"] two false"#]
    );
    assert_eq!(rows(&context, "SELECT id FROM t WHERE (body ->> 0)::int > 5").await, ["2"]);
    assert_eq!(rows(&context, "SELECT '{\"k\": 5}' ->> 'k'").await, ["5"]);
}

#[tokio::test]
async fn json_is_text_and_titled_by_its_operator() {
    let context = postgres_session();
    let frame = context.sql("SELECT body -> 'a' ->> 'b' FROM t").await.unwrap();
    let field = frame.schema().field(0).clone();
    assert_eq!((field.name().as_str(), field.data_type()), ("body -> 'a' ->> 'b'", &DataType::Utf8));
    let plan = format!("{}", frame.into_optimized_plan().unwrap());
    assert!(plan.contains("json_as_text(t.body, Utf8(\"a\"), Utf8(\"b\"))"), "{plan}");
}

/// The operators tokenise in PostgreSQL's dialect.
fn postgres_session() -> SessionContext {
    let context = session();
    context.state_ref().write().config_mut().options_mut().sql_parser.dialect =
        datafusion::common::config::Dialect::PostgreSQL;
    context
}
