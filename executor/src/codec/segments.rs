//! Segment sets as bytes.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use volley_storage::ids::{RowId, TableId, Version};
use volley_storage::segment::{Deletes, Segment};
use volley_storage::snapshot::{Snapshot, TableProperties};

use super::malformed;
use super::messages::Segments;
use crate::error::Error;
use crate::segment_set::{SegmentHandle, SegmentSet, StorageHandle};

/// The segments of a set for which `keep` says yes. Deletion vectors travel inside, so that decoding reads no files.
pub(super) fn encode(set: &SegmentSet, keep: impl Fn(&SegmentHandle) -> bool) -> Result<Segments> {
    let kept = set.iter().filter(|handle| keep(handle)).collect::<Vec<_>>();
    let segments = kept.iter().map(|handle| {
        let deletes = match &handle.deletes {
            Some(deletes) => Deletes::Inline(Arc::clone(deletes)),
            None => Deletes::None,
        };
        Arc::new(Segment { deletes, ..Segment::clone(&handle.segment) })
    });
    let snapshot = Snapshot {
        table: set.table(),
        version: set.version(),
        commit_ts_ms: 0,
        schema: Arc::clone(set.schema()),
        properties: TableProperties::default(),
        segments: segments.collect(),
        next_row_id: RowId::default(),
    };
    Ok(Segments {
        table: set.table().to_string(),
        version: set.version().0,
        snapshot: snapshot.to_bytes().map_err(Error::from)?,
        ordinals: kept.iter().map(|handle| handle.ordinal).collect(),
    })
}

/// The set again, read through the storage of this process.
pub(super) fn decode(message: &Segments, task: &TaskContext) -> Result<Arc<SegmentSet>> {
    let table = message.table.parse::<TableId>().map_err(|error| malformed(format!("its table: {error}")))?;
    let version = Version(message.version);
    let snapshot = Bytes::copy_from_slice(&message.snapshot);
    let snapshot = Snapshot::from_bytes(table, version, 0, snapshot).map_err(Error::from)?;
    if snapshot.segments.len() != message.ordinals.len() {
        return Err(malformed("each segment needs an ordinal").into());
    }
    let segments = snapshot.segments.into_iter().zip(&message.ordinals).map(|(segment, &ordinal)| {
        let deletes = match &segment.deletes {
            Deletes::None => None,
            Deletes::Inline(deletes) => Some(Arc::clone(deletes)),
            Deletes::File { .. } => return Err(malformed("deletion vectors travel inside a plan")),
        };
        Ok((ordinal, segment, deletes))
    });
    let segments = segments.collect::<Result<Vec<_>, Error>>()?;
    let storage = StorageHandle::clone(StorageHandle::of(task.session_config())?.as_ref());
    let runtime = task.runtime_env();
    Ok(SegmentSet::new(storage, &runtime, (table, version), snapshot.schema, segments)?)
}
