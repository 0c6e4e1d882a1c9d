//! Tests of the rule: plans it makes, plans it leaves alone, and answers that do not depend on it.

mod answers;
mod non_matches;
mod plans;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float32Builder, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, TableProvider};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use futures::stream::{self, StreamExt};
use volley_executor::segment_source::register;
use volley_executor::types::{vector_item_field, vector_type};
use volley_storage::ids::{FieldId, SchemaId, TableId, TxnId};
use volley_storage::schema::{FIELD_ID_KEY, TableSchema};
use volley_storage::snapshot::{Snapshot, TableProperties};
use volley_storage::store::{Consistency, TableStore, Transaction};
use volley_storage::{Database, memory_env};

use crate::catalog::{CATALOG, DEFAULT_SCHEMA};
use crate::session::{session_config, session_state};
use crate::table::VolleyTable;

/// Two sessions over the same table `docs (id, tenant, body, emb vector(2))`: with the rule and without it.
pub(crate) struct Pair {
    pub(crate) with: SessionContext,
    pub(crate) without: SessionContext,
}

/// 24 rows in three segments. Every seventh vector is NULL, some are zero, many are equal.
pub(crate) async fn docs() -> Pair {
    let env = memory_env();
    let database = Database::open(env.clone()).await.unwrap();
    let table = TableId(env.new_ulid());
    let mut base = database.create_table(table, schema(), TableProperties::default()).await.unwrap();
    for (number, rows) in [0..10, 10..11, 11..24].into_iter().enumerate() {
        base = insert(&database, base, number as u128, rows).await;
    }
    let store: Arc<dyn TableStore> = Arc::new(database);
    let runtime = Arc::new(RuntimeEnv::default());
    register(&runtime, &env).unwrap();
    let snapshot = store.snapshot(table, Consistency::Strong).await.unwrap();
    let docs = Arc::new(VolleyTable::pin(Arc::clone(&store), &runtime, snapshot, Arc::from([])).await.unwrap());
    let session = |vector_topk: bool| {
        let config = session_config(Arc::clone(&store), 2);
        let state = session_state(config, Arc::clone(&runtime), vector_topk).unwrap();
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(DEFAULT_SCHEMA, Arc::new(MemorySchemaProvider::new())).unwrap();
        state.catalog_list().register_catalog(CATALOG.into(), Arc::new(catalog));
        let context = SessionContext::new_with_state(state);
        context.register_table("docs", Arc::clone(&docs) as Arc<dyn TableProvider>).unwrap();
        context
    };
    Pair { with: session(true), without: session(false) }
}

/// The table with these rows in one more segment. Each commit has a number of its own.
pub(crate) async fn insert(
    store: &dyn TableStore,
    base: Arc<Snapshot>,
    number: u128,
    rows: std::ops::Range<i64>,
) -> Arc<Snapshot> {
    let staged = stream::iter([Ok(rows_of(&base.schema.arrow, rows))]).boxed();
    let add = store.stage(&base, staged).await.unwrap();
    let transaction = Transaction {
        id: TxnId(number.into()),
        base,
        add,
        delete: BTreeMap::new(),
        remove: Vec::new(),
        attach: Vec::new(),
        detach: Vec::new(),
        idempotency: None,
        operation: "INSERT".into(),
    };
    store.commit(transaction).await.unwrap().snapshot
}

fn schema() -> TableSchema {
    let field = |name: &str, data_type: DataType, id: i32| {
        let metadata = [(FIELD_ID_KEY.to_string(), FieldId(id).to_string())].into();
        Field::new(name, data_type, name != "id").with_metadata(metadata)
    };
    let arrow = Schema::new(vec![
        field("id", DataType::Int64, 1),
        field("tenant", DataType::Int32, 2),
        field("body", DataType::Utf8View, 3),
        field("emb", vector_type(2).unwrap(), 4),
    ]);
    TableSchema { id: SchemaId(0), arrow: Arc::new(arrow), primary_key: Vec::new(), defaults: BTreeMap::new() }
}

fn rows_of(schema: &Arc<Schema>, rows: std::ops::Range<i64>) -> RecordBatch {
    let mut vectors = FixedSizeListBuilder::new(Float32Builder::new(), 2).with_field(vector_item_field());
    for id in rows.clone() {
        vectors.values().append_slice(&[(id % 4) as f32, (id % 3) as f32]);
        vectors.append(id % 7 != 6);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.clone())),
        Arc::new(rows.clone().map(|id| (id % 5 != 4).then_some((id % 5) as i32)).collect::<Int32Array>()),
        Arc::new(rows.map(|id| Some(format!("body {id}"))).collect::<StringViewArray>()),
        Arc::new(vectors.finish()),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

impl Pair {
    /// The optimized logical plan with the rule.
    async fn logical(&self, sql: &str) -> String {
        let plan = self.with.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        plan.display_indent().to_string()
    }

    /// The physical plan with the rule. Paths of segments are random and cut off.
    async fn physical(&self, sql: &str) -> String {
        let plan = self.with.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        let lines = plan.lines().map(|line| match line.split_once("file_groups=") {
            Some((head, tail)) => format!("{head}{}", tail.split_once("]}, ").map_or("…", |(_, rest)| rest)),
            None => line.to_string(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether the rule makes a search of the query.
    async fn searches(&self, sql: &str) -> bool {
        self.logical(sql).await.contains("VectorTopK")
    }

    /// The answers with the rule and without it.
    async fn answers(&self, sql: &str) -> (String, String) {
        let mut answers = Vec::new();
        for context in [&self.with, &self.without] {
            let frame = context.sql(sql).await.unwrap();
            let schema = Arc::clone(frame.schema().inner());
            let batches = frame.collect().await.unwrap();
            answers.push(pretty_format_batches_with_schema(schema, &batches).unwrap().to_string());
        }
        (answers.swap_remove(0), answers.swap_remove(0))
    }
}
