//! The schema `volley`: what the engine knows about itself, as tables.

mod activity;
mod cluster;
mod indexes;

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::arrow::array::{
    ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::Result;
use volley_executor::kept::KeptStatistics;
use volley_storage::cache::CachedFile;
use volley_storage::catalog::CatalogEntry;
use volley_storage::segment::{RowIds, SegmentData};

pub use activity::{QueryState, RunningQuery};
pub use cluster::{ExecutorCalls, ExecutorReport, Placement};

use crate::catalog::QueryCatalog;
use crate::table::VolleyTable;

/// The schema's name.
pub const SYSTEM_SCHEMA: &str = "volley";
/// Its tables.
pub const NAMES: &[&str] = &[
    "cache",
    "caches",
    "executor_calls",
    "executors",
    "placements",
    "plan_cache",
    "queries",
    "recall_calibration",
    "segments",
    "settings",
    "snapshots",
    "users",
    "vector_indexes",
];

/// What an engine knows of itself, as a session extension, for `volley.plan_cache`, `volley.caches`, `volley.queries` and
/// the tables of the cluster.
pub trait EngineReport: Send + Sync + fmt::Debug {
    /// The plans that are kept, most used first.
    fn plans(&self) -> Vec<CachedPlan>;
    /// The caches.
    fn caches(&self) -> Vec<KeptStatistics>;
    /// The statements that are being executed, of all sessions.
    fn queries(&self) -> Vec<RunningQuery>;

    /// Copies of a remote store's files on this machine, last used first; none where the store is here.
    fn cached_files(&self) -> Vec<CachedFile> {
        Vec::new()
    }

    /// The executors of the cluster, by name; none in one process.
    fn executors(&self) -> Vec<ExecutorReport> {
        Vec::new()
    }

    /// What was counted of calls to them.
    fn executor_calls(&self) -> Vec<ExecutorCalls> {
        Vec::new()
    }

    /// Who owns which shard.
    fn placements(&self) -> Vec<Placement> {
        Vec::new()
    }
}

/// [`EngineReport`] as DataFusion's configuration holds it; the plans that the engine keeps hold configurations.
#[derive(Debug)]
pub struct EngineReportHandle(pub Weak<dyn EngineReport>);

/// A line of `volley.plan_cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPlan {
    /// The statement, or its beginning.
    pub statement: String,
    /// How many parameters it has.
    pub parameters: u64,
    /// How often it was executed.
    pub uses: u64,
}

/// Opens a system table, filled with what holds now.
pub async fn table(catalog: &Arc<QueryCatalog>, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let rows = match name {
        "segments" => segments(catalog).await?,
        "snapshots" => snapshots(catalog).await?,
        "settings" => settings_table(catalog)?,
        "plan_cache" => plan_cache(catalog)?,
        "cache" => cache(catalog)?,
        "caches" => caches(catalog)?,
        "queries" => activity::queries(catalog)?,
        "executors" => cluster::executors(catalog)?,
        "executor_calls" => cluster::executor_calls(catalog)?,
        "placements" => cluster::placements(catalog)?,
        "users" => activity::users(catalog)?,
        "recall_calibration" => indexes::recall_calibration(catalog).await?,
        "vector_indexes" => indexes::vector_indexes(catalog).await?,
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)))
}

/// Schema and name of every Volley table.
fn volley_tables(catalog: &QueryCatalog) -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for (schema, names) in &catalog.names().schemas {
        for (name, entry) in names {
            if matches!(entry, CatalogEntry::Table { .. }) {
                tables.push((schema.clone(), name.clone()));
            }
        }
    }
    tables
}

/// A table, if it can be opened: a damaged one does not hide the others; `volley verify` names it.
async fn readable(catalog: &QueryCatalog, schema: &str, name: &str) -> Option<Arc<VolleyTable>> {
    catalog.volley_table(schema, name).await.ok().flatten()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// `volley.segments`: one row per live segment.
async fn segments(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for (schema, name) in volley_tables(catalog) {
        if let Some(table) = readable(catalog, &schema, &name).await {
            for segment in &table.snapshot().segments {
                rows.push((schema.clone(), name.clone(), Arc::clone(segment)));
            }
        }
    }
    let each = |f: &dyn Fn(&volley_storage::segment::Segment) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, _, s)| f(s))))
    };
    let first_row_id: UInt64Array = rows
        .iter()
        .map(|(_, _, s)| match s.row_ids {
            RowIds::Contiguous { first } => Some(first.0),
            RowIds::Column => None,
        })
        .collect();
    let sidecars: Vec<String> = rows
        .iter()
        .map(|(_, _, s)| {
            s.sidecars.iter().map(|c| c.file.path.rsplit('/').next().unwrap_or("")).collect::<Vec<_>>().join(", ")
        })
        .collect();
    let ids: Vec<String> = rows.iter().map(|(_, _, s)| s.id.to_string()).collect();
    batch(vec![
        ("table_schema", strings(rows.iter().map(|r| r.0.as_str()))),
        ("table_name", strings(rows.iter().map(|r| r.1.as_str()))),
        ("segment_id", strings(ids.iter().map(String::as_str))),
        ("shard", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, _, s)| s.shard.0)))),
        (
            "storage",
            strings(rows.iter().map(|(_, _, s)| match s.data {
                SegmentData::File(_) => "parquet",
                SegmentData::Inline(_) => "inline",
            })),
        ),
        ("rows", each(&|s| s.rows)),
        ("deleted_rows", each(&|s| s.deletes.count())),
        (
            "bytes",
            each(&|s| match &s.data {
                SegmentData::File(file) => file.length,
                SegmentData::Inline(batch) => batch.get_array_memory_size() as u64,
            }),
        ),
        ("sidecar_bytes", each(&|s| s.sidecars.iter().map(|c| c.file.length).sum())),
        ("sidecars", strings(sidecars.iter().map(String::as_str))),
        ("first_row_id", Arc::new(first_row_id)),
    ])
}

/// `volley.snapshots`: one row per commit of every table, as far back as the log reaches.
async fn snapshots(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut rows = Vec::new();
    for (schema, name) in volley_tables(catalog) {
        if let Some(table) = readable(catalog, &schema, &name).await {
            for commit in catalog.store().history(table.snapshot().table).await.unwrap_or_default() {
                rows.push((schema.clone(), name.clone(), commit));
            }
        }
    }
    let each = |f: &dyn Fn(&volley_storage::store::CommitInfo) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, _, c)| f(c))))
    };
    let transactions: Vec<String> = rows.iter().map(|(_, _, c)| c.txn.to_string()).collect();
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|(_, _, c)| c.commit_ts_ms));
    batch(vec![
        ("table_schema", strings(rows.iter().map(|r| r.0.as_str()))),
        ("table_name", strings(rows.iter().map(|r| r.1.as_str()))),
        ("version", each(&|c| c.version.0)),
        ("committed_at", Arc::new(times.with_timezone("UTC"))),
        ("operation", strings(rows.iter().map(|(_, _, c)| c.operation.as_str()))),
        ("transaction_id", strings(transactions.iter().map(String::as_str))),
        ("segments_added", each(&|c| c.segments_added)),
        ("segments_removed", each(&|c| c.segments_removed)),
        ("rows_added", each(&|c| c.rows_added)),
        ("rows_deleted", each(&|c| c.rows_deleted)),
    ])
}

/// `volley.settings`: every setting of this session.
fn settings_table(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.settings().list();
    batch(vec![
        ("name", strings(rows.iter().map(|s| s.name.as_str()))),
        ("value", strings(rows.iter().map(|s| s.value.as_str()))),
        ("default", strings(rows.iter().map(|s| s.default.as_str()))),
        ("description", strings(rows.iter().map(|s| s.description))),
    ])
}

/// `volley.plan_cache`: one row per statement that is kept planned.
fn plan_cache(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.engine().map(|engine| engine.plans()).unwrap_or_default();
    batch(vec![
        ("statement", strings(rows.iter().map(|plan| plan.statement.as_str()))),
        ("parameters", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|plan| plan.parameters)))),
        ("uses", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|plan| plan.uses)))),
    ])
}

/// `volley.cache`: one row per copy of a remote store's file on this machine, last used first.
fn cache(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.engine().map(|engine| engine.cached_files()).unwrap_or_default();
    let used = TimestampMillisecondArray::from_iter_values(rows.iter().map(|file| file.used_at_ms));
    batch(vec![
        ("file", Arc::new(StringArray::from_iter(rows.iter().map(|file| file.path.as_deref())))),
        ("checksum", strings(rows.iter().map(|file| file.blake3.as_str()))),
        ("bytes", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|file| file.bytes)))),
        ("last_used_at", Arc::new(used.with_timezone("UTC"))),
        ("hits", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|file| file.hits)))),
    ])
}

/// `volley.caches`: what the engine keeps in memory for later queries.
fn caches(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.engine().map(|engine| engine.caches()).unwrap_or_default();
    let each = |f: &dyn Fn(&KeptStatistics) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(f)))
    };
    batch(vec![
        ("name", strings(rows.iter().map(|cache| cache.name))),
        ("entries", each(&|cache| cache.entries as u64)),
        ("bytes", each(&|cache| cache.bytes as u64)),
        ("hits", each(&|cache| cache.hits)),
        ("misses", each(&|cache| cache.misses)),
    ])
}
