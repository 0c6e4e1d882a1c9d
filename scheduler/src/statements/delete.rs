//! DELETE: find the addresses, turn them into offsets per segment, commit; again on a newer version when another
//! writer was first.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::sql::sqlparser::ast::Expr;
use futures::TryStreamExt;
use volley_executor::segment_set::split_row_address;
use volley_planner::dml::plan_delete;
use volley_planner::table::VolleyTable;
use volley_storage::ErrorKind;
use volley_storage::store::Transaction;

use super::Running;
use super::write::transaction;
use crate::error::{Error, Result};

/// How often a statement that lost against other writers is run again.
const CONFLICT_TRIES: usize = 16;

impl Running {
    /// Deletes the rows for which `predicate` is true (all without one); returns how many there were.
    pub(super) async fn delete_rows(
        &self,
        schema: &str,
        table: &str,
        alias: &str,
        predicate: Option<Expr>,
    ) -> Result<u64> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_delete(schema, table, alias, predicate.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < CONFLICT_TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_delete(&self, schema: &str, name: &str, alias: &str, predicate: Option<Expr>) -> Result<u64> {
        let catalog = self.catalog().await?;
        let table = self.writable(&catalog, schema, name).await?;
        let state = catalog.state();
        let plan = plan_delete(&state, &table, alias, predicate, &self.parameter_fields())
            .await
            .map_err(|error| self.explain_error(&state, error))?;
        let plan = self.bind(plan)?;
        let mut rows = self.start_unlimited(&state, &plan).await?;
        let mut delete = BTreeMap::new();
        while let Some(batch) = rows.try_next().await? {
            collect_addresses(&table, &batch, &mut delete)?;
        }
        let count = delete.values().map(|offsets: &roaring::RoaringBitmap| offsets.len()).sum();
        if count > 0 {
            let base = Arc::clone(table.snapshot());
            self.commit(Transaction { delete, ..transaction(&base, "DELETE") }).await?;
            // Any commit may be the one after which inline rows are folded into a segment.
            self.index_later(base.table);
        }
        Ok(count)
    }
}

fn collect_addresses(
    table: &VolleyTable,
    batch: &RecordBatch,
    delete: &mut BTreeMap<volley_storage::ids::SegmentId, roaring::RoaringBitmap>,
) -> Result<()> {
    let addresses = batch.column(0).as_primitive_opt::<UInt64Type>();
    let Some(addresses) = addresses else {
        return Err(Error::Internal { detail: "row addresses are not 64-bit numbers".to_owned() });
    };
    for address in addresses.values() {
        let (ordinal, offset) = split_row_address(*address);
        let segment = table.set().get(ordinal)?.segment.id;
        delete.entry(segment).or_default().insert(offset);
    }
    Ok(())
}
