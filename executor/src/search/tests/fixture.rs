//! Small tables in memory, and the answer to a search of them by brute force.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float32Builder, Float64Array, Int32Array, Int64Array, RecordBatch,
};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{self, StreamExt};
use roaring::RoaringBitmap;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use volley_storage::ids::{FieldId, SchemaId, SegmentId, TableId, TxnId};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::schema::{FIELD_ID_KEY, TableSchema};
use volley_storage::segment::{RowIds, SegmentData};
use volley_storage::segment_writer::{self, StageOptions};
use volley_storage::snapshot::{Snapshot, TableProperties};
use volley_storage::store::{Consistency, StagedSegment, TableStore, Transaction};
use volley_storage::{Database, Env, memory_env};

use crate::hot_columns::HotColumns;
use crate::maintenance::{IndexJob, build_index};
use crate::search::{LocalSearcher, Metric};
use crate::segment_set::{SegmentSet, StorageHandle};
use crate::segment_source::register;
use crate::types::{vector_item_field, vector_type};

pub(crate) const ID: FieldId = FieldId(1);
pub(crate) const TENANT: FieldId = FieldId(2);
pub(crate) const EMB: FieldId = FieldId(3);

/// A row of a test table. Its row id is its position in the order of insertion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) tenant: Option<i32>,
    pub(crate) emb: Option<Vec<f32>>,
}

/// Rows that are inserted by one commit.
#[derive(Debug, Clone)]
pub(crate) struct Insert {
    pub(crate) rows: Vec<Row>,
    /// Whether they stay inside the commit.
    pub(crate) inline: bool,
}

/// A table with columns `id`, `tenant` and `emb`.
pub(crate) struct Fixture {
    pub(crate) set: Arc<SegmentSet>,
    pub(crate) task: Arc<TaskContext>,
}

impl Fixture {
    /// A table after some inserts, the deletion of the rows with these row ids, and, if asked for, a fold of the inline
    /// rows into a segment with a row id column.
    pub(crate) async fn new(dim: usize, inserts: &[Insert], deleted: &[u64], fold: bool) -> Self {
        let env = memory_env();
        let database = Database::open(env.clone()).await.unwrap();
        let table = TableId(env.new_ulid());
        let properties = TableProperties::default();
        let mut snapshot = database.create_table(table, schema(dim), properties).await.unwrap();
        for insert in inserts.iter().filter(|insert| !insert.rows.is_empty()) {
            let rows = stream::iter([Ok(batch(&snapshot, &insert.rows))]).boxed();
            let inline_bytes_max = if insert.inline { usize::MAX } else { 0 };
            let options = StageOptions { row_ids: false, inline_bytes_max };
            let add = segment_writer::stage(&env, table, &snapshot, rows, options).await.unwrap();
            snapshot = commit(&env, &database, &snapshot, add, BTreeMap::new()).await;
        }
        let mut delete: BTreeMap<_, RoaringBitmap> = BTreeMap::new();
        let mut first = 0;
        for segment in &snapshot.segments {
            let offsets: RoaringBitmap = deleted
                .iter()
                .filter(|id| (first..first + segment.rows).contains(*id))
                .map(|id| (id - first) as u32)
                .collect();
            first += segment.rows;
            if !offsets.is_empty() {
                delete.insert(segment.id, offsets);
            }
        }
        if !delete.is_empty() {
            commit(&env, &database, &snapshot, Vec::new(), delete).await;
        }
        if fold {
            database.fold_inline(table).await.unwrap();
        }
        let snapshot = database.snapshot(table, Consistency::Strong).await.unwrap();
        let storage = StorageHandle(Arc::new(database.clone()));
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
        let config = SessionConfig::new()
            .with_extension(Arc::new(storage.clone()))
            .with_extension(Arc::new(HotColumns::new(&pool)));
        let context = SessionContext::new_with_config(config);
        register(&context.runtime_env(), &env).unwrap();
        let set = SegmentSet::load(storage, &context.runtime_env(), &snapshot).await.unwrap();
        Self { set, task: context.task_ctx() }
    }

    /// The same table with an index on the segments that are files, and then with more rows deleted, by row id.
    pub(crate) async fn with_index(self, definition: &IndexDefinition, deleted: &[u64]) -> Self {
        let store = Arc::clone(self.set.storage());
        let snapshot = store.snapshot(self.set.table(), Consistency::Strong).await.unwrap();
        let mut attach = Vec::new();
        for segment in &snapshot.segments {
            if matches!(segment.data, SegmentData::File(_)) {
                let job = IndexJob {
                    store: Arc::clone(&store),
                    snapshot: Arc::clone(&snapshot),
                    segment: Arc::clone(segment),
                    definition: definition.clone(),
                    threads: 1,
                    progress: Arc::new(|_| {}),
                    cancel: CancellationToken::new(),
                };
                let sidecars = build_index(job).await.unwrap();
                attach.extend(sidecars.into_iter().map(|sidecar| (segment.id, sidecar)));
            }
        }
        let mut delete: BTreeMap<_, RoaringBitmap> = BTreeMap::new();
        for segment in &snapshot.segments {
            let RowIds::Contiguous { first } = segment.row_ids else { continue };
            let known = store.deletes(snapshot.table, segment).await.unwrap();
            let is_live = |offset: &u32| known.as_ref().is_none_or(|known| !known.contains(*offset));
            let of_segment = deleted.iter().filter(|id| (first.0..first.0 + segment.rows).contains(*id));
            let offsets: RoaringBitmap = of_segment.map(|id| (id - first.0) as u32).filter(is_live).collect();
            if !offsets.is_empty() {
                delete.insert(segment.id, offsets);
            }
        }
        let transaction = |base, delete, attach| Transaction {
            id: TxnId(Ulid::generate()),
            base,
            add: Vec::new(),
            delete,
            remove: Vec::new(),
            attach,
            detach: Vec::new(),
            idempotency: None,
            operation: "TEST".into(),
        };
        let snapshot = store.commit(transaction(snapshot, BTreeMap::new(), attach)).await.unwrap().snapshot;
        let snapshot = store.commit(transaction(snapshot, delete, Vec::new())).await.unwrap().snapshot;
        let set = SegmentSet::load(StorageHandle(store), &self.task.runtime_env(), &snapshot).await.unwrap();
        Self { set, task: self.task }
    }

    pub(crate) fn ordinals(&self) -> Vec<u32> {
        self.set.iter().map(|segment| segment.ordinal).collect()
    }
}

fn schema(dim: usize) -> TableSchema {
    let field = |name: &str, data_type: DataType, nullable: bool, id: FieldId| {
        let metadata = [(FIELD_ID_KEY.to_string(), id.to_string())].into();
        Field::new(name, data_type, nullable).with_metadata(metadata)
    };
    let arrow = Schema::new(vec![
        field("id", DataType::Int64, false, ID),
        field("tenant", DataType::Int32, true, TENANT),
        field("emb", vector_type(dim).unwrap(), true, EMB),
    ]);
    TableSchema { id: SchemaId(0), arrow: Arc::new(arrow), primary_key: Vec::new(), defaults: BTreeMap::new() }
}

fn batch(snapshot: &Snapshot, rows: &[Row]) -> RecordBatch {
    let schema = Arc::clone(&snapshot.schema.arrow);
    let DataType::FixedSizeList(_, dim) = schema.field(2).data_type() else { unreachable!("a vector") };
    let mut vectors = FixedSizeListBuilder::new(Float32Builder::new(), *dim).with_field(vector_item_field());
    for row in rows {
        match &row.emb {
            Some(emb) => vectors.values().append_slice(emb),
            None => vectors.values().append_slice(&vec![0.0; *dim as usize]),
        }
        vectors.append(row.emb.is_some());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.tenant).collect::<Int32Array>()),
        Arc::new(vectors.finish()),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

async fn commit(
    env: &Env,
    database: &Database,
    base: &Arc<Snapshot>,
    add: Vec<StagedSegment>,
    delete: BTreeMap<SegmentId, RoaringBitmap>,
) -> Arc<Snapshot> {
    let transaction = Transaction {
        id: TxnId(env.new_ulid()),
        base: Arc::clone(base),
        add,
        delete,
        remove: Vec::new(),
        attach: Vec::new(),
        detach: Vec::new(),
        idempotency: None,
        operation: "TEST".into(),
    };
    database.commit(transaction).await.unwrap().snapshot
}

/// The first k rows among `rows` (with their row ids) that satisfy `filter`, as `(id, distance)`.
pub(crate) fn brute_force(
    rows: &[(u64, Row)],
    query: &[f32],
    metric: Metric,
    k: usize,
    filter: impl Fn(&Row) -> bool,
    ties: &[(FieldId, SortOptions)],
) -> Vec<(i64, Option<f64>)> {
    let distance = |row: &Row| {
        let distance = volley_index::distance(metric, row.emb.as_ref()?, query);
        distance.filter(|distance| !distance.is_nan())
    };
    let mut found: Vec<_> =
        rows.iter().filter(|(_, row)| filter(row)).map(|(row_id, row)| (distance(row), row, *row_id)).collect();
    found.sort_by(|(a, row_a, id_a), (b, row_b, id_b)| {
        let mut order = match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        for (column, options) in ties {
            order = order.then(match *column {
                ID => directed(Some(row_a.id), Some(row_b.id), *options),
                _ => directed(row_a.tenant, row_b.tenant, *options),
            });
        }
        order.then(id_a.cmp(id_b))
    });
    found.into_iter().take(k).map(|(distance, row, _)| (row.id, distance.map(f64::from))).collect()
}

fn directed<T: Ord>(a: Option<T>, b: Option<T>, options: SortOptions) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if options.descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) if options.nulls_first => a.is_some().cmp(&b.is_some()),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

/// `(id, distance)` of a result whose first column is `id` and whose last is the distance.
pub(crate) fn ids_and_distances(batches: &[RecordBatch]) -> Vec<(i64, Option<f64>)> {
    let mut rows = Vec::new();
    for batch in batches {
        let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let distances = batch.column(batch.num_columns() - 1).as_any().downcast_ref::<Float64Array>().unwrap();
        rows.extend(ids.values().iter().copied().zip(distances.iter()));
    }
    rows
}

/// A searcher on so many threads, with memory of its own.
pub(crate) fn searcher_on(threads: usize) -> LocalSearcher {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
    LocalSearcher::new(threads, &pool)
}
