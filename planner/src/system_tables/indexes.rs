//! `volley.vector_indexes`: what each index covers and costs; `volley.recall_calibration`: how well it answers.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array, RecordBatch, UInt32Array, UInt64Array};
use datafusion::common::Result;
use volley_executor::maintenance::{IndexFacts, Source, index_facts};
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
    /// Those of the bytes that are in memory now.
    memory: u64,
    build_ms: u64,
    /// Segments by what they were calibrated with.
    by_rows: u64,
    by_queries: u64,
    /// Vectors, each times the recall to expect of its segment.
    expected_hits: f64,
}

/// Neighbours asked for, where the table of indexes says what recall to expect.
const EXPECTED_K: usize = 10;

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
    let expected = lines.iter().map(|l| (l.vectors > 0).then(|| (l.expected_hits / l.vectors as f64) as f32));
    let expected: Float32Array = expected.collect();
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
        ("memory", count(&|l| l.memory)),
        ("build_ms", count(&|l| l.build_ms)),
        ("calibrated_by", text(&|l| calibrated_by(l))),
        ("expected_recall", Arc::new(expected)),
    ])
}

/// The recall that a search without a filter can expect of an indexed segment under the session's settings. Where the
/// index cannot reach the target the search is exact.
fn expected_recall(catalog: &QueryCatalog, facts: &IndexFacts) -> f32 {
    let settings = catalog.settings();
    facts.expected_recall(EXPECTED_K, settings.recall_target(), settings.ef_search())
}

fn calibrated_by(line: &Line) -> &'static str {
    match (line.by_rows, line.by_queries) {
        (0, 0) => "",
        (_, 0) => Source::Rows.name(),
        (0, _) => Source::Queries.name(),
        _ => "rows and queries",
    }
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
                line.memory += facts.resident;
                line.build_ms += facts.calibration.build_ms;
                match facts.calibration.source {
                    Source::Rows => line.by_rows += 1,
                    Source::Queries => line.by_queries += 1,
                }
                line.expected_hits += facts.rows as f64 * f64::from(expected_recall(catalog, &facts));
            }
            Ok(None) => {}
            // A damaged index hides no other; searches of its segment are exact.
            Err(_) => line.damaged_segments += 1,
        }
    }
    line
}

/// One point of a curve of one segment.
struct Measured {
    schema: String,
    table: String,
    index: String,
    segment: String,
    source: &'static str,
    samples: u32,
    selectivity: f32,
    k: u32,
    ef: u32,
    recall: f32,
    standard_error: f32,
    distances: f32,
}

/// One row per index, segment and point that was measured.
pub(super) async fn recall_calibration(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut points = Vec::new();
    for (schema, name) in volley_tables(catalog) {
        let Some(table) = readable(catalog, &schema, &name).await else { continue };
        let snapshot = table.snapshot();
        for index in table.indexes() {
            for segment in &snapshot.segments {
                // A damaged one is counted in `volley.vector_indexes`.
                let facts = index_facts(catalog.store(), snapshot, segment, &index.definition).await;
                let Ok(Some(IndexFacts { calibration, .. })) = facts else { continue };
                for (curve, point) in calibration.curves.iter().flat_map(|c| c.points.iter().map(move |p| (c, p))) {
                    points.push(Measured {
                        schema: schema.clone(),
                        table: name.clone(),
                        index: index.name.clone(),
                        segment: segment.id.to_string(),
                        source: calibration.source.name(),
                        samples: curve.samples,
                        selectivity: curve.selectivity,
                        k: curve.k,
                        ef: point.ef,
                        recall: point.recall,
                        standard_error: point.error,
                        distances: point.distances,
                    });
                }
            }
        }
    }
    let text =
        |value: &dyn Fn(&Measured) -> &str| -> ArrayRef { strings(points.iter().map(value).collect::<Vec<_>>()) };
    let whole = |value: &dyn Fn(&Measured) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(points.iter().map(value)))
    };
    let real = |value: &dyn Fn(&Measured) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(points.iter().map(value)))
    };
    batch(vec![
        ("table_schema", text(&|m| &m.schema)),
        ("table_name", text(&|m| &m.table)),
        ("index_name", text(&|m| &m.index)),
        ("segment_id", text(&|m| &m.segment)),
        ("source", text(&|m| m.source)),
        ("samples", whole(&|m| m.samples)),
        ("selectivity", real(&|m| m.selectivity)),
        ("k", whole(&|m| m.k)),
        ("ef", whole(&|m| m.ef)),
        ("recall", real(&|m| m.recall)),
        ("standard_error", real(&|m| m.standard_error)),
        ("distances", real(&|m| m.distances)),
    ])
}
