//! What the engine knows about itself, asked when somebody looks: memory, caches, tables and indexes.
//!
//! The numbers come from the tables of the schema `volley`, so that a dashboard and a query never disagree.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;
use volley_scheduler::{Engine, QueryRequest};

use super::PREFIX;

/// Numbers are kept this long, so that whoever can reach the port cannot keep the engine busy with its own counters.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Prometheus gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);

type Labels = Vec<(&'static str, String)>;

/// One column of a system table as a metric.
struct Measured {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    /// Whether it only ever grows.
    counter: bool,
}

const fn gauge(name: &'static str, help: &'static str) -> Measured {
    Measured { name, help, unit: None, counter: false }
}

const fn counter(name: &'static str, help: &'static str) -> Measured {
    Measured { name, help, unit: None, counter: true }
}

const fn bytes(name: &'static str, help: &'static str) -> Measured {
    Measured { name, help, unit: Some(Unit::Bytes), counter: false }
}

const fn seconds(name: &'static str, help: &'static str) -> Measured {
    Measured { name, help, unit: Some(Unit::Seconds), counter: false }
}

/// A query over a system table: first the columns that are labels, then those that are metrics.
struct Source {
    sql: &'static str,
    labels: &'static [&'static str],
    metrics: &'static [Measured],
}

const SOURCES: &[Source] = &[
    Source {
        sql: "SELECT name, entries, bytes, hits, misses FROM volley.caches",
        labels: &["cache"],
        metrics: &[
            gauge("cache_entries", "Entries of a cache"),
            bytes("cache_size", "Memory of a cache"),
            counter("cache_hits", "Lookups that found what they wanted"),
            counter("cache_misses", "Lookups that did not"),
        ],
    },
    Source {
        sql: "SELECT count(*), coalesce(sum(bytes), 0) FROM volley.cache",
        labels: &[],
        metrics: &[
            gauge("file_cache_files", "Copies of an object store's files on this machine"),
            bytes("file_cache_size", "Bytes of these copies"),
        ],
    },
    Source {
        sql: "SELECT table_schema, table_name, count(*), sum(rows) - sum(deleted_rows), sum(deleted_rows), sum(bytes), \
              sum(sidecar_bytes) FROM volley.segments GROUP BY table_schema, table_name ORDER BY 1, 2",
        labels: &["schema", "table"],
        metrics: &[
            gauge("table_segments", "Segments of a table"),
            gauge("table_rows", "Rows of a table that are not deleted"),
            gauge("table_deleted_rows", "Deleted rows that still take space"),
            bytes("table_data", "Data files of a table"),
            bytes("table_sidecars", "Vectors, indexes and keys beside the data files"),
        ],
    },
    Source {
        sql: "SELECT table_schema, table_name, index_name, segments, indexed_segments, damaged_segments, rows, \
              indexed_rows, bytes, memory, expected_recall FROM volley.vector_indexes ORDER BY 1, 2, 3",
        labels: &["schema", "table", "index"],
        metrics: &[
            gauge("index_segments", "Segments of the index's table"),
            gauge("index_indexed_segments", "Those of them that are indexed"),
            gauge("index_damaged_segments", "Segments whose index is missing or damaged"),
            gauge("index_rows", "Rows of the index's table"),
            gauge("index_indexed_rows", "Those of them that are indexed; the others are compared one by one"),
            bytes("index_size", "Files of the index"),
            bytes("index_memory", "Those of the bytes that are in memory"),
            gauge("index_expected_recall", "Share of the ten true nearest that a search is expected to find"),
        ],
    },
    Source {
        sql: "SELECT state, count(*) FROM volley.executors GROUP BY state ORDER BY 1",
        labels: &["state"],
        metrics: &[gauge("cluster_executors", "Executors that were heard of, by whether they are given work")],
    },
    Source {
        sql: "SELECT name, ejections, shards, ready_shards FROM volley.executors",
        labels: &["executor"],
        metrics: &[
            counter("cluster_ejections", "How often an executor was given up while it was live"),
            gauge("cluster_shards", "Shards that an executor owns"),
            gauge("cluster_ready_shards", "Those of them that it has at hand"),
        ],
    },
    Source {
        sql: "SELECT executor, task, calls, failures, retries, hedges, p95_ms / 1000 FROM volley.executor_calls",
        labels: &["executor", "task"],
        metrics: &[
            counter("cluster_calls", "Calls to an executor"),
            counter("cluster_failures", "Those that failed for a reason of the executor's"),
            counter("cluster_retries", "Those that were made because another executor failed"),
            counter("cluster_hedges", "Those that were made because another executor was slow"),
            seconds("cluster_call_p95", "The time within which 95 of 100 recent calls were answered"),
        ],
    },
    Source {
        sql: "SELECT executor, task, 'sent', bytes_sent FROM volley.executor_calls \
              UNION ALL SELECT executor, task, 'received', bytes_received FROM volley.executor_calls",
        labels: &["executor", "task", "direction"],
        metrics: &[counter("cluster_bytes", "Bytes of messages to and from an executor")],
    },
];

/// The engine's numbers as text.
#[derive(Debug)]
pub struct EngineMetrics {
    engine: Arc<Engine>,
    kept: Mutex<Option<(Instant, Arc<str>)>>,
}

impl EngineMetrics {
    /// Nothing is asked yet.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, kept: Mutex::new(None) }
    }

    /// The numbers as OpenMetrics text without its end mark, for [`super::Metrics::encode_with`]. What cannot be asked in
    /// time is left out.
    pub async fn text(&self) -> Arc<str> {
        // Held while asking: of several that look at once, one asks.
        let mut kept = self.kept.lock().await;
        if let Some((asked, text)) = kept.as_ref()
            && asked.elapsed() < KEPT_FOR
        {
            return Arc::clone(text);
        }
        let text: Arc<str> = self.ask().await.into();
        *kept = Some((Instant::now(), Arc::clone(&text)));
        text
    }

    async fn ask(&self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        self.memory(&mut registry);
        let deadline = Instant::now() + PATIENCE;
        for source in SOURCES {
            match self.rows(source.sql, deadline).await {
                Ok(batches) => source.register(&batches, &mut registry),
                Err(error) => tracing::warn!(%error, query = source.sql, "a metric is left out this time"),
            }
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode_registry(&mut text, &registry);
        text
    }

    fn memory(&self, registry: &mut Registry) {
        let (held, peak, limit) = self.engine.memory();
        for (name, help, value) in [
            ("memory_held", "Memory that queries, caches and index builds hold", held),
            ("memory_peak", "The most they ever held", peak),
            ("memory_limit", "The most they may hold", limit),
        ] {
            let gauge: Gauge<u64, AtomicU64> = Gauge::default();
            gauge.set(value as u64);
            registry.register_with_unit(name, help, Unit::Bytes, gauge);
        }
    }

    async fn rows(&self, sql: &str, deadline: Instant) -> volley_scheduler::Result<Vec<RecordBatch>> {
        let mut request = QueryRequest::new(sql, &self.engine.session());
        request.deadline = Some(deadline);
        self.engine.execute(request).await?.collect().await
    }
}

impl Source {
    fn register(&self, batches: &[RecordBatch], registry: &mut Registry) {
        for (index, metric) in self.metrics.iter().enumerate() {
            let values = batches.iter().flat_map(|batch| self.values(batch, self.labels.len() + index));
            if metric.counter {
                let family = Family::<Labels, Counter>::default();
                for (labels, value) in values {
                    family.get_or_create(&labels).inc_by(value as u64);
                }
                metric.register(family, registry);
            } else {
                let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
                for (labels, value) in values {
                    family.get_or_create(&labels).set(value);
                }
                metric.register(family, registry);
            }
        }
    }

    /// Each row's labels and the value of a column; rows without a value are left out.
    fn values(&self, batch: &RecordBatch, column: usize) -> Vec<(Labels, f64)> {
        let texts = (0..self.labels.len()).map(|index| cast(batch.column(index), &DataType::Utf8));
        let (Ok(texts), Ok(values)) =
            (texts.collect::<Result<Vec<_>, _>>(), cast(batch.column(column), &DataType::Float64))
        else {
            return Vec::new();
        };
        let values = values.as_primitive::<Float64Type>();
        let labels = |row| {
            let texts = texts.iter().map(|column| escaped(column.as_string::<i32>().value(row)));
            self.labels.iter().copied().zip(texts).collect()
        };
        let rows = (0..batch.num_rows()).filter(|&row| values.is_valid(row));
        rows.map(|row| (labels(row), values.value(row))).collect()
    }
}

/// A label's value as OpenMetrics wants it. The library writes values as they are, and a table's name may hold anything.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Measured {
    fn register(&self, metric: impl prometheus_client::registry::Metric, registry: &mut Registry) {
        match &self.unit {
            Some(unit) => registry.register_with_unit(self.name, self.help, unit.clone(), metric),
            None => registry.register(self.name, self.help, metric),
        }
    }
}
