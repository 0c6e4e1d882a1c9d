//! The indexes of segments, opened: their bytes, validated once, and what calibration knows of them.

use std::fmt;
use std::sync::Arc;

use datafusion::execution::cache::lru_queue::LruQueue;
use parking_lot::Mutex;
use volley_index::Matrix;
use volley_index::calibration::Calibration;
use volley_index::hnsw::{HnswView, Validated};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::Segment;
use volley_storage::store::FileBytes;

use crate::error::{Error, Result};
use crate::maintenance::open_index;
use crate::segment_set::SegmentSet;

/// Indexes that are kept open. An open one is a mapping and a few hundred bytes; the kernel allows a process 65,530
/// mappings.
const KEPT_MAX: usize = 4096;

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    bytes: Arc<dyn FileBytes>,
    facts: Validated,
    calibration: Calibration,
}

impl SegmentIndex {
    /// Opens the index of a segment; `None` where it has none yet. A file's checksum is verified by storage, its structure
    /// here, each once.
    ///
    /// # Errors
    /// A file that is missing, damaged, or the index of something else.
    pub(crate) async fn open(
        set: &SegmentSet,
        segment: &Segment,
        definition: &IndexDefinition,
    ) -> Result<Option<Self>> {
        let opened = open_index(set.storage(), set.table(), segment, definition).await?;
        Ok(opened.map(|(bytes, facts, calibration)| Self { bytes, facts, calibration }))
    }

    /// The graph over its rows, to be searched.
    pub(crate) fn view<'a>(&'a self, rows: Matrix<'a>) -> Result<HnswView<'a>> {
        HnswView::new(self.bytes.as_slice(), &self.facts, rows)
            .map_err(|error| Error::Internal { detail: format!("an index changed while it was open: {error}") })
    }

    /// What the graph is.
    pub(crate) fn facts(&self) -> &Validated {
        &self.facts
    }

    /// How well it answers.
    pub(crate) fn calibration(&self) -> &Calibration {
        &self.calibration
    }
}

/// Indexes that were opened. Clones share them.
#[derive(Clone)]
pub(super) struct OpenIndexes(Arc<Mutex<LruQueue<Key, Arc<SegmentIndex>>>>);

impl Default for OpenIndexes {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruQueue::new())))
    }
}

/// The contents of the index file and of its calibration.
type Key = ([u8; 32], [u8; 32]);

impl OpenIndexes {
    /// The index of a segment; `None` where it has none yet. See [`SegmentIndex::open`].
    pub(super) async fn of(
        &self,
        set: &SegmentSet,
        segment: &Segment,
        definition: &IndexDefinition,
    ) -> Result<Option<Arc<SegmentIndex>>> {
        let (Some(index), Some(calibration)) = (definition.index_of(segment), definition.calibration_of(segment))
        else {
            return Ok(None);
        };
        let key = (index.file.blake3, calibration.file.blake3);
        if let Some(open) = self.0.lock().get(&key) {
            return Ok(Some(Arc::clone(open)));
        }
        let Some(opened) = SegmentIndex::open(set, segment, definition).await? else { return Ok(None) };
        let opened = Arc::new(opened);
        let mut kept = self.0.lock();
        kept.put(key, Arc::clone(&opened));
        while kept.len() > KEPT_MAX {
            kept.pop();
        }
        Ok(Some(opened))
    }
}

impl fmt::Debug for OpenIndexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenIndexes").field(&self.0.lock().len()).finish()
    }
}
