//! Which rows of a segment a scan reads.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use parquet::arrow::arrow_reader::RowSelection;
use roaring::RoaringBitmap;
use volley_storage::segment::ROW_GROUP_ROWS;

use super::config::part;
use crate::error::Error;
use crate::segment_set::{SegmentHandle, SegmentSet};

/// Extension of a `PartitionedFile`: read only these offsets. It lives within one process, for row fetches.
#[derive(Debug, Clone)]
pub(super) struct WantedRows(pub(super) Arc<RoaringBitmap>);

/// The rows that one file of a scan stands for: those of a part of a segment that are wanted and not deleted.
#[derive(Debug, Clone)]
pub(super) struct RowAccess {
    part: Range<u32>,
    deletes: Option<Arc<RoaringBitmap>>,
    wanted: Option<Arc<RoaringBitmap>>,
    rows: u32,
}

impl RowAccess {
    /// The rows of `segment` that `file` asks for.
    pub(super) fn new(set: &SegmentSet, segment: &SegmentHandle, file: &PartitionedFile) -> Result<Self> {
        let rows = u32::try_from(segment.segment.rows).map_err(|_| Error::Internal {
            detail: format!("{} has {} rows, more than a segment can", segment.path, segment.segment.rows),
        })?;
        let part = part(set, file)?.rows.unwrap_or(0..rows);
        let wanted = file.extension::<WantedRows>().map(|wanted| Arc::clone(&wanted.0));
        Ok(Self { part, deletes: segment.deletes.clone(), wanted, rows })
    }

    /// The rows to read as ascending runs of offsets within `within`.
    fn runs(&self, within: Range<u32>) -> Vec<Range<usize>> {
        let within = within.start.max(self.part.start)..within.end.min(self.part.end);
        if within.is_empty() {
            return Vec::new();
        }
        let deleted = |offset: u32| self.deletes.as_ref().is_some_and(|d| d.contains(offset));
        let mut runs = Vec::new();
        match (&self.wanted, &self.deletes) {
            (Some(wanted), _) => {
                for offset in wanted.range(within).filter(|&offset| !deleted(offset)) {
                    push(&mut runs, offset..offset + 1);
                }
            }
            (None, None) => push(&mut runs, within),
            (None, Some(deletes)) => {
                let mut next = within.start;
                for offset in deletes.range(within.clone()) {
                    push(&mut runs, next..offset);
                    next = offset + 1;
                }
                push(&mut runs, next..within.end);
            }
        }
        runs
    }

    /// The offsets to read, ascending.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u32> + use<> {
        self.runs(0..self.rows).into_iter().flat_map(|run| run.start as u32..run.end as u32)
    }

    /// Whether every row of the segment is read.
    pub(super) fn is_whole(&self) -> bool {
        self.part == (0..self.rows) && self.deletes.is_none() && self.wanted.is_none()
    }

    /// The rows to read of each row group, for the stock Parquet opener.
    pub(super) fn plan(&self) -> ParquetAccessPlan {
        let row_groups = (0..self.rows).step_by(ROW_GROUP_ROWS).map(|start| {
            let end = self.rows.min(start.saturating_add(ROW_GROUP_ROWS as u32));
            let (first, len) = (start as usize, (end - start) as usize);
            let mut runs = self.runs(start..end);
            for run in &mut runs {
                *run = run.start - first..run.end - first;
            }
            match runs.as_slice() {
                [] => RowGroupAccess::Skip,
                [all] if *all == (0..len) => RowGroupAccess::Scan,
                _ => RowGroupAccess::Selection(RowSelection::from_consecutive_ranges(runs.into_iter(), len)),
            }
        });
        ParquetAccessPlan::new(row_groups.collect())
    }
}

/// Appends a run, joined to the one before where they touch.
fn push(runs: &mut Vec<Range<usize>>, run: Range<u32>) {
    let run = run.start as usize..run.end as usize;
    match runs.last_mut() {
        _ if run.is_empty() => {}
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}
