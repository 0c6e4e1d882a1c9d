//! A connection as sqllogictest's database.

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput};

use crate::cells::{self, ColumnType};
use crate::topology::{Connection, Refusal};

/// The name by which records say `onlyif` and `skipif`.
pub const ENGINE_NAME: &str = "Volley";

/// A connection as sqllogictest's database.
pub struct Database {
    connection: Box<dyn Connection>,
}

impl Database {
    /// Takes a connection and runs `prelude` on it, statement by statement.
    pub async fn new(mut connection: Box<dyn Connection>, prelude: &[String]) -> Result<Self, Refusal> {
        for statement in prelude {
            connection.run(statement).await?;
        }
        Ok(Self { connection })
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Refusal;
    type ColumnType = ColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<ColumnType>, Refusal> {
        let answer = self.connection.run(sql).await?;
        let rows = cells::rows(&answer.batches)
            .map_err(|error| Refusal { sentence: format!("cannot show the result: {error}"), sqlstate: "XX000" })?;
        Ok(match answer.affected {
            Some(count) => DBOutput::StatementComplete(count),
            None if answer.schema.fields().is_empty() && rows.is_empty() => DBOutput::StatementComplete(0),
            None => DBOutput::Rows { types: cells::column_types(&answer.schema), rows },
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        ENGINE_NAME
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Refusal) -> Option<String> {
        Some(error.sqlstate.to_owned())
    }
}
