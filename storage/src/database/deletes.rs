//! Deletion vectors, decoded once per file.

use super::file_path;
use crate::deletion;
use crate::error::Result;
use crate::files::FileCache;
use crate::ids::TableId;
use crate::segment::{Deletes, Segment};
use object_store::path::Path;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;

/// Decoded files kept; beyond it the cache starts anew, since every one of them is cheap to read again.
const KEPT_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct DeletesCache {
    files: Mutex<HashMap<Path, Arc<RoaringBitmap>>>,
}

impl DeletesCache {
    /// The deleted offsets of a segment; `None` when nothing is deleted.
    pub(super) async fn get(
        &self,
        files: &FileCache,
        table: TableId,
        segment: &Segment,
    ) -> Result<Option<Arc<RoaringBitmap>>> {
        let file = match &segment.deletes {
            Deletes::None => return Ok(None),
            Deletes::Inline(bitmap) => return Ok(Some(bitmap.clone())),
            Deletes::File { file, .. } => file,
        };
        let path = file_path(table, file);
        if let Some(known) = self.files.lock().get(&path) {
            return Ok(Some(known.clone()));
        }
        let bytes = files.open(&path, file).await?;
        let bitmap = Arc::new(deletion::decode(path.as_ref(), bytes.as_slice())?);
        let mut kept = self.files.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(path, bitmap.clone());
        Ok(Some(bitmap))
    }
}
