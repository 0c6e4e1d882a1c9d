//! Primary keys; there are no foreign ones.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetPrimaryKeys;
use tonic::Status;

use super::CATALOG;
use crate::flight::caller::Caller;
use crate::flight::{Door, status};

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

/// The schema that Flight SQL gives primary keys.
pub(super) fn primary_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            text("catalog_name", true),
            text("db_schema_name", true),
            text("table_name", false),
            text("column_name", false),
            Field::new("key_sequence", DataType::Int32, false),
            text("key_name", true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// The schema that Flight SQL gives foreign keys.
pub(super) fn foreign_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            text("pk_catalog_name", true),
            text("pk_db_schema_name", true),
            text("pk_table_name", false),
            text("pk_column_name", false),
            text("fk_catalog_name", true),
            text("fk_db_schema_name", true),
            text("fk_table_name", false),
            text("fk_column_name", false),
            Field::new("key_sequence", DataType::Int32, false),
            text("fk_key_name", true),
            text("pk_key_name", true),
            Field::new("update_rule", DataType::UInt8, false),
            Field::new("delete_rule", DataType::UInt8, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

impl Door {
    pub(super) async fn primary_keys(
        &self,
        caller: &Caller,
        question: CommandGetPrimaryKeys,
    ) -> Result<RecordBatch, Status> {
        let nothing = || Ok(RecordBatch::new_empty(primary_schema()));
        if question.catalog.is_some_and(|catalog| catalog != CATALOG) {
            return nothing();
        }
        let schemas: Vec<String> = match question.db_schema {
            Some(schema) => vec![schema],
            None => {
                let rows = self.rows(caller, "SELECT schema_name FROM information_schema.schemata ORDER BY 1").await?;
                rows.into_iter().flatten().collect()
            }
        };
        let table = &question.table;
        let mut keys = Vec::new();
        for schema in schemas {
            let columns = self.engine.primary_key(&schema, table).await;
            let columns = columns.map_err(|error| status::of_kind(error.kind(), error.to_string()))?;
            let numbered = columns.into_iter().zip(1..);
            keys.extend(numbered.map(|(column, number)| (schema.clone(), column, number)));
        }
        let same = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; keys.len()])) };
        let columns = vec![
            same(CATALOG),
            Arc::new(StringArray::from_iter_values(keys.iter().map(|(schema, _, _)| schema))),
            same(table),
            Arc::new(StringArray::from_iter_values(keys.iter().map(|(_, column, _)| column))),
            Arc::new(Int32Array::from_iter_values(keys.iter().map(|(_, _, number)| *number))),
            // As PostgreSQL names it.
            same(&format!("{table}_pkey")),
        ];
        RecordBatch::try_new(primary_schema(), columns).map_err(|error| status::of_arrow(&error))
    }
}
