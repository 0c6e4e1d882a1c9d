//! A small table for tests.

use crate::database::Database;
use crate::ids::{FieldId, SchemaId, SegmentId, TableId, TxnId};
use crate::schema::{FIELD_ID_KEY, TableSchema};
use crate::snapshot::{Snapshot, TableProperties};
use crate::store::{Consistency, TableStore, Transaction};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use futures::{StreamExt, TryStreamExt, stream};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// `(id BIGINT NOT NULL [PRIMARY KEY], note TEXT)`.
pub(crate) fn schema(primary_key: bool) -> TableSchema {
    let field = |name, data_type, nullable, id: i32| {
        Field::new(name, data_type, nullable).with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]))
    };
    let fields = vec![field("id", DataType::Int64, false, 1), field("note", DataType::Utf8View, true, 2)];
    TableSchema {
        id: SchemaId(0),
        arrow: Arc::new(Schema::new(fields)),
        primary_key: if primary_key { vec![FieldId(1)] } else { Vec::new() },
        defaults: BTreeMap::from([(FieldId(2), "'none'".to_owned())]),
    }
}

/// Rows `(id, 'note {id}')`.
pub(crate) fn rows(schema: &TableSchema, ids: &[i64]) -> RecordBatch {
    let notes = StringViewArray::from_iter_values(ids.iter().map(|id| format!("note {id}")));
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(notes)];
    RecordBatch::try_new(schema.arrow.clone(), columns).unwrap()
}

pub(crate) async fn table(database: &Database, primary_key: bool) -> TableId {
    let id = TableId(database.env().new_ulid());
    database.create_table(id, schema(primary_key), TableProperties::default()).await.unwrap();
    id
}

/// A transaction on top of the newest version, without changes yet.
pub(crate) async fn begin(database: &Database, table: TableId, operation: &str) -> crate::Result<Transaction> {
    let base = database.snapshot(table, Consistency::Strong).await?;
    Ok(Transaction {
        id: TxnId(database.env().new_ulid()),
        base,
        add: Vec::new(),
        delete: BTreeMap::new(),
        remove: Vec::new(),
        attach: Vec::new(),
        detach: Vec::new(),
        idempotency: None,
        operation: operation.into(),
    })
}

/// A transaction that inserts these ids.
pub(crate) async fn insert(database: &Database, table: TableId, ids: &[i64]) -> crate::Result<Transaction> {
    let mut txn = begin(database, table, "INSERT").await?;
    let batch = rows(&txn.base.schema, ids);
    txn.add = database.stage(&txn.base, stream::iter([Ok(batch)]).boxed()).await?;
    Ok(txn)
}

/// A transaction that deletes the rows with these ids.
pub(crate) async fn delete(database: &Database, table: TableId, ids: &[i64]) -> crate::Result<Transaction> {
    let mut txn = begin(database, table, "DELETE").await?;
    for row in read(database, &txn.base).await? {
        if ids.contains(&row.id) {
            txn.delete.entry(row.segment).or_insert_with(RoaringBitmap::new).insert(row.offset);
        }
    }
    Ok(txn)
}

/// A live row and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) row_id: u64,
    pub(crate) id: i64,
    pub(crate) note: String,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
}

/// Every live row of a snapshot, files read from the store.
pub(crate) async fn read(database: &Database, snapshot: &Snapshot) -> crate::Result<Vec<Row>> {
    let mut found = Vec::new();
    for segment in &snapshot.segments {
        let deleted = database.deletes(snapshot.table, segment).await?.unwrap_or_default();
        let mut offsets = (0..segment.rows as u32).filter(|offset| !deleted.contains(*offset));
        let only = std::slice::from_ref(segment);
        let live: Vec<RecordBatch> = crate::rewrite::live_rows(database, snapshot, only).await?.try_collect().await?;
        for batch in &live {
            let (ids, notes) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string_view());
            let row_ids = batch.column(2).as_primitive::<UInt64Type>();
            for row in 0..batch.num_rows() {
                found.push(Row {
                    row_id: row_ids.value(row),
                    id: ids.value(row),
                    note: notes.value(row).to_owned(),
                    segment: segment.id,
                    offset: offsets.next().unwrap(),
                });
            }
        }
    }
    Ok(found)
}

/// The ids of the newest version's live rows, ascending.
pub(crate) async fn ids(database: &Database, table: TableId) -> Vec<i64> {
    let snapshot = database.snapshot(table, Consistency::Strong).await.unwrap();
    let mut ids: Vec<i64> = read(database, &snapshot).await.unwrap().into_iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}
