//! `\d`, `\dt`, `\dv`, `\di`: what tables and indexes there are, and what columns and indexes a table has.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::util::display::array_value_to_string;
use volley_planner::sql::type_name;

use super::command::ListKind;
use crate::backend::Request;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{OutputError, ResultWriter, TableOptions};
use crate::run::Runner;

/// Lists tables and views.
pub(super) async fn list(kind: ListKind, runner: &Runner, console: &mut Console) -> Result<(), Failure> {
    let wanted = match kind {
        ListKind::Indexes => return list_indexes(runner, console).await,
        ListKind::All => "TRUE",
        ListKind::Tables => "table_type <> 'VIEW'",
        ListKind::Views => "table_type = 'VIEW'",
    };
    let sql = format!(
        "SELECT table_schema AS \"Schema\", table_name AS \"Name\", \
         CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS \"Type\" \
         FROM information_schema.tables WHERE {wanted} AND table_schema NOT IN ('information_schema', 'volley') \
         ORDER BY 1, 2"
    );
    let batches = ask(&sql, runner).await?;
    show(&batches, runner, console)
}

async fn list_indexes(runner: &Runner, console: &mut Console) -> Result<(), Failure> {
    let batches = ask("SHOW INDEXES", runner).await?;
    show(&batches, runner, console)
}

/// Describes one table or view. The columns come from the table itself, so that external tables have them too.
pub(super) async fn describe(name: &[String], runner: &Runner, console: &mut Console) -> Result<(), Failure> {
    let quoted: Vec<String> = name.iter().map(|part| quote_name(part)).collect();
    let probe = format!("SELECT * FROM {} LIMIT 0", quoted.join("."));
    let answer = runner.backend.execute(Request::new(probe)).await?;
    let required = required_columns(name, runner).await;
    let rows = describe_columns(&answer.schema, &required).map_err(OutputError::Value)?;
    writeln!(console.out(), "{}", name.join("."))?;
    show(&[rows], runner, console)?;
    // Views and external tables have none to show.
    let indexes = ask(&format!("SHOW INDEXES FROM {}", quoted.join(".")), runner).await.unwrap_or_default();
    match indexes.iter().any(|batch| batch.num_rows() > 0) {
        true => show(&indexes, runner, console),
        false => Ok(()),
    }
}

/// Asks without the timing and the spinner of the user's own statements.
async fn ask(sql: &str, runner: &Runner) -> Result<Vec<RecordBatch>, Failure> {
    runner.backend.execute(Request::new(sql)).await?.collect().await
}

/// The columns that cannot be NULL. Not the probe's schema says so, because a server announces every column of a result as
/// one that can be.
async fn required_columns(name: &[String], runner: &Runner) -> HashSet<String> {
    let literal = |text: &String| format!("'{}'", text.replace('\'', "''"));
    let (schema, table) = match name {
        [.., schema, table] => (literal(schema), literal(table)),
        [table] => ("current_schema()".to_owned(), literal(table)),
        [] => return HashSet::new(),
    };
    let sql = format!(
        "SELECT column_name FROM information_schema.columns \
         WHERE is_nullable = 'NO' AND table_schema = {schema} AND table_name = {table}"
    );
    let batches = ask(&sql, runner).await.unwrap_or_default();
    let cells = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch.column(0), row)));
    cells.filter_map(|(column, row)| array_value_to_string(column, row).ok()).collect()
}

fn show(batches: &[RecordBatch], runner: &Runner, console: &mut Console) -> Result<(), Failure> {
    let Some(first) = batches.first() else { return Ok(()) };
    let options = TableOptions { width: console.table_width(first.num_columns()), ..TableOptions::default() };
    let mut writer = ResultWriter::begin(runner.format, first.schema(), options);
    for batch in batches {
        writer.batch(batch, console.out())?;
    }
    Ok(writer.end(console.out())?)
}

/// A name in double quotes.
pub(super) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn describe_columns(schema: &Schema, required: &HashSet<String>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let fields = schema.fields();
    let names: StringArray = fields.iter().map(|field| Some(field.name().as_str())).collect();
    let types: StringArray = fields.iter().map(|field| Some(type_name(field.data_type()))).collect();
    let can_be_null = |field: &Field| field.is_nullable() && !required.contains(field.name());
    let nullable: StringArray = fields.iter().map(|f| Some(if can_be_null(f) { "" } else { "not null" })).collect();
    RecordBatch::try_from_iter([
        ("Column", Arc::new(names) as ArrayRef),
        ("Type", Arc::new(types) as ArrayRef),
        ("Nullable", Arc::new(nullable) as ArrayRef),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
    }
}
