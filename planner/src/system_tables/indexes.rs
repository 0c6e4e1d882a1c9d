//! `volley.vector_indexes`: what each index covers and costs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use datafusion::common::Result;
use volley_executor::maintenance::index_facts;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::schema::field_id;

use super::{batch, readable, strings, volley_tables};
use crate::catalog::QueryCatalog;
use crate::table::VolleyTable;

/// One index.
#[derive(Debug, Default)]
struct Line {
    schema: String,
    table: String,
    index: String,
    column: String,
    method: String,
    metric: String,
    m: u32,
    ef_construction: u32,
    quantizer: String,
    /// Live segments of the table, those that travel with commits among them.
    segments: u64,
    indexed_segments: u64,
    /// Segments whose index is missing or damaged although a commit names it.
    damaged_segments: u64,
    /// Rows of the table that are not deleted, and those of them in indexed segments.
    rows: u64,
    indexed_rows: u64,
    /// Vectors in the index: rows that can be compared, deleted ones among them.
    vectors: u64,
    bytes: u64,
    build_ms: u64,
}

/// One row per index.
pub(super) async fn vector_indexes(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut lines = Vec::new();
    for (schema, name) in volley_tables(catalog) {
        if let Some(table) = readable(catalog, &schema, &name).await {
            for index in table.indexes() {
                let known = Line {
                    schema: schema.clone(),
                    table: name.clone(),
                    index: index.name.clone(),
                    ..described(&table, &index.definition)
                };
                lines.push(measured(catalog, &table, &index.definition, known).await);
            }
        }
    }
    let text = |value: &dyn Fn(&Line) -> &str| -> ArrayRef { strings(lines.iter().map(value).collect::<Vec<_>>()) };
    let small =
        |value: &dyn Fn(&Line) -> u32| -> ArrayRef { Arc::new(UInt32Array::from_iter_values(lines.iter().map(value))) };
    let count =
        |value: &dyn Fn(&Line) -> u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values(lines.iter().map(value))) };
    batch(vec![
        ("table_schema", text(&|l| &l.schema)),
        ("table_name", text(&|l| &l.table)),
        ("index_name", text(&|l| &l.index)),
        ("column_name", text(&|l| &l.column)),
        ("method", text(&|l| &l.method)),
        ("metric", text(&|l| &l.metric)),
        ("m", small(&|l| l.m)),
        ("ef_construction", small(&|l| l.ef_construction)),
        ("quantizer", text(&|l| &l.quantizer)),
        ("segments", count(&|l| l.segments)),
        ("indexed_segments", count(&|l| l.indexed_segments)),
        ("damaged_segments", count(&|l| l.damaged_segments)),
        ("rows", count(&|l| l.rows)),
        ("indexed_rows", count(&|l| l.indexed_rows)),
        ("vectors", count(&|l| l.vectors)),
        ("bytes", count(&|l| l.bytes)),
        ("build_ms", count(&|l| l.build_ms)),
    ])
}

/// What the index's definition says.
fn described(table: &VolleyTable, definition: &IndexDefinition) -> Line {
    let fields = table.snapshot().schema.arrow.fields();
    let column = fields.iter().find(|field| field_id(field).is_some_and(|id| definition.columns.contains(&id)));
    let number = |name: &str| definition.parameter(name).and_then(|value| value.parse().ok()).unwrap_or_default();
    let word = |name: &str| definition.parameter(name).unwrap_or_default().to_owned();
    Line {
        column: column.map(|field| field.name().clone()).unwrap_or_default(),
        method: definition.method.clone(),
        metric: word("metric"),
        m: number("m"),
        ef_construction: number("ef_construction"),
        quantizer: word("quantizer"),
        ..Line::default()
    }
}

/// Adds what the index's files say, segment by segment.
async fn measured(catalog: &QueryCatalog, table: &VolleyTable, definition: &IndexDefinition, mut line: Line) -> Line {
    let snapshot = table.snapshot();
    for segment in &snapshot.segments {
        line.segments += 1;
        line.rows += segment.live_rows();
        let owned = segment.sidecars.iter().filter(|sidecar| definition.owns(sidecar));
        line.bytes += owned.map(|sidecar| sidecar.file.length).sum::<u64>();
        match index_facts(catalog.store(), snapshot, segment, definition).await {
            Ok(Some(facts)) => {
                line.indexed_segments += 1;
                line.indexed_rows += segment.live_rows();
                line.vectors += facts.rows;
                line.build_ms += facts.build_ms;
            }
            Ok(None) => {}
            // A damaged index hides no other; searches of its segment are exact.
            Err(_) => line.damaged_segments += 1,
        }
    }
    line
}
