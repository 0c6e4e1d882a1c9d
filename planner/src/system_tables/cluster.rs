//! `volley.executors`, `volley.executor_calls` and `volley.placements`: the cluster as its coordinator sees it. In one process
//! they are empty.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use datafusion::common::Result;
use volley_storage::catalog::CatalogEntry;
use volley_storage::ids::TableId;

use super::{batch, strings};
use crate::catalog::QueryCatalog;

/// An executor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecutorReport {
    /// Its name, the same in every run.
    pub name: String,
    /// Which run of it this is.
    pub id: String,
    /// Where its internal port is.
    pub address: String,
    /// `live`, `draining` or `out`.
    pub state: &'static str,
    /// Why it is given no work.
    pub obstacle: Option<String>,
    /// The program's version.
    pub version: String,
    /// Its share of the shards relative to others.
    pub weight: u32,
    /// How long ago its last heartbeat came, in milliseconds.
    pub heartbeat_age_ms: u64,
    /// Shards that it owns.
    pub shards: u64,
    /// Those of them that it has at hand.
    pub ready_shards: u64,
    /// Bytes of memory that it holds.
    pub memory: u64,
    /// Bytes of its cache of files.
    pub cache: u64,
    /// How often it was given up while it was live.
    pub ejections: u64,
}

/// What was counted of one task of one executor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecutorCalls {
    /// The executor's name.
    pub executor: String,
    /// The task.
    pub task: &'static str,
    /// Calls that were begun.
    pub calls: u64,
    /// Those that failed for a reason of the executor's.
    pub failures: u64,
    /// Those that were made because another executor failed.
    pub retries: u64,
    /// Those that were made because another executor was slow.
    pub hedges: u64,
    /// Bytes sent to it.
    pub bytes_sent: u64,
    /// Bytes that came from it.
    pub bytes_received: u64,
    /// Within so many milliseconds 95 of 100 recent calls were answered.
    pub p95_ms: Option<f64>,
}

/// One of the owners of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The table.
    pub table: TableId,
    /// The shard.
    pub shard: u32,
    /// Which owner it is, from 1.
    pub replica: u32,
    /// The executor's name.
    pub executor: String,
    /// Whether it has the shard at hand.
    pub ready: bool,
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

/// `volley.executors`: one row per executor that was heard of, by name.
pub(super) fn executors(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.engine().map(|engine| engine.executors()).unwrap_or_default();
    // Sums over the tasks; the time is that of searches.
    let mut calls: HashMap<String, (u64, u64, Option<f64>)> = HashMap::new();
    for counted in catalog.engine().map(|engine| engine.executor_calls()).unwrap_or_default() {
        let sums = calls.entry(counted.executor).or_default();
        (sums.0, sums.1) = (sums.0 + counted.calls, sums.1 + counted.failures);
        if counted.task == "search" {
            sums.2 = counted.p95_ms;
        }
    }
    let sums = |row: &ExecutorReport| calls.get(&row.name).copied().unwrap_or_default();
    let obstacles: StringArray = rows.iter().map(|row| row.obstacle.as_deref()).collect();
    let p95: Float64Array = rows.iter().map(|row| sums(row).2).collect();
    batch(vec![
        ("name", strings(rows.iter().map(|row| row.name.as_str()))),
        ("id", strings(rows.iter().map(|row| row.id.as_str()))),
        ("address", strings(rows.iter().map(|row| row.address.as_str()))),
        ("state", strings(rows.iter().map(|row| row.state))),
        ("obstacle", Arc::new(obstacles)),
        ("version", strings(rows.iter().map(|row| row.version.as_str()))),
        ("weight", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.weight)))),
        ("last_heartbeat_ms", numbers(rows.iter().map(|row| row.heartbeat_age_ms))),
        ("shards", numbers(rows.iter().map(|row| row.shards))),
        ("ready_shards", numbers(rows.iter().map(|row| row.ready_shards))),
        ("memory", numbers(rows.iter().map(|row| row.memory))),
        ("cache_bytes", numbers(rows.iter().map(|row| row.cache))),
        ("calls", numbers(rows.iter().map(|row| sums(row).0))),
        ("failures", numbers(rows.iter().map(|row| sums(row).1))),
        ("ejections", numbers(rows.iter().map(|row| row.ejections))),
        ("p95_ms", Arc::new(p95)),
    ])
}

/// `volley.executor_calls`: one row per executor and task.
pub(super) fn executor_calls(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let rows = catalog.engine().map(|engine| engine.executor_calls()).unwrap_or_default();
    let p95: Float64Array = rows.iter().map(|row| row.p95_ms).collect();
    batch(vec![
        ("executor", strings(rows.iter().map(|row| row.executor.as_str()))),
        ("task", strings(rows.iter().map(|row| row.task))),
        ("calls", numbers(rows.iter().map(|row| row.calls))),
        ("failures", numbers(rows.iter().map(|row| row.failures))),
        ("retries", numbers(rows.iter().map(|row| row.retries))),
        ("hedges", numbers(rows.iter().map(|row| row.hedges))),
        ("bytes_sent", numbers(rows.iter().map(|row| row.bytes_sent))),
        ("bytes_received", numbers(rows.iter().map(|row| row.bytes_received))),
        ("p95_ms", Arc::new(p95)),
    ])
}

/// `volley.placements`: one row per shard and owner. Shards of tables that have no name any more are left out.
pub(super) fn placements(catalog: &Arc<QueryCatalog>) -> Result<RecordBatch> {
    let mut names: HashMap<TableId, (&str, &str)> = HashMap::new();
    for (schema, entries) in &catalog.names().schemas {
        for (name, entry) in entries {
            if let CatalogEntry::Table { id } = entry {
                names.insert(*id, (schema, name));
            }
        }
    }
    let placements = catalog.engine().map(|engine| engine.placements()).unwrap_or_default();
    let mut rows: Vec<((&str, &str), &Placement)> =
        placements.iter().filter_map(|row| Some((*names.get(&row.table)?, row))).collect();
    rows.sort_by_key(|(name, row)| (*name, row.shard, row.replica));
    batch(vec![
        ("table_schema", strings(rows.iter().map(|(name, _)| name.0))),
        ("table_name", strings(rows.iter().map(|(name, _)| name.1))),
        ("shard", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, row)| row.shard)))),
        ("replica", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, row)| row.replica)))),
        ("executor", strings(rows.iter().map(|(_, row)| row.executor.as_str()))),
        ("ready", Arc::new(rows.iter().map(|(_, row)| Some(row.ready)).collect::<BooleanArray>())),
    ])
}
