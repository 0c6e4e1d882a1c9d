//! SHOW and DESCRIBE.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::common::TableReference;
use volley_planner::catalog::open_table;
use volley_planner::sql::{self, Show};

use super::Running;
use super::ddl::{every_table, undefined_table};
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    pub(super) async fn show(&self, show: Show) -> Result<QueryResult> {
        match show {
            Show::All => {
                let listed = self.current.settings.list();
                table(vec![
                    ("name", listed.iter().map(|s| s.name.clone()).collect()),
                    ("setting", listed.iter().map(|s| s.value.clone()).collect()),
                    ("description", listed.iter().map(|s| s.description.to_owned()).collect()),
                ])
            }
            Show::Setting(name) => {
                let value = self.request.session.setting(&name)?;
                table(vec![(name.as_str(), vec![value])])
            }
            Show::Tables { schema } => {
                let filter = match schema {
                    Some(schema) => format!("table_schema = {}", literal(&schema)),
                    None => "table_schema <> 'information_schema'".to_owned(),
                };
                self.query_text(&format!(
                    "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE {filter} \
                     ORDER BY table_schema, table_name"
                ))
                .await
            }
            Show::Schemas => {
                self.query_text("SELECT schema_name FROM information_schema.schemata ORDER BY schema_name").await
            }
            Show::Indexes { table } => self.show_indexes(table.as_ref()).await,
            Show::Columns { table } => self.show_columns(&table).await,
        }
    }

    /// The indexes of a table, or of all, and how many rows each covers by what the commits say.
    async fn show_indexes(&self, of: Option<&TableReference>) -> Result<QueryResult> {
        let catalog = self.catalog().await?;
        let tables = match of {
            Some(name) => {
                let name = self.qualify(name)?;
                let table = self.own_table(&catalog, &name.schema, &name.name, "indexed").await?;
                vec![(name, table)]
            }
            None => every_table(&catalog).await,
        };
        let mut rows: [Vec<String>; 6] = Default::default();
        for (name, of) in tables {
            let snapshot = of.snapshot();
            for index in of.indexes() {
                let definition = &index.definition;
                let column = definition.columns.first().and_then(|id| snapshot.schema.index_of(*id));
                let column = column.map(|at| snapshot.schema.arrow.field(at).name().as_str()).unwrap_or_default();
                let indexed = snapshot.segments.iter().filter(|segment| definition.index_of(segment).is_some());
                let indexed: u64 = indexed.map(|segment| segment.live_rows()).sum();
                let line = [
                    name.schema.clone(),
                    name.name.clone(),
                    index.name.clone(),
                    sql::index_text(definition, column),
                    indexed.to_string(),
                    snapshot.live_rows().saturating_sub(indexed).to_string(),
                ];
                for (column, value) in rows.iter_mut().zip(line) {
                    column.push(value);
                }
            }
        }
        let names = ["table_schema", "table_name", "index_name", "definition", "indexed_rows", "other_rows"];
        table(names.into_iter().zip(rows).collect())
    }

    async fn query_text(&self, text: &str) -> Result<QueryResult> {
        self.query("SHOW", sql::parse_query(text)?).await
    }

    async fn show_columns(&self, name: &TableReference) -> Result<QueryResult> {
        let name = self.qualify(name)?;
        let catalog = self.catalog().await?;
        let state = catalog.state();
        let reference = TableReference::partial(name.schema.as_str(), name.name.as_str());
        let schema = state.schema_for_ref(reference);
        let provider = match schema {
            Ok(schema) => open_table(&schema, &name.name).await?,
            Err(_) => None,
        };
        let Some(provider) = provider else {
            return Err(undefined_table(catalog.names(), &name.schema, &name.name).into());
        };
        let volley = catalog.volley_table(&name.schema, &name.name).await?;
        let extra = |position: usize| -> (String, String) {
            let Some(table) = &volley else { return Default::default() };
            let schema = &table.snapshot().schema;
            let id = volley_storage::schema::field_id(schema.arrow.field(position));
            let default = id.and_then(|id| schema.defaults.get(&id)).cloned().unwrap_or_default();
            let key = id.is_some_and(|id| schema.primary_key.contains(&id));
            (default, if key { "primary key".to_owned() } else { String::new() })
        };
        let schema = provider.schema();
        let fields = schema.fields();
        let (defaults, keys) = (0..fields.len()).map(extra).unzip();
        let nullable = |nullable: bool| if nullable { "YES" } else { "NO" }.to_owned();
        table(vec![
            ("column_name", fields.iter().map(|f| f.name().clone()).collect()),
            ("data_type", fields.iter().map(|f| sql::type_name(f.data_type())).collect()),
            ("is_nullable", fields.iter().map(|f| nullable(f.is_nullable())).collect()),
            ("column_default", defaults),
            ("key", keys),
        ])
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn table(columns: Vec<(&str, Vec<String>)>) -> Result<QueryResult> {
    let columns = columns.into_iter().map(|(name, values)| (name, Arc::new(StringArray::from(values)) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).map_err(datafusion::common::DataFusionError::from)?;
    Ok(QueryResult::batch("SHOW", batch))
}
