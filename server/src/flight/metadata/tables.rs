//! Schemas and tables, as `information_schema` has them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use arrow_flight::sql::metadata::GetTablesBuilder;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use tonic::Status;
use volley_scheduler::QueryRequest;

use super::{CATALOG, SYSTEM_TABLE, TABLE, VIEW, built};
use crate::flight::caller::Caller;
use crate::flight::wire::Wire;
use crate::flight::{Door, status};

impl Door {
    pub(super) async fn schemas(&self, caller: &Caller, question: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
        let names = self.rows(caller, "SELECT schema_name FROM information_schema.schemata").await?;
        let mut builder = question.into_builder();
        names.iter().for_each(|row| builder.append(CATALOG, &row[0]));
        // It does not list itself.
        builder.append(CATALOG, "information_schema");
        built(builder.build())
    }

    pub(super) async fn tables(&self, caller: &Caller, question: CommandGetTables) -> Result<RecordBatch, Status> {
        let all = "SELECT table_schema, table_name, table_type FROM information_schema.tables";
        let names = self.rows(caller, all).await?;
        let with_schemas = question.include_schema;
        let mut builder = CommandGetTables { include_schema: false, ..question }.into_builder();
        for row in &names {
            let sort = match (row[0].as_str(), row[2].as_str()) {
                ("volley" | "information_schema", _) => SYSTEM_TABLE,
                (_, "VIEW") => VIEW,
                _ => TABLE,
            };
            built(builder.append(CATALOG, &row[0], &row[1], sort, &Schema::empty()))?;
        }
        let wanted = built(builder.build())?;
        if !with_schemas {
            return Ok(wanted);
        }
        // Only of those that were asked for, because each has to be opened.
        let column = |at: usize| wanted.column(at).as_string::<i32>();
        let nothing: [&str; 0] = [];
        let mut builder = GetTablesBuilder::new(None::<String>, None::<String>, None::<String>, nothing, true);
        for row in 0..wanted.num_rows() {
            let (schema, table) = (column(1).value(row), column(2).value(row));
            let columns = self.columns(caller, schema, table).await;
            built(builder.append(CATALOG, schema, table, column(3).value(row), &columns))?;
        }
        built(builder.build())
    }

    /// The columns of a table; none where it cannot be opened, so that one damaged table does not hide the others.
    async fn columns(&self, caller: &Caller, schema: &str, table: &str) -> Schema {
        let sql = format!("SELECT * FROM {}.{}", quoted(schema), quoted(table));
        let described = self.engine.describe(QueryRequest::new(sql, &caller.session.engine)).await;
        match described.map(|described| described.schema) {
            Ok(Some(schema)) => Wire::table(&schema),
            Ok(None) | Err(_) => Schema::empty(),
        }
    }

    /// The rows of a question that we ask the engine ourselves, as text.
    pub(super) async fn rows(&self, caller: &Caller, sql: &str) -> Result<Vec<Vec<String>>, Status> {
        let request = QueryRequest::new(sql, &caller.session.engine);
        let id = request.query_id;
        let result = self.engine.execute(request).await.map_err(|error| status::of_error(&error, id))?;
        let batches = result.collect().await.map_err(|error| status::of_error(&error, id))?;
        let mut rows = Vec::new();
        for batch in &batches {
            let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8));
            let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| status::of_arrow(&error))?;
            for row in 0..batch.num_rows() {
                let text = |column: &arrow::array::ArrayRef| match column.is_null(row) {
                    true => String::new(),
                    false => column.as_string::<i32>().value(row).to_owned(),
                };
                rows.push(columns.iter().map(text).collect());
            }
        }
        Ok(rows)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
