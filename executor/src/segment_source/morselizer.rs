//! Opening one segment.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::ObjectStore;
use volley_storage::segment::{FileRef, SegmentData};

use super::SegmentSource;
use super::access::RowAccess;
use super::copies::SegmentCopies;
use super::footers::FooterCachingReaders;
use super::inline::{InlineScan, with_schema};
use super::statistics::opening_statistics;
use super::system_columns;
use crate::error::Error;
use crate::segment_set::{SegmentHandle, SegmentSet};

/// The morselizer of one partition of a scan.
pub(super) fn create(
    source: &SegmentSource,
    store: Arc<dyn ObjectStore>,
    base: &FileScanConfig,
    partition: usize,
) -> Result<Box<dyn Morselizer>> {
    let set = &source.segments;
    let store = SegmentCopies::over(set, store);
    let readers = FooterCachingReaders::new(Arc::clone(&store), Arc::clone(set.footers()));
    let parquet = source.parquet.clone().with_parquet_file_reader_factory(Arc::new(readers));
    let output = Arc::new(source.projection.project_schema(set.scan_schema())?);
    let inline = InlineScan {
        predicate: parquet.filter(),
        projection: source.projection.clone(),
        output: Arc::clone(&output),
        batch_size: source.batch_size.unwrap_or(usize::MAX),
    };
    // The stock opener takes its limit and its order from the config; it needs no files of it.
    let config = FileScanConfigBuilder::new(base.object_store_url.clone(), Arc::new(parquet.clone()))
        .with_limit(base.limit)
        .with_preserve_order(base.preserve_order)
        .with_expr_adapter(base.expr_adapter_factory.clone())
        .build();
    Ok(Box::new(SegmentMorselizer { source: source.clone(), parquet, inline, output, store, config, partition }))
}

struct SegmentMorselizer {
    source: SegmentSource,
    parquet: ParquetSource,
    inline: InlineScan,
    output: SchemaRef,
    store: Arc<dyn ObjectStore>,
    config: FileScanConfig,
    partition: usize,
}

impl fmt::Debug for SegmentMorselizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMorselizer").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Morselizer for SegmentMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let set = &self.source.segments;
        let segment = set.by_path(&file.object_meta.location)?;
        let access = RowAccess::new(set, segment, &file)?;
        match &segment.segment.data {
            SegmentData::Inline(rows) => Ok(Box::new(InlinePlanner(InlineMorsel {
                set: Arc::clone(set),
                segment: Arc::clone(segment),
                rows: Arc::clone(rows),
                access,
                scan: self.inline.clone(),
            }))),
            SegmentData::File(data) => {
                let inner = self.plan_parquet(segment, &access, file)?;
                let check = Some(Check { set: Arc::clone(set), file: data.clone() });
                Ok(Box::new(CheckedPlanner { inner, check, output: Arc::clone(&self.output) }))
            }
        }
    }
}

impl SegmentMorselizer {
    /// Hands a Parquet segment to the stock opener, with what only we know about it.
    fn plan_parquet(
        &self,
        segment: &SegmentHandle,
        access: &RowAccess,
        mut file: PartitionedFile,
    ) -> Result<Box<dyn MorselPlanner>> {
        let set = &self.source.segments;
        // To the stock opener a range would mean bytes; the plan has taken it in.
        file.range = None;
        file.statistics = Some(Arc::new(opening_statistics(set, segment)));
        if !access.is_whole() {
            file = file.with_extension(access.plan());
        }
        let projection =
            self.source.projection.clone().try_map_exprs(|expr| system_columns::resolve(set, segment, expr))?;
        let parquet = self
            .parquet
            .try_pushdown_projection(&projection)?
            .ok_or_else(|| internal_datafusion_err!("the Parquet source refused a projection"))?;
        parquet.create_morselizer(Arc::clone(&self.store), &self.config, self.partition)?.plan_file(file)
    }
}

/// A file whose length and checksum have to be known before it is read.
#[derive(Debug, Clone)]
struct Check {
    set: Arc<SegmentSet>,
    file: FileRef,
}

impl Check {
    async fn run(self) -> Result<()> {
        let checked = self.set.storage().check(self.set.table(), &self.file).await;
        checked.map_err(|error| DataFusionError::from(Error::from(error)))
    }
}

/// The stock planner of one file, with the check put before its first I/O: a file that statistics rule out is never
/// touched, and no byte of a damaged one is ever believed.
#[derive(Debug)]
struct CheckedPlanner {
    inner: Box<dyn MorselPlanner>,
    check: Option<Check>,
    output: SchemaRef,
}

impl MorselPlanner for CheckedPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { inner, check, output } = *self;
        let Some(mut plan) = inner.plan()? else { return Ok(None) };
        let morsels = plan.take_morsels().into_iter().map(|inner| {
            let output = Arc::clone(&output);
            Box::new(SchemaMorsel { inner, output }) as Box<dyn Morsel>
        });
        let mut result = MorselPlan::new().with_morsels(morsels.collect());
        let planners = plan.take_ready_planners().into_iter().map(|inner| {
            let (check, output) = (check.clone(), Arc::clone(&output));
            Box::new(CheckedPlanner { inner, check, output }) as Box<dyn MorselPlanner>
        });
        result = result.with_planners(planners.collect());
        if let Some(pending) = plan.take_pending_planner() {
            result.set_pending_planner(async move {
                if let Some(check) = check {
                    check.run().await?;
                }
                let inner = pending.await?;
                Ok(Box::new(CheckedPlanner { inner, check: None, output }) as Box<dyn MorselPlanner>)
            });
        }
        Ok(Some(result))
    }
}

/// Batches of the stock opener under the scan's own schema: the row number counts as nullable there, a row id does not.
#[derive(Debug)]
struct SchemaMorsel {
    inner: Box<dyn Morsel>,
    output: SchemaRef,
}

impl Morsel for SchemaMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let Self { inner, output } = *self;
        inner.into_stream().map(move |batch| with_schema(batch?, &output)).boxed()
    }
}

/// Inline rows need no I/O: one planner, one morsel.
#[derive(Debug)]
struct InlinePlanner(InlineMorsel);

impl MorselPlanner for InlinePlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        Ok(Some(MorselPlan::new().with_morsels(vec![Box::new(self.0)])))
    }
}

#[derive(Debug)]
struct InlineMorsel {
    set: Arc<SegmentSet>,
    segment: Arc<SegmentHandle>,
    rows: Arc<RecordBatch>,
    access: RowAccess,
    scan: InlineScan,
}

impl Morsel for InlineMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let batches = match self.scan.read(&self.set, &self.segment, &self.rows, &self.access) {
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(batches).boxed()
    }
}
