//! A Volley table pinned at one version, as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Constraint, Constraints, Result};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use volley_executor::segment_set::{SegmentSet, StorageHandle};
use volley_executor::segment_source::{even_parts, scan_config};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::snapshot::Snapshot;
use volley_storage::store::TableStore;

use crate::pruning::matching_segments;

/// A table at the version its query pinned.
#[derive(Debug, Clone)]
pub struct VolleyTable {
    snapshot: Arc<Snapshot>,
    set: Arc<SegmentSet>,
    schema: SchemaRef,
    constraints: Constraints,
    indexes: Arc<[TableIndex]>,
}

/// An index of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableIndex {
    /// Its name, without the schema.
    pub name: String,
    /// What it is.
    pub definition: IndexDefinition,
}

impl VolleyTable {
    /// Pins a snapshot, reading the deletion vectors of its segments.
    pub async fn pin(
        store: Arc<dyn TableStore>,
        runtime: &RuntimeEnv,
        snapshot: Arc<Snapshot>,
        indexes: Arc<[TableIndex]>,
    ) -> Result<Self, volley_executor::error::Error> {
        let set = SegmentSet::load(StorageHandle(store), runtime, &snapshot).await?;
        let schema = Arc::clone(&snapshot.schema.arrow);
        let keys: Vec<usize> =
            snapshot.schema.primary_key.iter().filter_map(|id| snapshot.schema.index_of(*id)).collect();
        // DataFusion takes a declared key as a functional dependency: sound, because every commit enforces it.
        let constraints = match keys.is_empty() {
            true => Constraints::default(),
            false => Constraints::new_unverified(vec![Constraint::PrimaryKey(keys)]),
        };
        Ok(Self { snapshot, set, schema, constraints, indexes })
    }

    /// The same table under the same names at another version.
    pub async fn at(
        &self,
        snapshot: Arc<Snapshot>,
        runtime: &RuntimeEnv,
    ) -> Result<Self, volley_executor::error::Error> {
        Self::pin(Arc::clone(self.set.storage()), runtime, snapshot, Arc::clone(&self.indexes)).await
    }

    /// The same table with the hidden column `_rowaddr` at its end: what DELETE scans.
    pub fn with_row_address(&self) -> Self {
        let fields = self.set.scan_schema().fields().iter().take(self.set.row_address_index() + 1).cloned();
        Self {
            snapshot: Arc::clone(&self.snapshot),
            set: Arc::clone(&self.set),
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            constraints: self.constraints.clone(),
            indexes: Arc::clone(&self.indexes),
        }
    }

    /// The pinned snapshot.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The table's indexes, by name.
    pub fn indexes(&self) -> &[TableIndex] {
        &self.indexes
    }

    /// The pinned segments with their deletes; a row address is valid within this set.
    pub fn set(&self) -> &Arc<SegmentSet> {
        &self.set
    }

    /// Ordinals of the segments that may hold a row for which all filters are true.
    pub fn prune(&self, filters: &[Expr]) -> Result<Vec<u32>> {
        matching_segments(&self.snapshot, filters)
    }

    /// The scan of what filters leave of the table, in this many partitions.
    pub(crate) fn scan_in(
        &self,
        partitions: usize,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let groups = even_parts(&self.set, self.prune(filters)?, partitions)?;
        // The address column stands behind the table's own both here and in the scan's schema.
        let every: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.map_or(every.as_slice(), Vec::as_slice);
        let config = scan_config(&self.set, &groups, Some(projection), limit, options)?;
        Ok(DataSourceExec::from_data_source(config))
    }
}

#[async_trait]
impl TableProvider for VolleyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Filters prune segments, row groups and pages; the FilterExec above decides about rows.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.scan_in(state.config().target_partitions(), projection, filters, limit, state.config_options())
    }
}
