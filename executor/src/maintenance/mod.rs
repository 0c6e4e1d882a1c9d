//! Jobs on segments that no query waits for: building an index, and measuring how well it answers.
//!
//! A job reads one segment of a pinned version and writes sidecars beside it. It commits nothing: whoever scheduled it
//! attaches them, in a commit of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use roaring::RoaringBitmap;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
pub use volley_index::calibration::Source;
use volley_index::calibration::{Calibration, MeasureRequest, measure};
use volley_index::hnsw::{self, BuildError, BuildRequest, HnswParams, HnswView, Validated, validate};
use volley_index::{Matrix, Metric, RowSet, cost};
use volley_storage::ids::{FieldId, TableId};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::{FileRef, Segment, Sidecar, SidecarKind};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::{FileBytes, TableStore};
use volley_storage::vectors::View;

use crate::error::{Error, Result};

/// Versions of the formats that are written, as commits name them; the files say so themselves as well.
const INDEX_FORMAT_VERSION: u16 = 1;
const CALIBRATION_FORMAT_VERSION: u16 = 2;

/// Hears how many rows of the segment are done.
pub type RowsDone = Arc<dyn Fn(u64) + Send + Sync>;

/// What to do with one segment.
#[derive(Clone)]
pub struct IndexJob {
    /// Where the segment is.
    pub store: Arc<dyn TableStore>,
    /// The version it is read at.
    pub snapshot: Arc<Snapshot>,
    /// The segment; its rows are in a file.
    pub segment: Arc<Segment>,
    /// The index.
    pub definition: IndexDefinition,
    /// Threads to compute on.
    pub threads: usize,
    /// Hears of progress.
    pub progress: RowsDone,
    /// Stops the job; nothing is attached then.
    pub cancel: CancellationToken,
}

impl fmt::Debug for IndexJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexJob").field("segment", &self.segment.id).field("definition", &self.definition).finish()
    }
}

/// What is known about the index of one segment.
#[derive(Debug, Clone)]
pub struct IndexFacts {
    /// Rows in the index: those whose vector can be compared.
    pub rows: u64,
    /// Bytes of its file that are in memory now.
    pub resident: u64,
    /// What was measured of it.
    pub calibration: Calibration,
}

impl IndexFacts {
    /// The recall to expect of the k nearest rows of the segment, by a beam of width `ef` or what the target takes. Where
    /// the index cannot reach the target the search is exact.
    pub fn expected_recall(&self, k: usize, target: f32, ef: Option<usize>) -> f32 {
        if target >= 1.0 {
            return 1.0;
        }
        let (nodes, preference) = (self.rows, cost::Preference::Cheapest);
        let (share, parts, hardness) = (1.0, 1, 1.0);
        let search =
            cost::Search { nodes, allowed: nodes, k, asked: k, share, parts, target, ef, preference, hardness };
        cost::expected_recall(&self.calibration, &search).unwrap_or(1.0)
    }
}

/// Bytes of memory that building the index of a segment takes at most, roughly: the graph under construction, its links
/// and codes as they are written, and what is searched for while it is measured.
pub fn build_memory(segment: &Segment, dimension: usize, definition: &IndexDefinition) -> u64 {
    let m = definition.parameter("m").and_then(|m| m.parse::<u64>().ok()).unwrap_or(16);
    // The builder holds vectors of up to four bytes an element beside its links; the file has them once more.
    segment.rows * (8 * dimension as u64 + 24 * m + 128)
}

/// Builds the index of a segment and measures it; the sidecars to attach.
///
/// # Errors
/// [`Error::Cancelled`]; whatever storage refuses, the disk being full among it.
pub async fn build_index(job: IndexJob) -> Result<Vec<Sidecar>> {
    let vectors = Vectors::open(&job).await?;
    let (building, cancel) = (job.clone(), job.cancel.clone());
    let (index, calibration) = on_blocking_thread(move || build(&building, &vectors, &cancel)).await?;
    let index = put(&job, job.definition.kind(), INDEX_FORMAT_VERSION, "hnsw", index).await?;
    let measured = calibration.to_bytes();
    let calibration = put(&job, job.definition.calibration_kind(), CALIBRATION_FORMAT_VERSION, "cal", measured).await?;
    Ok(vec![index, calibration])
}

/// Measures the index of a segment again; the sidecar that takes the old measurement's place, and what had been searched
/// for to make that.
///
/// `queries` are vectors as they will be searched for, Q × dimension, row after row; without them rows of the segment are
/// used.
///
/// # Errors
/// As [`build_index`]; an index that cannot be opened.
pub async fn calibrate_index(job: IndexJob, queries: Option<Arc<[f32]>>) -> Result<(Sidecar, Source)> {
    let vectors = Vectors::open(&job).await?;
    let opened = open_index(&job.store, job.snapshot.table, &job.segment, &job.definition).await?;
    let Some((bytes, facts, before)) = opened else {
        let detail = format!("segment {} has no index to measure", job.segment.id);
        return Err(Error::Internal { detail });
    };
    let (measuring, cancel) = (job.clone(), job.cancel.clone());
    let source = before.source;
    let calibration = on_blocking_thread(move || {
        let present = vectors.present(facts.metric())?;
        let view = view(bytes.as_slice(), &facts, &vectors)?;
        let queries = queries.as_deref().map(|values| matrix(values, vectors.dim)).transpose()?;
        measured(&measuring, &present, view, queries, before.build_ms, &cancel)
    })
    .await?;
    let kind = job.definition.calibration_kind();
    Ok((put(&job, kind, CALIBRATION_FORMAT_VERSION, "cal", calibration.to_bytes()).await?, source))
}

/// What is known about a segment's index; `None` where it has none.
///
/// # Errors
/// A file that is missing or damaged.
pub async fn index_facts(
    store: &Arc<dyn TableStore>,
    snapshot: &Snapshot,
    segment: &Segment,
    definition: &IndexDefinition,
) -> Result<Option<IndexFacts>> {
    let opened = open_index(store, snapshot.table, segment, definition).await?;
    Ok(opened.map(|(bytes, facts, calibration)| IndexFacts {
        rows: facts.indexed() as u64,
        resident: bytes.resident(),
        calibration,
    }))
}

/// The index of a segment as it lies in the store: its bytes, validated, and its calibration.
///
/// # Errors
/// A file that is missing, damaged, or the index of something else.
pub(crate) async fn open_index(
    store: &Arc<dyn TableStore>,
    table: TableId,
    segment: &Segment,
    definition: &IndexDefinition,
) -> Result<Option<(Arc<dyn FileBytes>, Validated, Calibration)>> {
    let (Some(index), Some(measured)) = (definition.index_of(segment), definition.calibration_of(segment)) else {
        return Ok(None);
    };
    let refuse = |file: &FileRef, detail: String| Error::UnusableIndex { path: file.path.clone(), detail };
    let bytes = store.open(table, &index.file).await?;
    let facts = validate(bytes.as_slice()).map_err(|error| refuse(&index.file, error.to_string()))?;
    if facts.rows() as u64 != segment.rows || Some(facts.metric().name()) != definition.parameter("metric") {
        let detail = format!("it is an index of {} rows by {}", facts.rows(), facts.metric());
        return Err(refuse(&index.file, detail));
    }
    let calibration = store.open(table, &measured.file).await?;
    let calibration =
        Calibration::from_bytes(calibration.as_slice()).map_err(|error| refuse(&measured.file, error.to_string()))?;
    Ok(Some((bytes, facts, calibration)))
}

fn build(job: &IndexJob, vectors: &Vectors, cancel: &CancellationToken) -> Result<(Vec<u8>, Calibration)> {
    let params = params(&job.definition)?;
    let present = vectors.present(params.metric)?;
    let rows = vectors.matrix()?;
    let begun = Instant::now();
    let done = AtomicU64::new(0);
    let progress = |rows: u64| (job.progress)(done.fetch_add(rows, Ordering::Relaxed) + rows);
    let stop = || cancel.is_cancelled();
    let threads = job.threads.max(1);
    let request = BuildRequest { rows, present: &present, params, threads, progress: &progress, cancel: &stop };
    let bytes = hnsw::build(&request).map_err(|error| match error {
        BuildError::Cancelled => Error::Cancelled,
        BuildError::OutOfMemory { bytes } => Error::BuildMemory { bytes },
        other => internal(&other.to_string()),
    })?;
    let build_ms = begun.elapsed().as_millis() as u64;
    let facts = validate(&bytes).map_err(|error| internal(&format!("an index was built wrong: {error}")))?;
    let view = view(&bytes, &facts, vectors)?;
    let calibration = measured(job, &present, view, None, build_ms, cancel)?;
    Ok((bytes, calibration))
}

fn measured(
    job: &IndexJob,
    present: &RowSet,
    view: HnswView<'_>,
    queries: Option<Matrix<'_>>,
    build_ms: u64,
    cancel: &CancellationToken,
) -> Result<Calibration> {
    let request = MeasureRequest {
        view,
        present,
        queries,
        threads: job.threads.max(1),
        build_ms,
        cancel: &|| cancel.is_cancelled(),
    };
    measure(&request).ok_or(Error::Cancelled)
}

fn view<'a>(bytes: &'a [u8], facts: &'a Validated, vectors: &'a Vectors) -> Result<HnswView<'a>> {
    HnswView::new(bytes, facts, vectors.matrix()?).map_err(|error| internal(&error.to_string()))
}

/// The parameters of an index as its definition has them.
fn params(definition: &IndexDefinition) -> Result<HnswParams> {
    fn read<T: FromStr>(definition: &IndexDefinition, name: &str) -> Result<T> {
        let value = definition.parameter(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| internal(&format!("an index has no usable {name}")))
    }
    Ok(HnswParams {
        metric: read(definition, "metric")?,
        m: read(definition, "m")?,
        ef_construction: read(definition, "ef_construction")?,
        quantizer: read(definition, "quantizer")?,
    })
}

/// The raw vectors of a segment's column.
struct Vectors {
    bytes: Arc<dyn FileBytes>,
    dim: usize,
    deletes: Option<Arc<RoaringBitmap>>,
}

impl Vectors {
    async fn open(job: &IndexJob) -> Result<Self> {
        let column = job.definition.columns.first().copied().unwrap_or(FieldId(-1));
        let Some(sidecar) = job.segment.vectors(column) else {
            return Err(internal(&format!("segment {} has no vectors of column {column}", job.segment.id)));
        };
        let table = job.snapshot.table;
        let bytes = job.store.open(table, &sidecar.file).await?;
        let deletes = job.store.deletes(table, &job.segment).await?;
        let dim = View::parse(bytes.as_slice())?.dim;
        Ok(Self { bytes, dim, deletes })
    }

    fn matrix(&self) -> Result<Matrix<'_>> {
        matrix(View::parse(self.bytes.as_slice())?.data, self.dim)
    }

    /// The rows that can be near others: not deleted, not NULL and, under cosine, not zero.
    fn present(&self, metric: Metric) -> Result<RowSet> {
        let view = View::parse(self.bytes.as_slice())?;
        let rows = self.matrix()?;
        let mut present = RowSet::new_full(rows.rows());
        self.deletes.iter().flat_map(|deletes| deletes.iter()).for_each(|row| present.remove(row as usize));
        if view.null_count > 0 {
            (0..rows.rows()).filter(|row| view.is_null(*row)).for_each(|row| present.remove(row));
        }
        if metric == Metric::Cosine {
            let is_zero = |row: &usize| rows.row(*row).iter().all(|x| *x == 0.0);
            (0..rows.rows()).filter(is_zero).for_each(|row| present.remove(row));
        }
        Ok(present)
    }
}

fn matrix(values: &[f32], dim: usize) -> Result<Matrix<'_>> {
    Matrix::new(values, dim).map_err(|error| internal(&error.to_string()))
}

async fn put(job: &IndexJob, kind: SidecarKind, format_version: u16, ending: &str, bytes: Vec<u8>) -> Result<Sidecar> {
    if job.cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    // Every build has a name of its own: files are never written twice.
    let name = format!("{}.{ending}", Ulid::generate());
    let file = job.store.put_sidecar(job.snapshot.table, job.segment.id, &name, bytes.into()).await?;
    let IndexDefinition { columns, parameters, .. } = job.definition.clone();
    Ok(Sidecar { kind, columns, parameters, format_version, file })
}

async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| internal(&format!("a build thread died: {error}")))?
}

fn internal(detail: &str) -> Error {
    Error::Internal { detail: detail.to_owned() }
}
