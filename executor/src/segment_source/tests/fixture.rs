//! A table with every kind of segment, and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float32Builder, Float64Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::{self, StreamExt};
use roaring::RoaringBitmap;
use volley_storage::ids::{FieldId, SchemaId, TableId, TxnId};
use volley_storage::schema::{FIELD_ID_KEY, TableSchema};
use volley_storage::segment::ROW_GROUP_ROWS;
use volley_storage::segment_writer::{self, StageOptions};
use volley_storage::snapshot::TableProperties;
use volley_storage::store::{Consistency, TableStore, Transaction};
use volley_storage::{Database, Env, memory_env};

use crate::segment_set::{SegmentSet, StorageHandle};
use crate::segment_source::{even_parts, register, scan_config};
use crate::types::{vector_item_field, vector_type};

pub(crate) const ID: FieldId = FieldId(1);
pub(crate) const NAME: FieldId = FieldId(2);
pub(crate) const PRICE: FieldId = FieldId(3);
pub(crate) const EMB: FieldId = FieldId(4);

/// A live row of the table: everything else follows from its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) ordinal: u32,
    pub(crate) offset: u32,
    /// The column `id`, and the row id besides.
    pub(crate) id: u64,
}

/// A table `t(id, name, price, emb)` whose columns are functions of `id`, and ids are row ids.
pub(crate) struct Fixture {
    pub(crate) env: Env,
    pub(crate) table: TableId,
    pub(crate) set: Arc<SegmentSet>,
    pub(crate) context: SessionContext,
    pub(crate) live: Vec<Row>,
}

pub(crate) fn name_of(id: u64) -> Option<String> {
    (!id.is_multiple_of(11)).then(|| format!("the name of row {id}"))
}

pub(crate) fn price_of(id: u64) -> Option<f64> {
    (id % 7 != 3).then_some((id % 1000) as f64 / 4.0)
}

pub(crate) fn emb_of(id: u64) -> Option<Vec<f32>> {
    (id % 5 != 4).then(|| vec![id as f32, (id % 3) as f32, -1.5])
}

/// Rows of each segment, and whether they stay inside the commit: two row groups, one, few.
pub(crate) const SEGMENTS: [(usize, bool); 4] =
    [(ROW_GROUP_ROWS + 20_000, false), (3_000, false), (40, true), (25, true)];

impl Fixture {
    /// The table with every third row of the second segment deleted, and some of the others.
    pub(crate) async fn new() -> Self {
        Self::with(SessionConfig::new(), |ordinal, offset| match ordinal {
            0 => offset % 1000 == 7 || (50_000..60_000).contains(&offset),
            1 => offset % 3 == 0,
            2 => false,
            _ => offset < 5,
        })
        .await
    }

    pub(crate) async fn with(config: SessionConfig, is_deleted: impl Fn(u32, u32) -> bool) -> Self {
        let env = memory_env();
        let database = Database::open(env.clone()).await.unwrap();
        let table = TableId(env.new_ulid());
        let mut snapshot = database.create_table(table, schema(), TableProperties::default()).await.unwrap();
        let mut first = 0;
        for (rows, inline) in SEGMENTS {
            let batch = stream::iter([Ok(batch(first, rows))]).boxed();
            first += rows as u64;
            let options = StageOptions { row_ids: false, inline_bytes_max: if inline { usize::MAX } else { 0 } };
            let add = segment_writer::stage(&env, table, &snapshot, batch, options).await.unwrap();
            let change = Transaction { add, ..change(&env, &snapshot) };
            snapshot = database.commit(change).await.unwrap().snapshot;
        }
        let mut live = Vec::new();
        let mut delete = BTreeMap::new();
        let mut id = 0;
        for (ordinal, segment) in snapshot.segments.iter().enumerate() {
            let mut deleted = RoaringBitmap::new();
            for offset in 0..segment.rows as u32 {
                match is_deleted(ordinal as u32, offset) {
                    true => drop(deleted.insert(offset)),
                    false => live.push(Row { ordinal: ordinal as u32, offset, id }),
                }
                id += 1;
            }
            if !deleted.is_empty() {
                delete.insert(segment.id, deleted);
            }
        }
        if !delete.is_empty() {
            let change = Transaction { delete, ..change(&env, &snapshot) };
            database.commit(change).await.unwrap();
        }
        Self::open(env, table, config, live).await
    }

    /// The table as a process sees it that has read nothing yet.
    pub(crate) async fn open(env: Env, table: TableId, config: SessionConfig, live: Vec<Row>) -> Self {
        let database = Database::open(env.clone()).await.unwrap();
        let snapshot = database.snapshot(table, Consistency::Strong).await.unwrap();
        let storage = StorageHandle(Arc::new(database));
        let context = SessionContext::new_with_config(config.with_extension(Arc::new(storage.clone())));
        register(&context.runtime_env(), &env).unwrap();
        let set = SegmentSet::load(storage, &context.runtime_env(), &snapshot).await.unwrap();
        context.register_table("t", Arc::new(TestTable(Arc::clone(&set)))).unwrap();
        Self { env, table, set, context, live }
    }

    pub(crate) fn ordinals(&self) -> Vec<u32> {
        self.set.iter().map(|segment| segment.ordinal).collect()
    }

    /// All rows of a plan.
    pub(crate) async fn collect(&self, plan: Arc<dyn ExecutionPlan>) -> Vec<RecordBatch> {
        datafusion::physical_plan::collect(plan, self.context.task_ctx()).await.unwrap()
    }
}

fn change(env: &Env, snapshot: &Arc<volley_storage::snapshot::Snapshot>) -> Transaction {
    Transaction {
        id: TxnId(env.new_ulid()),
        base: Arc::clone(snapshot),
        add: Vec::new(),
        delete: BTreeMap::new(),
        remove: Vec::new(),
        attach: Vec::new(),
        detach: Vec::new(),
        idempotency: None,
        operation: "TEST".into(),
    }
}

pub(crate) fn field(name: &str, data_type: DataType, nullable: bool, id: FieldId) -> Field {
    Field::new(name, data_type, nullable).with_metadata([(FIELD_ID_KEY.to_string(), id.to_string())].into())
}

fn schema() -> TableSchema {
    let arrow = Schema::new(vec![
        field("id", DataType::Int64, false, ID),
        field("name", DataType::Utf8View, true, NAME),
        field("price", DataType::Float64, true, PRICE),
        field("emb", vector_type(3).unwrap(), true, EMB),
    ]);
    TableSchema { id: SchemaId(0), arrow: Arc::new(arrow), primary_key: Vec::new(), defaults: BTreeMap::new() }
}

/// `rows` rows beginning with this id.
fn batch(first: u64, rows: usize) -> RecordBatch {
    let ids = || first..first + rows as u64;
    let mut emb = FixedSizeListBuilder::new(Float32Builder::new(), 3).with_field(vector_item_field());
    for vector in ids().map(emb_of) {
        emb.values().append_slice(vector.as_deref().unwrap_or(&[0.0; 3]));
        emb.append(vector.is_some());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids().map(|id| id as i64).collect::<Int64Array>()),
        Arc::new(ids().map(name_of).collect::<StringViewArray>()),
        Arc::new(ids().map(price_of).collect::<Float64Array>()),
        Arc::new(emb.finish()),
    ];
    RecordBatch::try_new(schema().arrow, columns).unwrap()
}

/// The smallest table provider over a segment set.
#[derive(Debug)]
pub(crate) struct TestTable(pub(crate) Arc<SegmentSet>);

#[async_trait]
impl TableProvider for TestTable {
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
        let ordinals = self.0.iter().map(|segment| segment.ordinal);
        let groups = even_parts(&self.0, ordinals, state.config().target_partitions())?;
        let projection = projection.map(Vec::as_slice);
        let config = scan_config(&self.0, &groups, projection, limit, state.config_options())?;
        Ok(DataSourceExec::from_data_source(config))
    }
}
