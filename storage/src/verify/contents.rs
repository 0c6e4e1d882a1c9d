//! Whether the files of one segment agree with each other and with the log.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{Float32Type, SchemaRef, UInt64Type};
use bytes::Bytes;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Finding;
use crate::ids::FieldId;
use crate::primary_key::{self, hash_columns};
use crate::schema::field_id;
use crate::segment::{Bound, ROW_GROUP_ROWS, ROW_ID_COLUMN, RowIds, Segment, Sidecar, SidecarKind};
use crate::segment_writer::column_stats;
use crate::store::FileBytes;
use crate::vectors;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 4096;

/// The bytes of a segment's sound files.
pub(super) struct SegmentBytes {
    pub(super) data_path: Path,
    pub(super) data: Option<Arc<dyn FileBytes>>,
    pub(super) sidecars: Vec<(Sidecar, Path, Arc<dyn FileBytes>)>,
}

/// Lets Parquet read mapped bytes without a copy.
struct Owner(Arc<dyn FileBytes>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn position(schema: &SchemaRef, field: FieldId) -> Option<usize> {
    schema.fields().iter().position(|f| field_id(f) == Some(field))
}

impl SegmentBytes {
    pub(super) fn new(data_path: Path) -> Self {
        Self { data_path, data: None, sidecars: Vec::new() }
    }

    /// Decodes everything and compares.
    pub(super) fn check(&self, segment: &Segment) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(data) = &self.data
            && let Err(fault) = self.check_data(Arc::clone(data), segment, &mut findings)
        {
            findings.push(Finding::new(&self.data_path, fault));
        }
        findings
    }

    fn check_data(
        &self,
        data: Arc<dyn FileBytes>,
        segment: &Segment,
        findings: &mut Vec<Finding>,
    ) -> Result<(), String> {
        let wrong = |e: &dyn std::fmt::Display| format!("it does not decode: {e}");
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(Bytes::from_owner(Owner(data))).map_err(|e| wrong(&e))?;
        let groups: Vec<i64> = builder.metadata().row_groups().iter().map(|g| g.num_rows()).collect();
        check_groups(&groups, segment.rows)?;
        let mut comparers = self.comparers(builder.schema(), findings);
        let mut row_ids = RowIdCheck::default();
        let mut before = 0;
        for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(|e| wrong(&e))? {
            let batch = batch.map_err(|e| wrong(&e))?;
            row_ids.check(&batch, segment.row_ids)?;
            check_stats(&batch, segment)?;
            comparers.retain_mut(|comparer| match comparer.compare(&batch, before) {
                Ok(()) => true,
                Err(fault) => {
                    findings.push(Finding::new(comparer.path, fault));
                    false
                }
            });
            before += batch.num_rows();
        }
        if before as u64 != segment.rows {
            return Err(format!("it has {before} rows where the log says {}", segment.rows));
        }
        for comparer in comparers {
            if let Err(fault) = comparer.finish(before) {
                findings.push(Finding::new(comparer.path, fault));
            }
        }
        Ok(())
    }

    /// One comparison for each sidecar that parses.
    fn comparers(&self, schema: &SchemaRef, findings: &mut Vec<Finding>) -> Vec<Comparer<'_>> {
        let mut comparers = Vec::new();
        for (sidecar, path, bytes) in &self.sidecars {
            let columns: Option<Vec<usize>> = sidecar.columns.iter().map(|c| position(schema, *c)).collect();
            let Some(columns) = columns else {
                findings.push(Finding::new(path, "it covers a column that the data does not have"));
                continue;
            };
            let subject = match sidecar.kind {
                SidecarKind::Vectors => vectors::View::parse(bytes.as_slice()).map(Subject::Vectors),
                SidecarKind::PrimaryKey => primary_key::View::parse(bytes.as_slice()).and_then(|view| {
                    view.check()?;
                    Ok(Subject::Keys(KeyCheck { expected: view.entries()?, found: Vec::new() }))
                }),
                SidecarKind::Index(_) => continue,
            };
            match subject {
                Ok(subject) => comparers.push(Comparer { path, columns, subject }),
                Err(error) => findings.push(Finding::from_error(path, &error)),
            }
        }
        comparers
    }
}

fn check_groups(groups: &[i64], rows: u64) -> Result<(), String> {
    let full = groups.len().saturating_sub(1);
    let odd = groups.iter().take(full).any(|rows| *rows != ROW_GROUP_ROWS as i64);
    let last_fits = groups.last().is_none_or(|rows| (1..=ROW_GROUP_ROWS as i64).contains(rows));
    let total: i64 = groups.iter().fold(0, |sum, rows| sum.saturating_add(*rows));
    if odd || !last_fits || total != rows as i64 {
        return Err(format!("its row groups {groups:?} are not {rows} rows in groups of {ROW_GROUP_ROWS}"));
    }
    Ok(())
}

#[derive(Default)]
struct RowIdCheck {
    last: Option<u64>,
}

impl RowIdCheck {
    fn check(&mut self, batch: &RecordBatch, row_ids: RowIds) -> Result<(), String> {
        let column = batch.column_by_name(ROW_ID_COLUMN).and_then(|c| c.as_primitive_opt::<UInt64Type>());
        match (row_ids, column) {
            (RowIds::Contiguous { .. }, _) => Ok(()),
            (RowIds::Column, None) => Err("it has no row id column".into()),
            (RowIds::Column, Some(ids)) => {
                let ascending = ids.null_count() == 0
                    && ids.values().iter().all(|id| self.last.replace(*id).is_none_or(|last| last < *id));
                if ascending { Ok(()) } else { Err("its row ids are not ascending".into()) }
            }
        }
    }
}

/// Bounds in the log must contain every value; otherwise pruning would lose rows.
fn check_stats(batch: &RecordBatch, segment: &Segment) -> Result<(), String> {
    let outside = |a: &Bound, b: &Bound, forbidden: Ordering| {
        make_comparator(a.as_ref(), b.as_ref(), SortOptions::default())
            .map_or(true, |compare| compare(0, 0) == forbidden)
    };
    for stats in &segment.stats {
        let Some(column) = position(&batch.schema(), stats.field) else { continue };
        if stats.min.is_none() && stats.max.is_none() {
            continue;
        }
        let seen = column_stats(stats.field, batch.column(column));
        let below =
            seen.min.as_ref().zip(stats.min.as_ref()).is_some_and(|(seen, min)| outside(seen, min, Ordering::Less));
        let above =
            seen.max.as_ref().zip(stats.max.as_ref()).is_some_and(|(seen, max)| outside(seen, max, Ordering::Greater));
        // A seen bound that was shortened is no value of its own.
        if seen.exact && (below || above) {
            let name = batch.schema().field(column).name().clone();
            return Err(format!("column \"{name}\" has values outside the bounds that the log states"));
        }
    }
    Ok(())
}

/// A sidecar being compared with the rows it stands beside.
struct Comparer<'a> {
    path: &'a Path,
    columns: Vec<usize>,
    subject: Subject<'a>,
}

enum Subject<'a> {
    Vectors(vectors::View<'a>),
    Keys(KeyCheck),
}

struct KeyCheck {
    expected: Vec<(u128, u32)>,
    found: Vec<(u128, u32)>,
}

impl Comparer<'_> {
    fn compare(&mut self, batch: &RecordBatch, before: usize) -> Result<(), String> {
        match &mut self.subject {
            Subject::Vectors(view) => match self.columns.as_slice() {
                [column] => compare_vectors(view, batch.column(*column).as_ref(), before),
                _ => Err("it covers more than one column".into()),
            },
            Subject::Keys(keys) => {
                let columns: Vec<_> = self.columns.iter().map(|c| ("key", batch.column(*c))).collect();
                let hashes = hash_columns(&columns).map_err(|e| e.to_string())?;
                keys.found.extend(hashes.into_iter().zip(before as u32..));
                Ok(())
            }
        }
    }

    fn finish(&self, rows: usize) -> Result<(), String> {
        match &self.subject {
            Subject::Vectors(view) if view.rows != rows => Err(format!("it has {} vectors for {rows} rows", view.rows)),
            Subject::Vectors(_) => Ok(()),
            Subject::Keys(keys) => {
                let mut found = keys.found.clone();
                found.sort_unstable();
                if found == keys.expected { Ok(()) } else { Err("its key hashes are not those of the rows".into()) }
            }
        }
    }
}

fn compare_vectors(view: &vectors::View<'_>, array: &dyn Array, before: usize) -> Result<(), String> {
    let Some(rows) = array.as_fixed_size_list_opt().filter(|a| a.value_length() as usize == view.dim) else {
        return Err("the data's column is not one of vectors of its dimension".into());
    };
    let Some(elements) = rows.values().as_primitive_opt::<Float32Type>() else {
        return Err("the data's column is not one of vectors".into());
    };
    for row in 0..rows.len() {
        let differs = || format!("row {} differs from the data's", before + row);
        if view.is_null(before + row) != rows.is_null(row) {
            return Err(differs());
        }
        if rows.is_null(row) {
            continue;
        }
        let start = rows.value_offset(row) as usize;
        let expected = &elements.values()[start..start + view.dim];
        let found = view.row(before + row).ok_or_else(differs)?;
        if !found.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()) {
            return Err(differs());
        }
    }
    Ok(())
}
