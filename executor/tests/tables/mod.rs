//! A table of ten segments, some inside commits, most with deleted rows, and searches of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListBuilder, Float32Builder, Float64Array, Int64Array, RecordBatch,
    StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{self, StreamExt};
use roaring::RoaringBitmap;
use tempfile::TempDir;
use volley_executor::fetch_rows::FetchRowsExec;
use volley_executor::segment_set::{SegmentSet, StorageHandle};
use volley_executor::segment_source::{SegmentPart, register, scan_config};
use volley_executor::types::{vector_item_field, vector_type};
use volley_executor::vector_topk::{ExactReason, Precision, Query, TopK, VectorTopKExec};
use volley_index::Metric;
use volley_storage::ids::{FieldId, SchemaId, TableId, TxnId};
use volley_storage::schema::{FIELD_ID_KEY, TableSchema};
use volley_storage::segment::SegmentData;
use volley_storage::snapshot::TableProperties;
use volley_storage::store::{Consistency, TableStore, Transaction};
use volley_storage::{Database, local_env};

/// Rows of each segment in commit order. The five with at most 700 rows stay inside their commits.
const SEGMENTS: [usize; 10] = [2_000, 20, 1_000, 2_000, 30, 1_500, 10, 2_500, 700, 25];
const DIM: usize = 8;
const K: usize = 10;

fn is_deleted(id: u64) -> bool {
    id % 10 == 3 || (4_000..4_800).contains(&id)
}

/// The data directory and what it holds.
pub(crate) struct Tables {
    _directory: TempDir,
    runtime: Arc<RuntimeEnv>,
    storage: StorageHandle,
    providers: HashMap<&'static str, Arc<dyn TableProvider>>,
}

impl Tables {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let env = local_env(directory.path()).unwrap();
        let database = Database::open(env.clone()).await.unwrap();
        let table = TableId(env.new_ulid());
        let mut snapshot = database.create_table(table, schema(), TableProperties::default()).await.unwrap();
        let change = |base| Transaction {
            id: TxnId(env.new_ulid()),
            base,
            add: Vec::new(),
            delete: BTreeMap::new(),
            remove: Vec::new(),
            attach: Vec::new(),
            detach: Vec::new(),
            idempotency: None,
            operation: "INSERT".into(),
        };
        let mut first = 0;
        for rows in SEGMENTS {
            let batch = stream::iter([Ok(batch(first, rows))]).boxed();
            let add = database.stage(&snapshot, batch).await.unwrap();
            let insert = Transaction { add, ..change(Arc::clone(&snapshot)) };
            snapshot = database.commit(insert).await.unwrap().snapshot;
            first += rows as u64;
        }
        let mut delete = BTreeMap::new();
        let mut id = 0;
        for segment in &snapshot.segments {
            let offsets = (0..segment.rows as u32).filter(|offset| is_deleted(id + u64::from(*offset)));
            delete.insert(segment.id, offsets.collect::<RoaringBitmap>());
            id += segment.rows;
        }
        database.commit(Transaction { delete, ..change(Arc::clone(&snapshot)) }).await.unwrap();
        let snapshot = database.snapshot(table, Consistency::Strong).await.unwrap();
        let inline = snapshot.segments.iter().filter(|s| matches!(s.data, SegmentData::Inline(_))).count();
        assert_eq!((snapshot.segments.len(), inline), (10, 5), "the table has segments of both kinds");

        let runtime = Arc::new(RuntimeEnv::default());
        register(&runtime, &env).unwrap();
        let storage = StorageHandle(Arc::new(database));
        let set = SegmentSet::load(storage.clone(), &runtime, &snapshot).await.unwrap();
        let providers = [
            ("t", Arc::new(Segments(Arc::clone(&set))) as Arc<dyn TableProvider>),
            ("nearest", Arc::new(Search::new(&set, false))),
            ("winners", Arc::new(Search::new(&set, true))),
        ];
        Self { _directory: directory, runtime, storage, providers: providers.into() }
    }

    /// What a full scan has to find.
    pub(crate) fn live_ids(&self) -> impl Iterator<Item = u64> {
        (0..SEGMENTS.iter().sum::<usize>() as u64).filter(|id| !is_deleted(*id))
    }

    pub(crate) fn providers(&self) -> &HashMap<&'static str, Arc<dyn TableProvider>> {
        &self.providers
    }

    pub(crate) fn storage(&self) -> Arc<StorageHandle> {
        Arc::new(self.storage.clone())
    }

    /// A session of this process over the tables.
    pub(crate) fn state(&self, config: SessionConfig) -> SessionState {
        SessionStateBuilder::new_with_default_features()
            .with_config(config.with_extension(self.storage()))
            .with_runtime_env(Arc::clone(&self.runtime))
            .build()
    }

    pub(crate) fn register(&self, state: SessionState) -> SessionContext {
        let context = SessionContext::new_with_state(state);
        for (name, provider) in &self.providers {
            context.register_table(*name, Arc::clone(provider)).unwrap();
        }
        context
    }

    /// Plain DataFusion.
    pub(crate) fn context(&self, partitions: usize) -> SessionContext {
        self.register(self.state(SessionConfig::new().with_target_partitions(partitions)))
    }
}

fn schema() -> TableSchema {
    let field = |name: &str, data_type: DataType, nullable: bool, id: i32| {
        Field::new(name, data_type, nullable).with_metadata([(FIELD_ID_KEY.to_string(), id.to_string())].into())
    };
    let arrow = Schema::new(vec![
        field("id", DataType::Int64, false, 1),
        field("name", DataType::Utf8View, true, 2),
        field("price", DataType::Float64, true, 3),
        field("flag", DataType::Boolean, false, 4),
        field("emb", vector_type(DIM).unwrap(), true, 5),
    ]);
    TableSchema { id: SchemaId(0), arrow: Arc::new(arrow), primary_key: Vec::new(), defaults: BTreeMap::new() }
}

fn batch(first: u64, rows: usize) -> RecordBatch {
    let ids = || first..first + rows as u64;
    let mut emb = FixedSizeListBuilder::new(Float32Builder::new(), DIM as i32).with_field(vector_item_field());
    for id in ids() {
        let vector = (0..DIM as u64).map(|i| ((id * 7919 + i * 104_729) % 1000) as f32 / 1000.0);
        emb.values().append_slice(&vector.collect::<Vec<_>>());
        emb.append(id % 50 != 0);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids().map(|id| id as i64).collect::<Int64Array>()),
        Arc::new(ids().map(|id| (id % 13 != 0).then(|| format!("row {id} and more"))).collect::<StringViewArray>()),
        Arc::new(ids().map(|id| (id % 7 != 0).then_some((id % 800) as f64 / 8.0)).collect::<Float64Array>()),
        Arc::new(ids().map(|id| Some(id % 3 == 0)).collect::<BooleanArray>()),
        Arc::new(emb.finish()),
    ];
    RecordBatch::try_new(schema().arrow, columns).unwrap()
}

/// Deals the segments to the session's target partitions in turn.
fn deal(set: &SegmentSet, state: &dyn Session) -> Vec<Vec<SegmentPart>> {
    let mut groups = vec![Vec::new(); state.config().target_partitions()];
    for (turn, segment) in set.iter().enumerate() {
        let turn = turn % groups.len();
        groups[turn].push(segment.ordinal.into());
    }
    groups
}

fn scan(
    set: &Arc<SegmentSet>,
    state: &dyn Session,
    projection: Option<&[usize]>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let config = scan_config(set, &deal(set, state), projection, limit, state.config_options())?;
    Ok(DataSourceExec::from_data_source(config))
}

/// The table.
#[derive(Debug)]
struct Segments(Arc<SegmentSet>);

#[async_trait]
impl TableProvider for Segments {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema().arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        scan(&self.0, state, projection.map(Vec::as_slice), limit)
    }
}

/// A search of the table as if it were a table: up to k rows of each partition, or the k winners with their columns.
#[derive(Debug)]
struct Search {
    set: Arc<SegmentSet>,
    topk: TopK,
    winners: bool,
    schema: SchemaRef,
}

impl Search {
    fn new(set: &Arc<SegmentSet>, winners: bool) -> Self {
        let topk = TopK {
            column: FieldId(5),
            metric: Metric::L2,
            query: Query::Constant((0..DIM).map(|i| i as f32 / DIM as f32).collect()),
            k: K,
            ties: Vec::new(),
            carried: Vec::new(),
            filter: None,
            bound: None,
            precision: Precision::Exact(ExactReason::NoIndex),
        };
        let mut search = Self { set: Arc::clone(set), topk, winners, schema: Arc::new(Schema::empty()) };
        search.schema = search.plan(&SessionContext::new().state()).unwrap().schema();
        search
    }

    fn plan(&self, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let search = VectorTopKExec::try_new(self.topk.clone(), scan(&self.set, state, None, None)?)?;
        if !self.winners {
            return Ok(Arc::new(search));
        }
        let order = search.order().clone();
        let merge = Arc::new(SortPreservingMergeExec::new(order.clone(), Arc::new(search)).with_fetch(Some(K)));
        Ok(Arc::new(FetchRowsExec::try_new(merge, order, Arc::clone(&self.set), vec![FieldId(1), FieldId(2)], K)?))
    }
}

#[async_trait]
impl TableProvider for Search {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.plan(state)?;
        Ok(match projection {
            None => plan,
            Some(projection) => {
                let exprs = ProjectionExprs::from_indices(projection, &self.schema);
                Arc::new(ProjectionExec::try_new(exprs.iter().cloned().collect::<Vec<_>>(), plan)?)
            }
        })
    }
}
