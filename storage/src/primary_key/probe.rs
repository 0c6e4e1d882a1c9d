//! Is one of these keys in one of these segments?

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::make_comparator;
use arrow::compute::SortOptions;
use object_store::path::Path;
use roaring::RoaringBitmap;

use super::hash::hash_rows;
use super::sidecar::View;
use crate::error::{Error, Result};
use crate::files::FileCache;
use crate::ids::FieldId;
use crate::schema::TableSchema;
use crate::segment::{Bound, ColumnStats, FileRef, Segment, SegmentData, SidecarKind};
use crate::store::FileBytes;

/// Below so many lookups a probe stays on the thread it is on.
const INLINE_LOOKUPS_MAX: usize = 2048;

fn is_live(deleted: &Option<Arc<RoaringBitmap>>, row: u32) -> bool {
    deleted.as_ref().is_none_or(|bitmap| !bitmap.contains(row))
}

/// The first of the hashes that a live row of the segments has; `None` when no row has any.
///
/// Each segment comes with its deletion vector. Inline segments are hashed on the spot, files answer from their
/// sidecar; a file segment without one is corrupt.
pub async fn probe(
    files: &FileCache,
    schema: &TableSchema,
    path: impl Fn(&FileRef) -> Path,
    segments: &[(Arc<Segment>, Option<Arc<RoaringBitmap>>)],
    hashes: &[u128],
) -> Result<Option<u128>> {
    if hashes.is_empty() || segments.is_empty() {
        return Ok(None);
    }
    let mut wanted = None;
    for (segment, deleted) in segments {
        let found = match &segment.data {
            SegmentData::Inline(rows) => {
                let present = hash_rows(schema, rows)?;
                let mut sorted: Vec<u128> =
                    present.iter().zip(0..).filter(|(_, row)| is_live(deleted, *row)).map(|(hash, _)| *hash).collect();
                sorted.sort_unstable();
                hashes.iter().copied().find(|hash| sorted.binary_search(hash).is_ok())
            }
            SegmentData::File(_) => {
                let sidecar = segment.sidecars.iter().find(|s| s.kind == SidecarKind::PrimaryKey);
                let file = &sidecar.ok_or_else(|| no_sidecar(segment))?.file;
                let at = path(file);
                let bytes = files.open(&at, file).await?;
                if hashes.len() <= INLINE_LOOKUPS_MAX {
                    find(&at, bytes.as_ref(), deleted, hashes)?
                } else {
                    let hashes: &Arc<[u128]> = wanted.get_or_insert_with(|| Arc::from(hashes));
                    let (hashes, deleted) = (Arc::clone(hashes), deleted.clone());
                    tokio::task::spawn_blocking(move || find(&at, bytes.as_ref(), &deleted, &hashes))
                        .await
                        .map_err(|e| Error::Internal { detail: format!("a key probe ended abnormally: {e}") })??
                }
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn no_sidecar(segment: &Segment) -> Error {
    Error::Corrupted {
        path: format!("segment {}", segment.id),
        detail: "it has no primary key sidecar although its table has a primary key".into(),
    }
}

fn find(
    path: &Path,
    bytes: &dyn FileBytes,
    deleted: &Option<Arc<RoaringBitmap>>,
    hashes: &[u128],
) -> Result<Option<u128>> {
    let named = |error| match error {
        Error::Corrupted { detail, .. } => Error::Corrupted { path: path.to_string(), detail },
        Error::NewerFormat { detail, .. } => Error::NewerFormat { path: path.to_string(), detail },
        other => other,
    };
    let view = View::parse(bytes.as_slice()).map_err(named)?;
    for hash in hashes {
        if view.rows(*hash).map_err(named)?.into_iter().any(|row| is_live(deleted, row)) {
            return Ok(Some(*hash));
        }
    }
    Ok(None)
}

fn bounds(stats: &[ColumnStats], column: FieldId) -> Option<(&Bound, &Bound)> {
    let stats = stats.iter().find(|s| s.field == column)?;
    Some((stats.min.as_ref()?, stats.max.as_ref()?))
}

/// Whether rows with these statistics can share a value of a column with a segment. Unknown bounds overlap everything.
pub fn ranges_overlap(column: FieldId, rows: &[ColumnStats], segment: &Segment) -> bool {
    let (Some((low, high)), Some((segment_low, segment_high))) = (bounds(rows, column), bounds(&segment.stats, column))
    else {
        return true;
    };
    let above = |a: &Bound, b: &Bound| {
        let comparator = make_comparator(a.as_ref(), b.as_ref(), SortOptions::default());
        comparator.is_ok_and(|compare| a.len() == 1 && b.len() == 1 && compare(0, 0) == Ordering::Greater)
    };
    !above(low, segment_high) && !above(segment_low, high)
}
