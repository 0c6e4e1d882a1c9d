//! The functions through SQL, on a plain session.

mod aggregates;
mod casts;
mod distances;
mod json;
mod planning;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::prelude::SessionContext;

use super::*;
use crate::types::Vectors;

/// A session with our functions and a table `t(id, emb vector(3), other vector(3), body text, txt text)`:
/// ids 1 to 4, `emb` NULL in row 3 and zero in row 4.
fn session() -> SessionContext {
    let context = SessionContext::new();
    {
        let state = context.state_ref();
        let mut state = state.write();
        register(&mut *state).unwrap();
        for planner in expr_planners() {
            state.register_expr_planner(planner).unwrap();
        }
    }
    context.register_batch("t", table()).unwrap();
    context
}

fn table() -> RecordBatch {
    let emb = vectors(&[Some("[1,2,3]"), Some("[4,5,6]"), None, Some("[0,0,0]")]);
    let other = vectors(&[Some("[1,0,0]"), Some("[0,1,0]"), Some("[0,0,1]"), None]);
    let json = [Some(r#"{"a": {"b": [1, "two"]}, "n": null}"#), Some("[10, 20]"), None, Some("{}")];
    let texts = [Some("[1,2,3]"), Some("[3,2,1]"), Some("[0,0,0]"), None];
    RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef),
        ("emb", emb),
        ("other", other),
        ("body", Arc::new(StringArray::from_iter(json))),
        ("txt", Arc::new(StringArray::from_iter(texts))),
    ])
    .unwrap()
}

fn vectors(texts: &[Option<&str>]) -> ArrayRef {
    let array = StringArray::from_iter(texts.iter().copied());
    Arc::new(Vectors::try_new(&array).unwrap().into_array(3).unwrap())
}

/// Runs a query; each row as text, columns separated by a space.
async fn rows(context: &SessionContext, sql: &str) -> Vec<String> {
    run(context, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn run(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let batches = context.sql(sql).await?.collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut lines = Vec::new();
    for batch in &batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "));
        }
    }
    Ok(lines)
}

/// Runs a query that must fail with one of our errors.
async fn failure(context: &SessionContext, sql: &str) -> String {
    let error = run(context, sql).await.expect_err(sql);
    match Error::find(&error) {
        Some(error) => error.to_string(),
        None => format!("not ours: {error}"),
    }
}

/// The one value of a query.
async fn value(context: &SessionContext, expression: &str) -> String {
    rows(context, &format!("SELECT {expression}")).await.join("\n")
}
