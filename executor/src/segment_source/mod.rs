//! Scanning segments: a `FileSource` inside DataFusion's stock `FileScanConfig` and `DataSourceExec`.
//!
//! ```text
//! DataSourceExec
//! └ FileScanConfig          stock, so that Ballista can slice it: each file group is a partition, each file a segment
//!   └ SegmentSource         this module: knows the SegmentSet and turns each file into rows
//!     └ ParquetSource       stock: decoding, projection, pruning of row groups and pages, dynamic filters
//! ```
//!
//! A file group names a segment by its path; everything else about it (files, checksums, deleted rows, rows that live in
//! the commit itself) is looked up in the [`SegmentSet`] that the source carries. `PartitionedFile::range`, where it is
//! set, counts **rows**, not bytes: a part of a segment that begins and ends at row groups.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | builds the `FileScanConfig`, divides segments among partitions |
//! | `statistics` | what the planner and the opener may believe about a segment |
//! | `morselizer` | opens one file: checksum first, then the stock Parquet opener or the inline rows |
//! | `access` | rows to read: part, deleted rows, wanted rows, as a `ParquetAccessPlan` |
//! | `inline` | rows inside the commit |
//! | `system_columns` | `_rowaddr` and `_rowid` as expressions over the row number within the file |
//! | `footers` | Parquet readers with cached footers and page indexes |
//! | `matching` | which rows of a segment satisfy a predicate |
//! | `fetch` | a few rows by address |
//! | `root` | the object store URL of the data directory |
//! | `copies` | the same files from copies on this machine, where that store is behind a network |

mod access;
mod config;
mod copies;
mod fetch;
mod footers;
mod inline;
mod matching;
mod morselizer;
mod root;
mod statistics;
mod system_columns;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use config::with_statistics;
pub use config::{SegmentPart, even_parts, parts_of, scan_config};
pub use fetch::fetch_rows;
pub use matching::matching_rows;
pub use root::{object_store_url, register};

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::{ConfigOptions, TableParquetOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::morsel::Morselizer;
use object_store::ObjectStore;

use crate::segment_set::SegmentSet;

/// The rows of a [`SegmentSet`], segment by segment. Its table schema is [`SegmentSet::scan_schema`].
#[derive(Clone)]
pub struct SegmentSource {
    segments: Arc<SegmentSet>,
    /// The stock source over the whole scan schema: it keeps the predicate, the options, the batch size and the metrics,
    /// but never a projection, because system columns mean another expression in every segment.
    parquet: ParquetSource,
    /// The projection, over the scan schema.
    projection: ProjectionExprs,
    /// Rows per batch, where somebody has said so.
    batch_size: Option<usize>,
}

impl SegmentSource {
    /// A source that produces the whole scan schema, read with these Parquet options.
    pub fn new(segments: Arc<SegmentSet>, options: TableParquetOptions) -> Self {
        let schema = Arc::clone(segments.scan_schema());
        let all = (0..schema.fields().len()).collect::<Vec<_>>();
        let projection = ProjectionExprs::from_indices(&all, &schema);
        let parquet = ParquetSource::new(schema).with_table_parquet_options(options);
        Self { segments, parquet, projection, batch_size: None }
    }

    /// The segments that file groups refer to.
    pub fn segments(&self) -> &Arc<SegmentSet> {
        &self.segments
    }

    /// The options that Parquet segments are read with.
    pub fn options(&self) -> &TableParquetOptions {
        self.parquet.table_parquet_options()
    }

    /// The predicate that has been pushed down, over the scan schema.
    pub(crate) fn predicate(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    /// The same source with a predicate over the scan schema.
    pub(crate) fn with_predicate(mut self, predicate: Arc<dyn PhysicalExpr>) -> Self {
        self.parquet = self.parquet.with_predicate(predicate);
        self
    }

    /// Takes back a [`ParquetSource`] that one of its own methods changed.
    fn with_parquet(&self, parquet: &Arc<dyn FileSource>) -> Result<Self> {
        let parquet = parquet
            .downcast_ref::<ParquetSource>()
            .ok_or_else(|| internal_datafusion_err!("ParquetSource turned into {}", parquet.file_type()))?
            .clone();
        Ok(Self { parquet, ..self.clone() })
    }

    /// Whether an expression over the scan schema needs a system column: Parquet's own filters cannot see those.
    fn needs_system_column(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        collect_columns(expr).iter().any(|column| column.index() >= self.segments.row_address_index())
    }
}

impl fmt::Debug for SegmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentSource")
            .field("table", &self.segments.table())
            .field("version", &self.segments.version())
            .finish_non_exhaustive()
    }
}

impl FileSource for SegmentSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        internal_err!("segments are opened through create_morselizer")
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        morselizer::create(self, object_store, base_config, partition)
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        // The stock source gives back nothing but itself, so there is no error to report.
        let sized = self.with_parquet(&self.parquet.with_batch_size(batch_size)).unwrap_or_else(|_| self.clone());
        Arc::new(Self { batch_size: Some(batch_size), ..sized })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        "segment"
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        if matches!(format, DisplayFormatType::Default | DisplayFormatType::Verbose) {
            write!(f, ", version={}", self.segments.version())?;
        }
        self.parquet.fmt_extra(format, f)
    }

    /// DataFusion would split by bytes, and only where it sees the file's length; [`even_parts`] splits at row groups.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let own = filters.iter().map(|filter| self.needs_system_column(filter)).collect::<Vec<_>>();
        let offered = filters.into_iter().zip(&own).filter(|(_, own)| !**own).map(|(filter, _)| filter).collect();
        let parquet = self.parquet.try_pushdown_filters(offered, config)?;
        let mut answers = parquet.filters.into_iter();
        let answers = own
            .into_iter()
            .map(|own| if own { PushedDown::No } else { answers.next().unwrap_or(PushedDown::No) })
            .collect();
        let result = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        match parquet.updated_node {
            Some(parquet) => Ok(result.with_updated_node(Arc::new(self.with_parquet(&parquet)?) as _)),
            None => Ok(result),
        }
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        if order.first().is_some_and(|first| self.needs_system_column(&first.expr)) {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        Ok(match self.parquet.try_pushdown_sort(order, eq_properties)? {
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
            // No order is declared for segments, so Parquet can only approximate one.
            SortOrderPushdownResult::Exact { inner } | SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: Arc::new(self.with_parquet(&inner)?) }
            }
        })
    }

    fn reorder_files(
        &self,
        files: Vec<datafusion::datasource::listing::PartitionedFile>,
    ) -> Vec<datafusion::datasource::listing::PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = self.projection.try_merge(projection)?;
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let predicate = self.parquet.filter();
        let roots = predicate.iter().chain(self.projection.iter().map(|projected| &projected.expr));
        datafusion::physical_plan::apply_expression_roots(roots, f)
    }
}
