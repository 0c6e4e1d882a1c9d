//! From messages to types. The bytes may be anything: whatever is not well-formed is refused, nothing panics, and
//! nothing is allocated beyond a small multiple of the input.

use super::action::{TableAction, TableCommit};
use super::{arrow_bytes, proto};
use crate::deletion;
use crate::error::Error;
use crate::ids::{FieldId, RowId, SchemaId, SegmentId, ShardId, TxnId, Version};
use crate::log::{Damage, Record};
use crate::schema::{TableSchema, field_id};
use crate::segment::{
    ColumnStats, Deletes, FileRef, ROW_ID_COLUMN, RowIds, SEGMENT_ROWS_MAX, Segment, SegmentData, Sidecar, SidecarKind,
};
use crate::snapshot::TableProperties;
use crate::store::{CommitInfo, StagedSegment};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ulid::Ulid;

type Decoded<T> = Result<T, Damage>;

/// A checkpoint, as types.
pub(super) struct Checkpoint {
    pub(super) schema: Arc<TableSchema>,
    pub(super) properties: TableProperties,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) next_row_id: RowId,
    pub(super) idempotency: BTreeMap<(String, u64), i64>,
}

/// A commit on top of a table with this schema (`None` before version 0).
pub(super) fn decode_commit(body: Bytes, schema: Option<&Arc<TableSchema>>) -> Decoded<TableCommit> {
    let message = proto::Commit::decode(body)?;
    let mut schema = schema.cloned();
    let mut actions = Vec::with_capacity(message.actions.len());
    for action in message.actions {
        let action = self::action(action, schema.as_ref())?;
        if let TableAction::Create { schema: created, .. } = &action {
            schema = Some(created.clone());
        }
        actions.push(action);
    }
    if schema.is_some_and(|schema| schema.id.0 != message.schema_id) {
        return Err(Damage::corrupted("it was made for another schema"));
    }
    Ok(TableCommit {
        operation: message.operation,
        base: Version(message.base_version),
        idempotency: message.idempotency.map(|key| (key.client, key.sequence)),
        members: message.members.iter().map(member).collect::<Decoded<_>>()?,
        actions,
    })
}

fn member(bytes: &Bytes) -> Decoded<TxnId> {
    let bytes =
        <[u8; 16]>::try_from(bytes.as_ref()).map_err(|_| Damage::corrupted("a transaction's id is cut short"))?;
    Ok(TxnId(Ulid::from_bytes(bytes)))
}

/// Whether a commit holds this transaction, by itself or together with others. Needs no schema.
pub(crate) fn holds(record: &Record, txn: TxnId) -> Decoded<bool> {
    if record.txn == txn {
        return Ok(true);
    }
    let message = proto::Commit::decode(record.body.clone())?;
    let members: Vec<TxnId> = message.members.iter().map(member).collect::<Decoded<_>>()?;
    Ok(members.contains(&txn))
}

pub(super) fn decode_checkpoint(body: Bytes) -> Decoded<Checkpoint> {
    let message = proto::Checkpoint::decode(body)?;
    let schema = Arc::new(self::schema(message.schema.ok_or_else(|| missing("schema"))?)?);
    let keys = message.idempotency.into_iter();
    Ok(Checkpoint {
        properties: properties(message.properties.ok_or_else(|| missing("properties"))?)?,
        segments: message.segments.into_iter().map(|s| segment(s, &schema).map(Arc::new)).collect::<Decoded<_>>()?,
        next_row_id: RowId(message.next_row_id),
        idempotency: keys.map(|key| ((key.client, key.sequence), key.commit_ts_ms)).collect(),
        schema,
    })
}

/// Segments that another process wrote for a table with this schema; this process had it begin at `begun_ms`.
pub(crate) fn decode_staged(bytes: Bytes, schema: &TableSchema, begun_ms: u64) -> Decoded<Vec<StagedSegment>> {
    let message = proto::Staged::decode(bytes)?;
    message.segments.into_iter().map(|segment| staged(segment, schema, begun_ms)).collect()
}

/// Sidecars that another process wrote beside a segment.
pub(crate) fn decode_sidecars(bytes: Bytes, segment: SegmentId) -> Decoded<Vec<Sidecar>> {
    let message = proto::Sidecars::decode(bytes)?;
    let sidecars: Vec<Sidecar> = message.sidecars.into_iter().map(sidecar).collect::<Decoded<_>>()?;
    check_beside(segment, sidecars.iter().map(|sidecar| &sidecar.file))?;
    Ok(sidecars)
}

/// What another process wrote for a segment lies in the segment's own folder.
fn check_beside<'a>(segment: SegmentId, mut files: impl Iterator<Item = &'a FileRef>) -> Decoded<()> {
    let folder = format!("seg/{segment}/");
    match files.find(|file| !file.path.starts_with(&folder)) {
        Some(file) => Err(Damage::Corrupted(format!("segment {segment} refers to the file {:?}", file.path))),
        None => Ok(()),
    }
}

fn staged(message: proto::StagedSegment, schema: &TableSchema, begun_ms: u64) -> Decoded<StagedSegment> {
    let proto::StagedSegment { segment: written, key_hashes } = message;
    let Segment { id, rows, row_ids, data, stats, sidecars, .. } =
        segment(written.ok_or_else(|| missing("segment"))?, schema)?;
    let keyed = if schema.primary_key.is_empty() { 0 } else { rows };
    let (hashes, rest) = key_hashes.as_chunks::<16>();
    if hashes.len() as u64 != keyed || !rest.is_empty() {
        return Err(Damage::Corrupted(format!(
            "a segment of {rows} rows has {} bytes of key hashes",
            key_hashes.len()
        )));
    }
    let files = sidecars.iter().map(|sidecar| &sidecar.file).chain(match &data {
        SegmentData::File(file) => Some(file),
        SegmentData::Inline(_) => None,
    });
    check_beside(id, files)?;
    let key_hashes = hashes.iter().map(|hash| u128::from_le_bytes(*hash)).collect();
    let has_row_id_column = row_ids == RowIds::Column;
    Ok(StagedSegment { id, begun_ms, rows, has_row_id_column, data, stats, sidecars, key_hashes })
}

/// The line that a commit makes in its table's history. Needs no schema, so the log may be read from anywhere.
pub(crate) fn commit_info(record: &Record) -> Decoded<CommitInfo> {
    use proto::ActionKind;
    let message = proto::Commit::decode(record.body.clone())?;
    let mut info = CommitInfo {
        version: record.version,
        commit_ts_ms: record.commit_ts_ms,
        operation: message.operation,
        txn: record.txn,
        segments_added: 0,
        segments_removed: 0,
        rows_added: 0,
        rows_deleted: 0,
    };
    for action in &message.actions {
        match &action.kind {
            Some(ActionKind::Add(segment)) => {
                info.segments_added += 1;
                info.rows_added = info.rows_added.saturating_add(segment.rows);
            }
            Some(ActionKind::Remove(_)) => info.segments_removed += 1,
            Some(ActionKind::SetDeletes(deletes)) => {
                info.rows_deleted = info.rows_deleted.saturating_add(deletes.newly);
            }
            _ => {}
        }
    }
    Ok(info)
}

/// Every file that a commit makes its table refer to.
pub(crate) fn file_refs(record: &Record) -> Decoded<Vec<FileRef>> {
    use proto::ActionKind;
    let message = proto::Commit::decode(record.body.clone())?;
    let mut found = Vec::new();
    for action in message.actions {
        match action.kind {
            Some(ActionKind::Add(segment)) => {
                if let Some(proto::Data::File(file)) = segment.data {
                    found.push(self::file(file)?);
                }
                for sidecar in segment.sidecars {
                    found.push(self::file(sidecar.file.ok_or_else(|| missing("file"))?)?);
                }
            }
            Some(ActionKind::SetDeletes(proto::SetDeletes { deletes: Some(deletes), .. })) => {
                if let Deletes::File { file, .. } = self::deletes(Some(deletes))? {
                    found.push(file);
                }
            }
            Some(ActionKind::Attach(proto::Attach { sidecar: Some(sidecar), .. })) => {
                found.push(self::sidecar(sidecar)?.file);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn action(action: proto::Action, schema: Option<&Arc<TableSchema>>) -> Decoded<TableAction> {
    use proto::ActionKind;
    // An action that this version does not know would have come with a feature bit, which the envelope refuses.
    Ok(match action.kind.ok_or_else(|| missing("action"))? {
        ActionKind::Create(created) => TableAction::Create {
            schema: Arc::new(self::schema(created.schema.ok_or_else(|| missing("schema"))?)?),
            properties: properties(created.properties.ok_or_else(|| missing("properties"))?)?,
        },
        ActionKind::Add(added) => TableAction::Add(Arc::new(segment(added, schema.ok_or_else(|| missing("table"))?)?)),
        ActionKind::Remove(removed) => TableAction::Remove(segment_id(&removed.id)?),
        ActionKind::SetDeletes(set) => TableAction::SetDeletes {
            segment: segment_id(&set.segment)?,
            deletes: deletes(set.deletes)?,
            newly: set.newly,
        },
        ActionKind::Attach(attach) => TableAction::Attach {
            segment: segment_id(&attach.segment)?,
            sidecar: sidecar(attach.sidecar.ok_or_else(|| missing("sidecar"))?)?,
        },
        ActionKind::Detach(detach) => TableAction::Detach { segment: segment_id(&detach.segment)?, path: detach.path },
    })
}

fn schema(message: proto::Schema) -> Decoded<TableSchema> {
    let arrow = arrow_bytes::decode_schema(message.arrow)?;
    let mut ids = BTreeSet::new();
    for field in arrow.fields() {
        if !field_id(field).is_some_and(|id| ids.insert(id)) {
            return Err(Damage::Corrupted(format!("column {:?} has no field id of its own", field.name())));
        }
    }
    let primary_key: Vec<_> = message.primary_key.into_iter().map(FieldId).collect();
    if primary_key.iter().any(|id| !ids.contains(id)) {
        return Err(Damage::corrupted("its primary key names a column that does not exist"));
    }
    let defaults = message.defaults.into_iter().map(|(id, sql)| (FieldId(id), sql)).collect();
    Ok(TableSchema { id: SchemaId(message.id), arrow, primary_key, defaults })
}

fn properties(message: proto::Properties) -> Decoded<TableProperties> {
    match message.shards {
        0 => Err(Damage::corrupted("it has no shards")),
        shards => Ok(TableProperties { shards }),
    }
}

fn segment(message: proto::Segment, schema: &TableSchema) -> Decoded<Segment> {
    if message.rows == 0 || message.rows > SEGMENT_ROWS_MAX as u64 {
        return Err(Damage::Corrupted(format!("a segment has {} rows", message.rows)));
    }
    let row_ids = match message.first_row_id {
        Some(first) => RowIds::Contiguous { first: RowId(first) },
        None => RowIds::Column,
    };
    let data = match message.data.ok_or_else(|| missing("data"))? {
        proto::Data::File(at) => SegmentData::File(file(at)?),
        proto::Data::Inline(bytes) => {
            let rows = arrow_bytes::decode_rows(bytes, &data_schema(schema, row_ids))?;
            if rows.num_rows() as u64 != message.rows {
                return Err(Damage::corrupted("an inline segment has another number of rows than it says"));
            }
            SegmentData::Inline(Arc::new(rows))
        }
    };
    Ok(Segment {
        id: segment_id(&message.id)?,
        shard: ShardId(message.shard),
        schema_id: SchemaId(message.schema_id),
        rows: message.rows,
        row_ids,
        data,
        stats: message.stats.into_iter().filter_map(|s| stats(s, schema).transpose()).collect::<Decoded<_>>()?,
        sidecars: message.sidecars.into_iter().map(sidecar).collect::<Decoded<_>>()?,
        deletes: deletes(message.deletes)?,
    })
}

/// The schema of a segment's rows: the table's columns, then the row ids where they are a column.
pub(super) fn data_schema(schema: &TableSchema, row_ids: RowIds) -> SchemaRef {
    match row_ids {
        RowIds::Contiguous { .. } => schema.arrow.clone(),
        RowIds::Column => {
            let row_id = Field::new(ROW_ID_COLUMN, DataType::UInt64, false);
            let fields = schema.arrow.fields().iter().cloned().chain([Arc::new(row_id)]);
            Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.arrow.metadata().clone()))
        }
    }
}

/// `None` for a column that the table no longer has.
fn stats(message: proto::Stats, schema: &TableSchema) -> Decoded<Option<ColumnStats>> {
    let field = FieldId(message.field);
    let Some(index) = schema.index_of(field) else { return Ok(None) };
    let data_type = schema.arrow.field(index).data_type();
    let bound = |bytes: Option<Bytes>| bytes.map(|bytes| arrow_bytes::decode_bound(data_type, &bytes)).transpose();
    Ok(Some(ColumnStats {
        field,
        min: bound(message.min)?,
        max: bound(message.max)?,
        exact: message.exact,
        null_count: message.null_count,
    }))
}

fn sidecar(message: proto::Sidecar) -> Decoded<Sidecar> {
    let kind = match (message.is_index, message.kind.as_str()) {
        (true, method) => SidecarKind::Index(method.to_owned()),
        (false, "vectors") => SidecarKind::Vectors,
        (false, "primary-key") => SidecarKind::PrimaryKey,
        (false, other) => return Err(Damage::Newer(format!("sidecars of the kind {other:?}"))),
    };
    let format_version = u16::try_from(message.format_version)
        .map_err(|_| Damage::corrupted("a sidecar's format version is out of range"))?;
    Ok(Sidecar {
        kind,
        columns: message.columns.into_iter().map(FieldId).collect(),
        parameters: message.parameters.into_iter().map(|p| (p.name, p.value)).collect(),
        format_version,
        file: file(message.file.ok_or_else(|| missing("file"))?)?,
    })
}

fn deletes(message: Option<proto::Deletes>) -> Decoded<Deletes> {
    let Some(message) = message else { return Ok(Deletes::None) };
    match message.kind.ok_or_else(|| missing("deletion vector"))? {
        proto::DeletesKind::Inline(bytes) => {
            let bitmap = deletion::decode("", &bytes).map_err(|error| match error {
                Error::NewerFormat { detail, .. } => Damage::Newer(detail),
                Error::Corrupted { detail, .. } => Damage::Corrupted(detail),
                other => Damage::Corrupted(other.to_string()),
            })?;
            Ok(Deletes::Inline(Arc::new(bitmap)))
        }
        proto::DeletesKind::File(at) => {
            Ok(Deletes::File { file: file(at.file.ok_or_else(|| missing("file"))?)?, count: at.count })
        }
    }
}

/// A file of the table. Its path must stay inside the table's directory, whoever wrote it down.
fn file(message: proto::File) -> Decoded<FileRef> {
    let inside = message.path.starts_with("seg/") || message.path.starts_with("dv/");
    // Parsing refuses empty and dotted parts.
    if !inside || object_store::path::Path::parse(&message.path).is_err() {
        return Err(Damage::Corrupted(format!("it refers to the file {:?}", message.path)));
    }
    let blake3 = message.blake3.as_ref().try_into().map_err(|_| Damage::corrupted("a file's hash is not 32 bytes"))?;
    Ok(FileRef { path: message.path, length: message.length, blake3 })
}

fn segment_id(bytes: &[u8]) -> Decoded<SegmentId> {
    let bytes = bytes.try_into().map_err(|_| Damage::corrupted("a segment's id is not 16 bytes"))?;
    Ok(SegmentId(Ulid::from_bytes(bytes)))
}

fn missing(what: &str) -> Damage {
    Damage::Corrupted(format!("it lacks a {what}"))
}
