//! The commits of indexing: sidecars attached to segments and detached from them.

use std::collections::HashSet;
use std::sync::Arc;

use volley_storage::ErrorKind;
use volley_storage::ids::{SegmentId, TableId};
use volley_storage::index_definition::IndexDefinition;
use volley_storage::segment::{FileRef, Sidecar, SidecarKind};
use volley_storage::snapshot::Snapshot;
use volley_storage::store::{Consistency, Transaction};

use super::{Indexer, Work};
use crate::error::Result;
use crate::statements::transaction;

/// How often a commit that lost against other writers is tried again.
const CONFLICT_TRIES: usize = 16;

impl Indexer {
    /// Puts the sidecars of an index that a segment lacks beside it. Where another process has built it meanwhile, that one
    /// stays. `false` when the segment is gone: it was rewritten or emptied.
    pub(super) async fn add_sidecars(&self, work: &Work, segment: SegmentId, sidecars: Vec<Sidecar>) -> Result<bool> {
        let kinds = [work.definition.kind(), work.definition.calibration_kind()];
        self.put_sidecars(work, segment, sidecars, &kinds, true).await
    }

    /// Puts sidecars beside a segment in place of those of the same index and these kinds. `false` when the segment is
    /// gone: it was rewritten or emptied.
    pub(super) async fn replace_sidecars(
        &self,
        work: &Work,
        segment: SegmentId,
        sidecars: Vec<Sidecar>,
        kinds: &[SidecarKind],
    ) -> Result<bool> {
        self.put_sidecars(work, segment, sidecars, kinds, false).await
    }

    async fn put_sidecars(
        &self,
        work: &Work,
        segment: SegmentId,
        sidecars: Vec<Sidecar>,
        kinds: &[SidecarKind],
        only_where_missing: bool,
    ) -> Result<bool> {
        let mut tries = 0;
        loop {
            tries += 1;
            let base = self.store.snapshot(work.table, Consistency::Strong).await?;
            let Some(live) = base.segments.iter().find(|live| live.id == segment) else { return Ok(false) };
            if only_where_missing && work.definition.index_of(live).is_some() {
                return Ok(true);
            }
            let old = live.sidecars.iter().filter(|old| kinds.contains(&old.kind) && work.definition.owns(old));
            let detach: Vec<_> = old.map(|old| (segment, old.file.clone())).collect();
            if sidecars.is_empty() && detach.is_empty() {
                return Ok(true);
            }
            let attach = sidecars.iter().map(|sidecar| (segment, sidecar.clone())).collect();
            match self.store.commit(Transaction { attach, detach, ..transaction(&base, work.operation) }).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < CONFLICT_TRIES => {}
                outcome => return outcome.map(|_| true).map_err(Into::into),
            }
        }
    }

    /// Detaches the sidecars of a table that no index of it owns: what a DROP INDEX leaves, or a build that was killed
    /// after its index had been dropped. Returns how many there were.
    pub(crate) async fn detach_leftovers(&self, table: TableId) -> Result<usize> {
        let mut tries = 0;
        loop {
            tries += 1;
            // In this order: a sidecar that is there was attached for an index that had its name before.
            let base = self.store.snapshot(table, Consistency::Strong).await?;
            let names = self.database.catalog().snapshot().await?;
            let indexes: HashSet<_> = names.indexes(table).map(|(_, _, definition)| definition.clone()).collect();
            let detach = leftovers(&base, &indexes);
            let count = detach.len();
            // The files of a table without a name are deleted with it.
            if count == 0 || !names.tables().any(|named| named == table) {
                return Ok(0);
            }
            let txn = Transaction { detach, ..transaction(&base, "DROP INDEX") };
            match self.store.commit(txn).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < CONFLICT_TRIES => {}
                outcome => return outcome.map(|_| count).map_err(Into::into),
            }
        }
    }
}

fn leftovers(snapshot: &Arc<Snapshot>, indexes: &HashSet<IndexDefinition>) -> Vec<(SegmentId, FileRef)> {
    let mut leftovers = Vec::new();
    for segment in &snapshot.segments {
        for sidecar in &segment.sidecars {
            if matches!(sidecar.kind, SidecarKind::Index(_)) && !indexes.iter().any(|index| index.owns(sidecar)) {
                leftovers.push((segment.id, sidecar.file.clone()));
            }
        }
    }
    leftovers
}
