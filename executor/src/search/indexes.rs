//! The indexes of segments, opened: their bytes, validated once, and what calibration knows of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::execution::cache::lru_queue::LruQueue;
use parking_lot::Mutex;
use volley_index::Matrix;
use volley_index::calibration::Calibration;
use volley_index::cost::{self, Choice};
use volley_index::hnsw::{HnswView, Validated};
use volley_storage::ErrorKind;
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::Segment;
use volley_storage::store::FileBytes;

use crate::error::{Error, Result};
use crate::maintenance::open_index;
use crate::segment_set::SegmentSet;

/// Indexes that are kept open. An open one is a mapping and a few hundred bytes; the kernel allows a process 65,530
/// mappings.
const KEPT_MAX: usize = 4096;
/// How long a damaged file is not looked at again: finding the damage takes reading all of it.
const DAMAGED_FOR: Duration = Duration::from_secs(60);

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct SegmentIndex {
    bytes: Arc<dyn FileBytes>,
    facts: Validated,
    calibration: Calibration,
    /// Whether it has been searched, so that it is likely to be in memory.
    was_walked: AtomicBool,
    /// The search that came last, and the way that was chosen for it: most are alike.
    chosen: Mutex<Option<(cost::Search, Choice)>>,
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
    ) -> Result<Option<Arc<Self>>> {
        let opened = open_index(set.storage(), set.table(), segment, definition).await?;
        Ok(opened.map(|(bytes, facts, calibration)| {
            let (was_walked, chosen) = (AtomicBool::new(false), Mutex::new(None));
            Arc::new(Self { bytes, facts, calibration, was_walked, chosen })
        }))
    }

    /// The graph over its rows, to be searched.
    pub(crate) fn view<'a>(&'a self, rows: Matrix<'a>) -> Result<HnswView<'a>> {
        HnswView::new(self.bytes.as_slice(), &self.facts, rows)
            .map_err(|error| Error::Internal { detail: format!("an index changed while it was open: {error}") })
    }

    /// Whether it was searched before; it is from now on.
    pub(crate) fn is_warm(&self) -> bool {
        self.was_walked.swap(true, Ordering::Relaxed)
    }

    /// What the graph is.
    pub(crate) fn facts(&self) -> &Validated {
        &self.facts
    }

    /// How to search it: see [`cost::choose`].
    pub(crate) fn choose(&self, search: cost::Search) -> Choice {
        let mut chosen = self.chosen.lock();
        match *chosen {
            Some((known, choice)) if known == search => choice,
            _ => chosen.insert((search, cost::choose(&self.calibration, &search))).1,
        }
    }
}

/// Indexes that were opened, and those that could not be. Clones share them.
#[derive(Clone)]
pub(super) struct OpenIndexes(Arc<Mutex<LruQueue<Key, Kept>>>);

impl Default for OpenIndexes {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruQueue::new())))
    }
}

/// The contents of the index file and of its calibration.
type Key = ([u8; 32], [u8; 32]);

/// What became of opening an index.
#[derive(Clone)]
enum Kept {
    Open(Arc<SegmentIndex>),
    /// Its file, and what is wrong with it.
    Damaged {
        path: String,
        detail: String,
        since: Instant,
    },
}

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
        match self.0.lock().get(&key).cloned() {
            Some(Kept::Open(open)) => return Ok(Some(open)),
            Some(Kept::Damaged { path, detail, since }) if since.elapsed() < DAMAGED_FOR => {
                return Err(Error::UnusableIndex { path, detail });
            }
            _ => {}
        }
        let opened = SegmentIndex::open(set, segment, definition).await;
        let kept = match &opened {
            Ok(None) => return Ok(None),
            Ok(Some(open)) => Kept::Open(Arc::clone(open)),
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                tracing::warn!(%error, segment = %segment.id, "a segment is searched exactly");
                let detail = error.to_string();
                Kept::Damaged { path: index.file.path.clone(), detail, since: Instant::now() }
            }
            Err(_) => return opened,
        };
        let mut all = self.0.lock();
        all.put(key, kept);
        while all.len() > KEPT_MAX {
            all.pop();
        }
        opened
    }
}

impl fmt::Debug for OpenIndexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenIndexes").field(&self.0.lock().len()).finish()
    }
}
