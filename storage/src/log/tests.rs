use super::record::{Damage, LogKind, Record, RecordForm};
use crate::ids::{TxnId, Version};
use bytes::Bytes;
use proptest::prelude::*;
use ulid::Ulid;

fn record(form: RecordForm, body: Vec<u8>) -> Record {
    Record {
        form,
        kind: LogKind::Table,
        writer_features: 0,
        version: Version(7),
        commit_ts_ms: 1_234,
        txn: TxnId(Ulid::from_parts(5, 6)),
        link: [9; 32],
        body: body.into(),
    }
}

fn decode(bytes: Bytes, form: RecordForm) -> Result<Record, Damage> {
    Record::decode(bytes, form, LogKind::Table, Version(7))
}

/// The same bytes with a checksum that fits them.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let end = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    bytes.into()
}

#[test]
fn newer_formats_and_features_are_told_from_damage() {
    let good = record(RecordForm::Commit, vec![1, 2, 3]).encode().to_vec();
    for at in [8, 16] {
        let mut newer = good.clone();
        newer[at] += 4;
        assert!(matches!(decode(resealed(newer), RecordForm::Commit), Err(Damage::Newer(_))), "offset {at}");
    }
    // Features that only a writer has to know do not keep readers out.
    let mut newer = good.clone();
    newer[24] = 1;
    let read = decode(resealed(newer), RecordForm::Commit).unwrap();
    assert!(matches!(Record::check_writable(read.writer_features), Err(Damage::Newer(_))));
    assert_eq!(Record::check_writable(0), Ok(()));
}

#[test]
fn a_file_under_another_name_is_refused() {
    let bytes = record(RecordForm::Commit, vec![1]).encode();
    assert!(Record::decode(bytes.clone(), RecordForm::Commit, LogKind::Table, Version(8)).is_err());
    assert!(Record::decode(bytes.clone(), RecordForm::Commit, LogKind::Catalog, Version(7)).is_err());
    assert!(Record::decode(bytes, RecordForm::Checkpoint, LogKind::Table, Version(7)).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read(body in proptest::collection::vec(any::<u8>(), 0..200), commit in any::<bool>()) {
        let form = if commit { RecordForm::Commit } else { RecordForm::Checkpoint };
        let written = record(form, body);
        prop_assert_eq!(decode(written.encode(), form).unwrap(), written);
    }

    #[test]
    fn any_changed_byte_is_noticed(at in 0usize..160, bit in 0u8..8) {
        let mut bytes = record(RecordForm::Commit, vec![42; 52]).encode().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(bytes.into(), RecordForm::Commit).is_err());
    }

    #[test]
    fn any_cut_is_noticed(length in 0usize..160) {
        let bytes = record(RecordForm::Commit, vec![42; 52]).encode();
        prop_assert!(decode(bytes.slice(..length.min(bytes.len() - 1)), RecordForm::Commit).is_err());
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(bytes.into(), RecordForm::Commit);
    }
}
