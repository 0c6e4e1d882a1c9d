//! The table that a log's commits add up to, and the invariants that each commit keeps.

use super::action::{TableAction, TableCommit};
use super::{decode, encode};
use crate::ids::{RowId, SegmentId, ShardId, TableId, TxnId, Version};
use crate::log::{Damage, LogKind, LogState, Record};
use crate::segment::{Deletes, RowIds, Segment};
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// An idempotency key is remembered for seven days.
const IDEMPOTENCY_MS: i64 = 7 * 24 * 3600 * 1000;
/// Transactions remembered in memory, so that a repeated one is usually recognised without reading the log again.
const RECENT_MAX: usize = 256;

/// A table after a commit: what queries see, and what the next commit needs besides.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) snapshot: Arc<Snapshot>,
    /// When each `(client, sequence)` was committed.
    pub(crate) idempotency: Arc<BTreeMap<(String, u64), i64>>,
    /// The newest commits' transactions, without gaps up to this version; not part of checkpoints.
    pub(crate) recent: VecDeque<(Version, TxnId)>,
}

impl LogState for TableState {
    const KIND: LogKind = LogKind::Table;
    type Owner = TableId;

    fn replay(owner: &TableId, before: Option<&Self>, commit: &Record) -> Result<Self, Damage> {
        let schema = before.map(|state| &state.snapshot.schema);
        let change = decode::decode_commit(commit.body.clone(), schema)?;
        Self::apply(*owner, before, &change, commit.version, commit.commit_ts_ms, commit.txn)
    }

    fn to_checkpoint(&self) -> crate::Result<Vec<u8>> {
        encode::encode_checkpoint(self)
    }

    fn from_checkpoint(owner: &TableId, checkpoint: &Record) -> Result<Self, Damage> {
        let decoded = decode::decode_checkpoint(checkpoint.body.clone())?;
        for segment in &decoded.segments {
            check_deletes(segment.rows, &segment.deletes)?;
        }
        let snapshot = Snapshot {
            table: *owner,
            version: checkpoint.version,
            commit_ts_ms: checkpoint.commit_ts_ms,
            schema: decoded.schema,
            properties: decoded.properties,
            segments: decoded.segments,
            next_row_id: decoded.next_row_id,
        };
        Ok(Self { snapshot: Arc::new(snapshot), idempotency: Arc::new(decoded.idempotency), recent: VecDeque::new() })
    }
}

impl TableState {
    /// The table after a commit. The same function serves the writer before it writes and every reader after.
    pub(crate) fn apply(
        table: TableId,
        before: Option<&Self>,
        commit: &TableCommit,
        version: Version,
        commit_ts_ms: i64,
        txn: TxnId,
    ) -> Result<Self, Damage> {
        let (mut next, actions) = match before {
            Some(state) => (state.clone(), &commit.actions[..]),
            None => Self::created(table, commit)?,
        };
        let snapshot = Arc::make_mut(&mut next.snapshot);
        snapshot.version = version;
        snapshot.commit_ts_ms = commit_ts_ms;
        for action in actions {
            apply_action(snapshot, action)?;
        }
        if let Some(key) = &commit.idempotency {
            let keys = Arc::make_mut(&mut next.idempotency);
            keys.retain(|_, committed_ms| commit_ts_ms.saturating_sub(*committed_ms) < IDEMPOTENCY_MS);
            keys.insert(key.clone(), commit_ts_ms);
        }
        next.recent.push_back((version, txn));
        next.recent.extend(commit.members.iter().map(|member| (version, *member)));
        // Whole versions go: of each that is there all transactions are.
        while next.recent.len() > RECENT_MAX
            && let Some((oldest, _)) = next.recent.front().copied().filter(|(oldest, _)| *oldest < version)
        {
            next.recent.retain(|(known, _)| *known > oldest);
        }
        Ok(next)
    }

    /// The empty table of version 0, and the actions that remain.
    fn created(table: TableId, commit: &TableCommit) -> Result<(Self, &[TableAction]), Damage> {
        let Some((TableAction::Create { schema, properties }, rest)) = commit.actions.split_first() else {
            return Err(Damage::corrupted("it does not begin with the table's creation"));
        };
        let snapshot = Snapshot {
            table,
            version: Version(0),
            commit_ts_ms: 0,
            schema: schema.clone(),
            properties: properties.clone(),
            segments: Vec::new(),
            next_row_id: RowId(0),
        };
        let state = Self { snapshot: Arc::new(snapshot), idempotency: Arc::default(), recent: VecDeque::new() };
        Ok((state, rest))
    }

    /// The live segment with this id.
    pub(crate) fn segment(&self, id: SegmentId) -> Option<&Arc<Segment>> {
        self.snapshot.segments.iter().find(|segment| segment.id == id)
    }

    /// Whether a transaction was committed after `base`, where what is remembered reaches that far back.
    pub(crate) fn remembers(&self, base: Version, txn: TxnId) -> Option<bool> {
        if self.recent.iter().any(|(_, known)| *known == txn) {
            return Some(true);
        }
        let reaches = base >= self.snapshot.version || self.recent.front().is_some_and(|(v, _)| v.0 <= base.0 + 1);
        reaches.then_some(false)
    }
}

/// The shard of a segment: a stable hash of its id.
pub(crate) fn shard_of(id: SegmentId, shards: u32) -> ShardId {
    let hash = blake3::hash(&id.0.to_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    ShardId(u32::from_le_bytes([a, b, c, d]) % shards.max(1))
}

fn apply_action(snapshot: &mut Snapshot, action: &TableAction) -> Result<(), Damage> {
    match action {
        TableAction::Create { .. } => return Err(Damage::corrupted("it creates a table that exists")),
        TableAction::Add(segment) => add(snapshot, segment)?,
        TableAction::Remove(id) => {
            let index = position(snapshot, *id)?;
            snapshot.segments.remove(index);
        }
        TableAction::SetDeletes { segment, deletes, newly } => {
            let index = position(snapshot, *segment)?;
            let changed = Arc::make_mut(&mut snapshot.segments[index]);
            check_deletes(changed.rows, deletes)?;
            if changed.deletes.count().checked_add(*newly) != Some(deletes.count()) {
                return Err(Damage::corrupted("a deletion vector does not contain the one before it"));
            }
            changed.deletes = deletes.clone();
        }
        TableAction::Attach { segment, sidecar } => {
            let index = position(snapshot, *segment)?;
            Arc::make_mut(&mut snapshot.segments[index]).sidecars.push(sidecar.clone());
        }
        TableAction::Detach { segment, path } => {
            let index = position(snapshot, *segment)?;
            Arc::make_mut(&mut snapshot.segments[index]).sidecars.retain(|s| s.file.path != *path);
        }
    }
    Ok(())
}

fn add(snapshot: &mut Snapshot, segment: &Arc<Segment>) -> Result<(), Damage> {
    if snapshot.segments.iter().any(|known| known.id == segment.id) {
        return Err(Damage::Corrupted(format!("it adds segment {} twice", segment.id)));
    }
    if segment.shard.0 >= snapshot.properties.shards {
        return Err(Damage::Corrupted(format!("segment {} is in shard {}", segment.id, segment.shard)));
    }
    check_deletes(segment.rows, &segment.deletes)?;
    if let RowIds::Contiguous { first } = segment.row_ids {
        if first != snapshot.next_row_id {
            return Err(Damage::Corrupted(format!("the row ids of segment {} do not follow the last", segment.id)));
        }
        let next = first.0.checked_add(segment.rows).ok_or_else(|| Damage::corrupted("the row ids overflow"))?;
        snapshot.next_row_id = RowId(next);
    }
    snapshot.segments.push(segment.clone());
    Ok(())
}

/// Deleted offsets are offsets of the segment.
fn check_deletes(rows: u64, deletes: &Deletes) -> Result<(), Damage> {
    let fits = match deletes {
        Deletes::None => true,
        Deletes::Inline(bitmap) => bitmap.max().is_none_or(|last| u64::from(last) < rows),
        Deletes::File { count, .. } => *count <= rows,
    };
    if fits { Ok(()) } else { Err(Damage::corrupted("a deletion vector is longer than its segment")) }
}

fn position(snapshot: &Snapshot, id: SegmentId) -> Result<usize, Damage> {
    let found = snapshot.segments.iter().position(|segment| segment.id == id);
    found.ok_or_else(|| Damage::Corrupted(format!("it changes segment {id}, which is not there")))
}
