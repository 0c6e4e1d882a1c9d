//! From types to messages.

use super::action::{TableAction, TableCommit};
use super::state::TableState;
use super::{arrow_bytes, proto};
use crate::deletion;
use crate::error::{Error, Result};
use crate::ids::{SchemaId, SegmentId};
use crate::schema::TableSchema;
use crate::segment::{ColumnStats, Deletes, FileRef, RowIds, Segment, SegmentData, Sidecar, SidecarKind};
use crate::snapshot::TableProperties;
use crate::store::StagedSegment;
use arrow::error::ArrowError;
use bytes::Bytes;
use prost::Message;

/// The body of a commit.
pub(crate) fn encode_commit(commit: &TableCommit, schema: SchemaId) -> Result<Vec<u8>> {
    let actions = commit.actions.iter().map(action).collect::<Result<Vec<_>>>()?;
    let idempotency = commit.idempotency.as_ref().map(|(client, sequence)| proto::IdempotencyKey {
        client: client.clone(),
        sequence: *sequence,
        commit_ts_ms: 0,
    });
    let message = proto::Commit {
        operation: commit.operation.clone(),
        base_version: commit.base.0,
        idempotency,
        actions,
        schema_id: schema.0,
        members: commit.members.iter().map(|txn| Bytes::copy_from_slice(&txn.0.to_bytes())).collect(),
    };
    Ok(message.encode_to_vec())
}

/// The body of a checkpoint.
pub(super) fn encode_checkpoint(state: &TableState) -> Result<Vec<u8>> {
    let snapshot = &state.snapshot;
    let keys = state.idempotency.iter();
    let message = proto::Checkpoint {
        schema: Some(schema(&snapshot.schema)?),
        properties: Some(properties(&snapshot.properties)),
        segments: snapshot.segments.iter().map(|s| segment(s)).collect::<Result<Vec<_>>>()?,
        next_row_id: snapshot.next_row_id.0,
        idempotency: keys
            .map(|((client, sequence), ts)| proto::IdempotencyKey {
                client: client.clone(),
                sequence: *sequence,
                commit_ts_ms: *ts,
            })
            .collect(),
    };
    Ok(message.encode_to_vec())
}

/// Segments that another process will commit. What a commit gives them (shard, row ids) is left open.
pub(crate) fn encode_staged(segments: &[StagedSegment]) -> Result<Bytes> {
    let segments = segments.iter().map(staged).collect::<Result<Vec<_>>>()?;
    Ok(proto::Staged { segments }.encode_to_vec().into())
}

/// Sidecars that another process will attach.
pub(crate) fn encode_sidecars(sidecars: &[Sidecar]) -> Bytes {
    proto::Sidecars { sidecars: sidecars.iter().map(sidecar).collect() }.encode_to_vec().into()
}

fn staged(staged: &StagedSegment) -> Result<proto::StagedSegment> {
    let segment = proto::Segment {
        id: key(staged.id),
        shard: 0,
        schema_id: 0,
        rows: staged.rows,
        first_row_id: (!staged.has_row_id_column).then_some(0),
        data: Some(data(&staged.data)?),
        stats: staged.stats.iter().map(stats).collect(),
        sidecars: staged.sidecars.iter().map(sidecar).collect(),
        deletes: None,
    };
    let key_hashes = staged.key_hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    Ok(proto::StagedSegment { segment: Some(segment), key_hashes })
}

fn action(action: &TableAction) -> Result<proto::Action> {
    use proto::ActionKind;
    let kind = match action {
        TableAction::Create { schema: of, properties: with } => {
            ActionKind::Create(proto::CreateTable { schema: Some(schema(of)?), properties: Some(properties(with)) })
        }
        TableAction::Add(added) => ActionKind::Add(segment(added)?),
        TableAction::Remove(id) => ActionKind::Remove(proto::SegmentKey { id: key(*id) }),
        TableAction::SetDeletes { segment, deletes: now, newly } => {
            ActionKind::SetDeletes(proto::SetDeletes { segment: key(*segment), deletes: deletes(now)?, newly: *newly })
        }
        TableAction::Attach { segment, sidecar: with } => {
            ActionKind::Attach(proto::Attach { segment: key(*segment), sidecar: Some(sidecar(with)) })
        }
        TableAction::Detach { segment, path } => {
            ActionKind::Detach(proto::Detach { segment: key(*segment), path: path.clone() })
        }
    };
    Ok(proto::Action { kind: Some(kind) })
}

fn schema(schema: &TableSchema) -> Result<proto::Schema> {
    Ok(proto::Schema {
        id: schema.id.0,
        arrow: arrow_bytes::encode_schema(&schema.arrow).map_err(refused)?,
        primary_key: schema.primary_key.iter().map(|id| id.0).collect(),
        defaults: schema.defaults.iter().map(|(id, sql)| (id.0, sql.clone())).collect(),
    })
}

fn properties(properties: &TableProperties) -> proto::Properties {
    proto::Properties { shards: properties.shards }
}

fn segment(segment: &Segment) -> Result<proto::Segment> {
    Ok(proto::Segment {
        id: key(segment.id),
        shard: segment.shard.0,
        schema_id: segment.schema_id.0,
        rows: segment.rows,
        first_row_id: match segment.row_ids {
            RowIds::Contiguous { first } => Some(first.0),
            RowIds::Column => None,
        },
        data: Some(data(&segment.data)?),
        stats: segment.stats.iter().map(stats).collect(),
        sidecars: segment.sidecars.iter().map(sidecar).collect(),
        deletes: deletes(&segment.deletes)?,
    })
}

fn data(data: &SegmentData) -> Result<proto::Data> {
    Ok(match data {
        SegmentData::File(at) => proto::Data::File(file(at)),
        SegmentData::Inline(rows) => proto::Data::Inline(arrow_bytes::encode_rows(rows).map_err(refused)?),
    })
}

fn stats(stats: &ColumnStats) -> proto::Stats {
    proto::Stats {
        field: stats.field.0,
        min: stats.min.as_ref().and_then(arrow_bytes::encode_bound),
        max: stats.max.as_ref().and_then(arrow_bytes::encode_bound),
        exact: stats.exact,
        null_count: stats.null_count,
    }
}

fn sidecar(sidecar: &Sidecar) -> proto::Sidecar {
    let (kind, is_index) = match &sidecar.kind {
        SidecarKind::Vectors => ("vectors".to_owned(), false),
        SidecarKind::PrimaryKey => ("primary-key".to_owned(), false),
        SidecarKind::Index(method) => (method.clone(), true),
    };
    let parameters = sidecar.parameters.iter();
    proto::Sidecar {
        kind,
        is_index,
        columns: sidecar.columns.iter().map(|id| id.0).collect(),
        parameters: parameters
            .map(|(name, value)| proto::Parameter { name: name.clone(), value: value.clone() })
            .collect(),
        format_version: sidecar.format_version.into(),
        file: Some(file(&sidecar.file)),
    }
}

fn deletes(deletes: &Deletes) -> Result<Option<proto::Deletes>> {
    let kind = match deletes {
        Deletes::None => return Ok(None),
        Deletes::Inline(bitmap) => proto::DeletesKind::Inline(deletion::encode(bitmap)?),
        Deletes::File { file: at, count } => {
            proto::DeletesKind::File(proto::DeletesFile { file: Some(file(at)), count: *count })
        }
    };
    Ok(Some(proto::Deletes { kind: Some(kind) }))
}

fn file(file: &FileRef) -> proto::File {
    proto::File { path: file.path.clone(), length: file.length, blake3: Bytes::copy_from_slice(&file.blake3) }
}

fn key(id: SegmentId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_bytes())
}

fn refused(error: ArrowError) -> Error {
    Error::Internal { detail: format!("Arrow cannot write a commit: {error}") }
}
