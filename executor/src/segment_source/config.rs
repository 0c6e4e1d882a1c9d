//! Building the `FileScanConfig` of a segment scan.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::config::{ConfigOptions, TableParquetOptions};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, internal_datafusion_err, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::physical_expr::Partitioning;
use volley_storage::segment::{ROW_GROUP_ROWS, SegmentData};

use super::SegmentSource;
use super::root::object_store_url;
use super::statistics::planning_statistics;
use crate::segment_set::{SegmentHandle, SegmentSet};

/// A segment, or some row groups of it, as one file of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPart {
    /// The segment.
    pub ordinal: u32,
    /// Rows to read, beginning and ending at row groups; `None` for all.
    pub rows: Option<Range<u32>>,
}

impl From<u32> for SegmentPart {
    fn from(ordinal: u32) -> Self {
        Self { ordinal, rows: None }
    }
}

/// The config of a scan over `groups`, one partition each. `projection` counts columns of [`SegmentSet::scan_schema`];
/// without one the table's own columns are read. Parquet options come from the session (`datafusion.execution.parquet`).
///
/// The output partitioning is always declared: without that DataFusion may split files by bytes and let partitions steal
/// each other's files, and in a distributed plan, where each task runs its own slice, stolen files are read twice.
pub fn scan_config(
    set: &Arc<SegmentSet>,
    groups: &[Vec<SegmentPart>],
    projection: Option<&[usize]>,
    limit: Option<usize>,
    options: &ConfigOptions,
) -> Result<FileScanConfig> {
    let mut parquet = TableParquetOptions::default();
    parquet.global = options.execution.parquet.clone();
    let source = Arc::new(SegmentSource::new(Arc::clone(set), parquet));
    let mut file_groups = Vec::with_capacity(groups.len());
    let mut all = Vec::with_capacity(groups.len());
    for group in groups {
        let files = group.iter().map(|part| file(set, part)).collect::<Result<Vec<_>>>()?;
        let statistics = merge(set, files.iter().filter_map(|file| file.statistics.as_deref()))?;
        all.push(statistics.clone());
        file_groups.push(FileGroup::new(files).with_statistics(Arc::new(statistics)));
    }
    // A plan without partitions is none: an empty table is one empty partition.
    if file_groups.is_empty() {
        file_groups.push(FileGroup::default());
    }
    let partitions = file_groups.len();
    let columns = (0..set.row_address_index()).collect::<Vec<_>>();
    let projection = projection.map_or(columns, <[usize]>::to_vec);
    if let Some(beyond) = projection.iter().find(|&&index| index >= set.scan_schema().fields().len()) {
        return Err(internal_datafusion_err!("a segment scan has no column {beyond}"));
    }
    let config = FileScanConfigBuilder::new(object_store_url()?, source)
        .with_file_groups(file_groups)
        .with_statistics(merge(set, all.iter())?)
        .with_projection_indices(Some(projection))?
        .with_limit(limit)
        .with_output_partitioning(Some(Partitioning::UnknownPartitioning(partitions)))
        .build();
    Ok(config)
}

/// The same config with statistics made again from the segments, where they were left behind.
pub(crate) fn with_statistics(config: FileScanConfig, set: &SegmentSet) -> Result<FileScanConfig> {
    let mut all = Vec::with_capacity(config.file_groups.len());
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let files = group.iter().map(|before| {
            let part = part(set, before)?;
            Ok(PartitionedFile { statistics: file(set, &part)?.statistics, ..before.clone() })
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        let statistics = merge(set, files.iter().filter_map(|file| file.statistics.as_deref()))?;
        all.push(statistics.clone());
        groups.push(FileGroup::new(files).with_statistics(Arc::new(statistics)));
    }
    let statistics = merge(set, all.iter())?;
    Ok(FileScanConfigBuilder::from(config).with_file_groups(groups).with_statistics(statistics).build())
}

/// The parts of segments that one partition of a segment scan reads; `None` when the config scans something else.
pub fn parts_of(config: &FileScanConfig, partition: usize) -> Option<Result<Vec<SegmentPart>>> {
    let source = config.file_source().downcast_ref::<SegmentSource>()?;
    let group = config.file_groups.get(partition)?;
    Some(group.iter().map(|file| part(source.segments(), file)).collect())
}

/// The part of a segment that a file of a scan stands for. The file may come from anywhere.
pub(super) fn part(set: &SegmentSet, file: &PartitionedFile) -> Result<SegmentPart> {
    let segment = set.by_path(&file.object_meta.location)?;
    let rows = match &file.range {
        None => None,
        Some(range) => match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) if start <= end && u64::from(end) <= segment.segment.rows => Some(start..end),
            _ => return internal_err!("{} has no rows {}..{}", segment.path, range.start, range.end),
        },
    };
    Ok(SegmentPart { ordinal: segment.ordinal, rows })
}

/// Divides segments among at most `partitions` groups of about the same number of rows. A segment is cut at row groups
/// where one partition's share ends, so that a table of one segment is still read by all cores.
pub fn even_parts(
    set: &SegmentSet,
    ordinals: impl IntoIterator<Item = u32>,
    partitions: usize,
) -> Result<Vec<Vec<SegmentPart>>> {
    let mut pieces = Vec::new();
    for ordinal in ordinals {
        let segment = set.get(ordinal)?;
        let rows = segment.segment.rows as u32;
        // Inline rows are one piece however many they are.
        let step = match segment.segment.data {
            SegmentData::File(_) => ROW_GROUP_ROWS as u32,
            SegmentData::Inline(_) => rows.max(1),
        };
        let starts = (0..rows).step_by(step as usize);
        pieces.extend(starts.map(|start| (ordinal, start..rows.min(start.saturating_add(step)), rows)));
    }
    let total = pieces.iter().map(|(_, piece, _)| u64::from(piece.end - piece.start)).sum::<u64>();
    let mut groups = Vec::<Vec<SegmentPart>>::new();
    let mut done = 0;
    for (ordinal, piece, rows) in pieces {
        // The group in which the middle of this piece lies.
        let middle = done + u64::from(piece.end - piece.start) / 2;
        done += u64::from(piece.end - piece.start);
        let group = (u128::from(middle) * partitions as u128 / u128::from(total.max(1))) as usize;
        if groups.is_empty() || groups.len() < group + 1 && groups.len() < partitions {
            groups.push(Vec::new());
        }
        let Some(group) = groups.last_mut() else { continue };
        match group.last_mut() {
            Some(SegmentPart { ordinal: last, rows: Some(range) }) if *last == ordinal => range.end = piece.end,
            _ => group.push(SegmentPart { ordinal, rows: Some(piece.clone()) }),
        }
        if let Some(part) = group.last_mut().filter(|part| part.rows == Some(0..rows)) {
            part.rows = None;
        }
    }
    Ok(groups)
}

/// The file of a scan that stands for a part of a segment.
pub(super) fn file(set: &SegmentSet, part: &SegmentPart) -> Result<PartitionedFile> {
    let segment = set.get(part.ordinal)?;
    let mut file = PartitionedFile::new("", size(segment));
    file.object_meta.location = segment.path.clone();
    file.statistics = Some(Arc::new(planning_statistics(set, segment, part.rows.as_ref())));
    Ok(match &part.rows {
        Some(rows) => file.with_range(i64::from(rows.start), i64::from(rows.end)),
        None => file,
    })
}

fn size(segment: &SegmentHandle) -> u64 {
    match &segment.segment.data {
        SegmentData::File(file) => file.length,
        SegmentData::Inline(rows) => rows.get_array_memory_size() as u64,
    }
}

fn merge<'a>(set: &SegmentSet, statistics: impl Iterator<Item = &'a Statistics>) -> Result<Statistics> {
    let mut statistics = statistics.peekable();
    if statistics.peek().is_none() {
        return Ok(Statistics::new_unknown(set.scan_schema()).with_num_rows(Precision::Exact(0)));
    }
    Statistics::try_merge_iter(statistics, set.scan_schema())
}
