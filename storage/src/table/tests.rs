use super::state::TableState;
use super::{TableAction, TableCommit, arrow_bytes, commit_info, encode_commit, file_refs};
use crate::deletion;
use crate::fixtures;
use crate::ids::{FieldId, RowId, SchemaId, SegmentId, ShardId, TableId, TxnId, Version};
use crate::log::{LogKind, LogState, Record, RecordForm};
use crate::segment::{ColumnStats, Deletes, FileRef, RowIds, Segment, SegmentData, Sidecar, SidecarKind};
use crate::snapshot::TableProperties;
use arrow::array::*;
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::sync::Arc;
use ulid::Ulid;

const TABLE: TableId = TableId(Ulid::from_parts(1, 1));

fn file(name: &str) -> FileRef {
    FileRef { path: format!("seg/x/{name}"), length: 17, blake3: [3; 32] }
}

fn segment(id: u128, data: SegmentData, rows: u64, row_ids: RowIds) -> Segment {
    let bound = |text: &str| Some(Arc::new(StringViewArray::from(vec![text])) as ArrayRef);
    Segment {
        id: SegmentId(Ulid::from_parts(2, id)),
        shard: ShardId(1),
        schema_id: SchemaId(0),
        rows,
        row_ids,
        data,
        stats: vec![ColumnStats { field: FieldId(2), min: bound("a"), max: bound("z"), exact: true, null_count: 0 }],
        sidecars: Vec::new(),
        deletes: Deletes::None,
    }
}

/// A commit that uses every action but the creation.
fn everything() -> TableCommit {
    let rows = Arc::new(fixtures::rows(&fixtures::schema(true), &[1, 2, 3]));
    let inline = segment(1, SegmentData::Inline(rows), 3, RowIds::Contiguous { first: RowId(0) });
    let mut stored = segment(2, SegmentData::File(file("data.parquet")), 50_000, RowIds::Column);
    let sidecar = Sidecar {
        kind: SidecarKind::Index("hnsw".into()),
        columns: vec![FieldId(2)],
        parameters: vec![("m".into(), "16".into())],
        format_version: 3,
        file: file("i.hnsw"),
    };
    stored.sidecars.push(Sidecar { kind: SidecarKind::PrimaryKey, file: file("pk.vpk"), ..sidecar.clone() });
    let bitmap = Deletes::Inline(Arc::new(RoaringBitmap::from_iter([1])));
    let vector = Deletes::File { file: FileRef { path: "dv/y.vdv".into(), ..file("") }, count: 700 };
    let third = segment(3, SegmentData::File(file("3.parquet")), 9, RowIds::Contiguous { first: RowId(3) });
    let (one, two, three) = (inline.id, stored.id, third.id);
    TableCommit {
        operation: "EVERYTHING".into(),
        base: Version(0),
        idempotency: Some(("client".into(), 12)),
        members: vec![TxnId(Ulid::from_parts(7, 8)), TxnId(Ulid::from_parts(9, 10))],
        actions: vec![
            TableAction::Add(Arc::new(inline)),
            TableAction::Add(Arc::new(stored)),
            TableAction::Add(Arc::new(third)),
            TableAction::SetDeletes { segment: one, deletes: bitmap, newly: 1 },
            TableAction::SetDeletes { segment: two, deletes: vector, newly: 700 },
            TableAction::Attach { segment: two, sidecar },
            TableAction::Detach { segment: two, path: "seg/x/pk.vpk".into() },
            TableAction::Remove(three),
        ],
    }
}

fn created() -> TableState {
    let create =
        TableAction::Create { schema: Arc::new(fixtures::schema(true)), properties: TableProperties { shards: 4 } };
    let commit = TableCommit {
        operation: "CREATE".into(),
        base: Version(0),
        idempotency: None,
        members: Vec::new(),
        actions: vec![create],
    };
    let record = record(Version(0), RecordForm::Commit, encode_commit(&commit, SchemaId(0)).unwrap());
    TableState::replay(&TABLE, None, &record).unwrap()
}

fn record(version: Version, form: RecordForm, body: Vec<u8>) -> Record {
    Record {
        form,
        kind: LogKind::Table,
        writer_features: 0,
        version,
        commit_ts_ms: 100 + version.0 as i64,
        txn: TxnId(Ulid::from_parts(3, 3)),
        link: [0; 32],
        body: body.into(),
    }
}

fn full() -> (Record, TableState) {
    let record = record(Version(1), RecordForm::Commit, encode_commit(&everything(), SchemaId(0)).unwrap());
    let state = TableState::replay(&TABLE, Some(&created()), &record).unwrap();
    (record, state)
}

#[test]
fn every_action_survives_commit_and_checkpoint() {
    let (record, state) = full();
    let applied =
        TableState::apply(TABLE, Some(&created()), &everything(), Version(1), 101, TxnId(Ulid::from_parts(3, 3)));
    let shown = |state: &TableState| format!("{:?} {:?}", state.snapshot, state.idempotency);
    assert_eq!(shown(&applied.unwrap()), shown(&state));
    let checkpoint = self::record(Version(1), RecordForm::Checkpoint, state.to_checkpoint().unwrap());
    assert_eq!(shown(&TableState::from_checkpoint(&TABLE, &checkpoint).unwrap()), shown(&state));
    let snapshot = &state.snapshot;
    assert_eq!((snapshot.segments.len(), snapshot.next_row_id, snapshot.live_rows()), (2, RowId(12), 49_302));
    assert_eq!(snapshot.segments[1].sidecars.len(), 1);
    assert_eq!(snapshot.schema.defaults, fixtures::schema(true).defaults);
    let info = commit_info(&record).unwrap();
    assert_eq!((info.segments_added, info.segments_removed, info.rows_added, info.rows_deleted), (3, 1, 50_012, 701));
    let paths: Vec<_> = file_refs(&record).unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(paths, ["seg/x/data.parquet", "seg/x/pk.vpk", "seg/x/3.parquet", "dv/y.vdv", "seg/x/i.hnsw"]);
}

#[test]
fn bounds_of_every_type_survive() {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Int8Array::from(vec![-3])),
        Arc::new(UInt64Array::from(vec![u64::MAX])),
        Arc::new(Float32Array::from(vec![-0.5])),
        Arc::new(Float64Array::from(vec![1e300])),
        Arc::new(StringArray::from(vec!["größe"])),
        Arc::new(LargeStringArray::from(vec![""])),
        Arc::new(StringViewArray::from(vec!["a text that is longer than twelve bytes"])),
        Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..]])),
        Arc::new(LargeBinaryArray::from(vec![&b"x"[..]])),
        Arc::new(BinaryViewArray::from(vec![&b"y"[..]])),
        Arc::new(Date32Array::from(vec![20_000])),
        Arc::new(Time64MicrosecondArray::from(vec![5])),
        Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")),
        Arc::new(Decimal128Array::from(vec![-12345]).with_precision_and_scale(10, 2).unwrap()),
    ];
    for array in arrays {
        let bytes = arrow_bytes::encode_bound(&array).unwrap();
        let back = arrow_bytes::decode_bound(array.data_type(), &bytes).unwrap();
        assert_eq!(&back, &array);
    }
    let sliced: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]).slice(1, 1));
    assert_eq!(&arrow_bytes::encode_bound(&sliced).unwrap()[..], 2i32.to_le_bytes());
    assert!(arrow_bytes::encode_bound(&new_null_array(&DataType::Int32, 1)).is_none());
    assert!(arrow_bytes::decode_bound(&DataType::Timestamp(TimeUnit::Second, None), &[1, 2]).is_err());
    assert!(arrow_bytes::decode_bound(&DataType::Utf8View, &[0xff]).is_err());
}

#[test]
fn commits_that_break_an_invariant_are_refused() {
    let state = full().1;
    let known = state.snapshot.segments[0].clone();
    let far = Segment { id: SegmentId(Ulid::from_parts(9, 9)), ..known.as_ref().clone() };
    let gone = SegmentId(Ulid::from_parts(8, 8));
    let bitmap = |offsets: &[u32]| Deletes::Inline(Arc::new(offsets.iter().copied().collect()));
    let wrong = [
        TableAction::Create { schema: state.snapshot.schema.clone(), properties: TableProperties { shards: 1 } },
        TableAction::Add(known.clone()),
        TableAction::Add(Arc::new(Segment { row_ids: RowIds::Contiguous { first: RowId(4) }, ..far.clone() })),
        TableAction::Add(Arc::new(Segment { shard: ShardId(4), row_ids: RowIds::Column, ..far })),
        TableAction::Remove(gone),
        TableAction::Attach { segment: gone, sidecar: state.snapshot.segments[1].sidecars[0].clone() },
        TableAction::SetDeletes { segment: known.id, deletes: bitmap(&[1, 3]), newly: 1 },
        TableAction::SetDeletes { segment: known.id, deletes: bitmap(&[1, 2]), newly: 2 },
        TableAction::SetDeletes { segment: known.id, deletes: Deletes::None, newly: 0 },
    ];
    for action in wrong {
        let shown = format!("{action:?}");
        let commit = TableCommit {
            operation: String::new(),
            base: Version(1),
            idempotency: None,
            members: Vec::new(),
            actions: vec![action],
        };
        let applied = TableState::apply(TABLE, Some(&state), &commit, Version(2), 102, TxnId(Ulid::nil()));
        assert!(applied.is_err(), "{shown}");
    }
}

#[test]
fn references_outside_of_the_table_are_refused() {
    for path in ["../../etc/passwd", "seg/../../x", "log/0.vlc", "/etc/passwd", "seg//x", "s3://bucket/x", ""] {
        let mut outside = segment(5, SegmentData::File(file("a")), 5, RowIds::Column);
        outside.data = SegmentData::File(FileRef { path: path.into(), ..file("a") });
        let commit = TableCommit { actions: vec![TableAction::Add(Arc::new(outside))], ..everything() };
        let record = record(Version(1), RecordForm::Commit, encode_commit(&commit, SchemaId(0)).unwrap());
        assert!(TableState::replay(&TABLE, Some(&created()), &record).is_err(), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Bodies that someone sealed with a right checksum: refused or understood, never a panic.
    #[test]
    fn mutated_bodies_do_not_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let (commit, state) = full();
        let create = encode_commit(&TableCommit {
            operation: "CREATE".into(),
            base: Version(0),
            idempotency: None,
            members: Vec::new(),
            actions: vec![TableAction::Create {
                schema: state.snapshot.schema.clone(),
                properties: TableProperties { shards: 4 },
            }],
        }, SchemaId(0)).unwrap();
        for (body, form) in [
            (commit.body.to_vec(), RecordForm::Commit),
            (create, RecordForm::Commit),
            (state.to_checkpoint().unwrap(), RecordForm::Checkpoint),
        ] {
            let mut body = body;
            for (at, to) in &changes {
                let at = at.index(body.len());
                body[at] = *to;
            }
            if cuts {
                body.truncate(cut.index(body.len()));
            }
            let changed = record(Version(1), form, body);
            let _ = TableState::replay(&TABLE, Some(&created()), &changed);
            let _ = TableState::replay(&TABLE, None, &changed);
            let _ = TableState::from_checkpoint(&TABLE, &changed);
            let _ = commit_info(&changed);
            let _ = file_refs(&changed);
        }
        prop_assert!(deletion::decode("x", &[]).is_err());
    }
}
