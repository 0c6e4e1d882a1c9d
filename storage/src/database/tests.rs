use super::*;
use crate::ErrorKind;
use crate::cache::DiskCache;
use crate::environments::memory_env;
use crate::fixtures::{begin, delete, ids, insert, read, table};
use crate::ids::TxnId;
use crate::segment::{SegmentData, Sidecar, SidecarKind};
use futures::future::join_all;
use object_store::ObjectStoreExt;
use std::time::Duration;

/// Two processes on one data directory.
async fn two() -> (Database, Database) {
    let env = memory_env();
    (Database::open(env.clone()).await.unwrap(), Database::open(env).await.unwrap())
}

#[tokio::test]
async fn what_one_process_commits_another_sees() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    let done = a.commit(insert(&a, t, &[1, 2, 3]).await.unwrap()).await.unwrap();
    assert_eq!((done.snapshot.version, done.replayed), (Version(1), false));
    assert_eq!(ids(&b, t).await, [1, 2, 3]);
    b.commit(delete(&b, t, &[2]).await.unwrap()).await.unwrap();
    assert_eq!(ids(&a, t).await, [1, 3]);
    let snapshot = a.snapshot(t, Consistency::Strong).await.unwrap();
    assert_eq!((snapshot.live_rows(), snapshot.next_row_id.0), (2, 3));
    assert!(snapshot.commit_ts_ms > done.snapshot.commit_ts_ms);
}

#[tokio::test]
async fn appends_and_deletes_of_different_rows_rebase() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    a.commit(insert(&a, t, &[1, 2, 3]).await.unwrap()).await.unwrap();
    let (one, two) = (delete(&a, t, &[1]).await.unwrap(), delete(&b, t, &[2]).await.unwrap());
    let (three, four) = (insert(&a, t, &[4]).await.unwrap(), insert(&b, t, &[5]).await.unwrap());
    a.commit(one).await.unwrap();
    b.commit(two).await.unwrap();
    a.commit(three).await.unwrap();
    b.commit(four).await.unwrap();
    assert_eq!(ids(&a, t).await, [3, 4, 5]);
    let snapshot = b.snapshot(t, Consistency::Strong).await.unwrap();
    let mut row_ids: Vec<u64> = read(&b, &snapshot).await.unwrap().iter().map(|row| row.row_id).collect();
    row_ids.sort_unstable();
    assert_eq!(row_ids, [2, 3, 4]);
}

#[tokio::test]
async fn the_first_to_delete_a_row_wins() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    a.commit(insert(&a, t, &[1, 2]).await.unwrap()).await.unwrap();
    let (one, two) = (delete(&a, t, &[1]).await.unwrap(), delete(&b, t, &[1, 2]).await.unwrap());
    a.commit(one).await.unwrap();
    assert_eq!(b.commit(two).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ids(&b, t).await, [2]);
}

#[tokio::test]
async fn keys_are_unique_between_two_processes() {
    let (a, b) = two().await;
    let t = table(&a, true).await;
    a.commit(insert(&a, t, &[1, 2]).await.unwrap()).await.unwrap();
    let late = insert(&b, t, &[7]).await.unwrap();
    a.commit(insert(&a, t, &[7]).await.unwrap()).await.unwrap();
    let error = b.commit(late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    assert!(error.to_string().contains('7'), "{error}");
    let error = b.commit(insert(&b, t, &[3, 2]).await.unwrap()).await.unwrap_err();
    assert!(error.to_string().contains('2'), "{error}");
    // A key is free again once its row is deleted, also within the deleting transaction (an UPDATE of the key's row).
    let mut update = delete(&a, t, &[2]).await.unwrap();
    update.add = insert(&a, t, &[2]).await.unwrap().add;
    a.commit(update).await.unwrap();
    assert_eq!(ids(&b, t).await, [1, 2, 7]);
}

#[tokio::test]
async fn keys_are_unique_between_the_stagings_of_one_transaction() {
    let (a, _) = two().await;
    let t = table(&a, true).await;
    let mut txn = insert(&a, t, &[1, 2]).await.unwrap();
    txn.add.extend(insert(&a, t, &[2, 3]).await.unwrap().add);
    assert_eq!(a.commit(txn).await.unwrap_err().kind(), ErrorKind::UniqueViolation);
    assert_eq!(ids(&a, t).await, [0i64; 0]);
}

#[tokio::test]
async fn duplicates_of_large_loads_show_their_key() {
    let (a, b) = two().await;
    let t = table(&a, true).await;
    let many: Vec<i64> = (0..20_000).collect();
    let first = insert(&a, t, &many).await.unwrap();
    assert!(matches!(first.add[0].data, SegmentData::File(_)));
    a.commit(first).await.unwrap();
    let others: Vec<i64> = (19_999..45_000).collect();
    let error = b.commit(insert(&b, t, &others).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UniqueViolation);
    assert!(error.to_string().contains("19999"), "{error}");
    assert_eq!(ids(&b, t).await, many);
}

#[tokio::test]
async fn a_repeated_transaction_is_applied_once() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    let mut txn = insert(&a, t, &[1]).await.unwrap();
    txn.idempotency = Some(("loader".into(), 5));
    assert!(!a.commit(txn.clone()).await.unwrap().replayed);
    assert!(a.commit(txn.clone()).await.unwrap().replayed);
    assert!(b.commit(txn.clone()).await.unwrap().replayed);
    // Another transaction under the same key, and the same transaction without one, after the memory of it is gone.
    let mut again = insert(&b, t, &[1]).await.unwrap();
    again.idempotency = Some(("loader".into(), 5));
    assert!(b.commit(again).await.unwrap().replayed);
    txn.idempotency = None;
    let fresh = Database::open(a.env().clone()).await.unwrap();
    assert!(fresh.commit(txn).await.unwrap().replayed);
    assert_eq!(ids(&a, t).await, [1]);
}

#[tokio::test]
async fn deleting_every_row_removes_the_segment_and_history_tells() {
    let (a, _) = two().await;
    let t = table(&a, false).await;
    a.commit(insert(&a, t, &[1, 2, 3]).await.unwrap()).await.unwrap();
    let done = a.commit(delete(&a, t, &[1, 2, 3]).await.unwrap()).await.unwrap();
    assert!(done.snapshot.segments.is_empty());
    let history = a.history(t).await.unwrap();
    let lines: Vec<_> = history.iter().map(|l| (l.version.0, &l.operation[..], l.rows_added, l.rows_deleted)).collect();
    assert_eq!(lines, [(2, "DELETE", 0, 3), (1, "INSERT", 3, 0), (0, "CREATE TABLE", 0, 0)]);
}

#[tokio::test]
async fn old_versions_stay_readable() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    for id in 0..60 {
        a.commit(insert(&a, t, &[id]).await.unwrap()).await.unwrap();
    }
    a.settle().await;
    for version in [0, 1, 42, 47, 48, 49, 60] {
        let snapshot = b.snapshot(t, Consistency::Exactly(Version(version))).await.unwrap();
        assert_eq!((snapshot.version, snapshot.live_rows()), (Version(version), version));
        assert_eq!(read(&b, &snapshot).await.unwrap().len() as u64, version);
    }
    let error = b.snapshot(t, Consistency::Exactly(Version(900))).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchVersion { .. }), "{error}");
    assert!(b.snapshot(t, Consistency::AtLeast(Version(900))).await.is_err());
}

#[tokio::test]
async fn inline_rows_are_folded_and_keep_their_ids() {
    let (a, b) = two().await;
    let t = table(&a, true).await;
    for id in 0..66 {
        a.commit(insert(&a, t, &[id]).await.unwrap()).await.unwrap();
    }
    a.settle().await;
    a.commit(delete(&a, t, &[3]).await.unwrap()).await.unwrap();
    let snapshot = b.snapshot(t, Consistency::Strong).await.unwrap();
    let files = snapshot.segments.iter().filter(|s| matches!(s.data, SegmentData::File(_))).count();
    assert!(files == 1 && snapshot.segments.len() < 4, "{} segments", snapshot.segments.len());
    for row in read(&b, &snapshot).await.unwrap() {
        assert_eq!((row.row_id as i64, row.note), (row.id, format!("note {}", row.id)));
    }
    assert_eq!(ids(&b, t).await.len(), 65);
    // Keys inside the folded segment are still found.
    assert_eq!(b.commit(insert(&b, t, &[40]).await.unwrap()).await.unwrap_err().kind(), ErrorKind::UniqueViolation);
    b.commit(insert(&b, t, &[3]).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_delete_that_meets_a_fold_is_a_conflict() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    a.commit(insert(&a, t, &[1]).await.unwrap()).await.unwrap();
    a.commit(insert(&a, t, &[2]).await.unwrap()).await.unwrap();
    let late = delete(&b, t, &[1]).await.unwrap();
    assert!(a.fold_inline(t).await.unwrap().is_some());
    assert_eq!(b.commit(late).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ids(&b, t).await, [1, 2]);
    assert!(a.fold_inline(t).await.unwrap().is_none());
}

#[tokio::test]
async fn a_damaged_log_is_named_and_other_tables_work() {
    let (a, _) = two().await;
    let (t, other) = (table(&a, false).await, table(&a, false).await);
    a.commit(insert(&a, t, &[1]).await.unwrap()).await.unwrap();
    a.commit(insert(&a, other, &[1]).await.unwrap()).await.unwrap();
    let path = table_root(t).join("log").join(format!("{:020}.vlc", 1));
    let mut bytes = a.env().store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[200] ^= 4;
    a.env().store.put(&path, bytes.into()).await.unwrap();
    let fresh = Database::open(a.env().clone()).await.unwrap();
    let error = fresh.snapshot(t, Consistency::Strong).await.unwrap_err();
    assert!(error.to_string().contains(path.as_ref()), "{error}");
    assert_eq!(ids(&fresh, other).await, [1]);
    let missing = TableId(a.env().new_ulid());
    assert_eq!(fresh.snapshot(missing, Consistency::Strong).await.unwrap_err().kind(), ErrorKind::UndefinedTable);
}

#[tokio::test]
async fn large_deletion_vectors_become_files() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    let many: Vec<i64> = (0..60_000).collect();
    a.commit(insert(&a, t, &many).await.unwrap()).await.unwrap();
    let odd: Vec<i64> = many.iter().copied().filter(|id| (id * id) % 7 == 1).collect();
    let done = a.commit(delete(&a, t, &odd).await.unwrap()).await.unwrap();
    assert!(matches!(done.snapshot.segments[0].deletes, crate::segment::Deletes::File { .. }));
    assert_eq!(ids(&b, t).await.len(), many.len() - odd.len());
}

#[tokio::test]
async fn rows_staged_long_ago_are_refused() {
    let (a, _) = two().await;
    let t = table(&a, false).await;
    let mut txn = insert(&a, t, &[1]).await.unwrap();
    txn.add[0].begun_ms -= 25 * 3600 * 1000;
    assert_eq!(a.commit(txn).await.unwrap_err().kind(), ErrorKind::Conflict);
    let nothing = begin(&a, t, "NOTHING").await.unwrap();
    assert_ne!(nothing.id, TxnId(ulid::Ulid::nil()));
}

#[tokio::test]
async fn verify_names_what_is_damaged() {
    let (a, _) = two().await;
    let t = table(&a, true).await;
    let entry = crate::catalog::CatalogEntry::Table { id: t };
    let create = crate::catalog::CatalogAction::Create { schema: "public".into(), name: "t".into(), entry };
    a.catalog().apply(|_| Ok(vec![create.clone()])).await.unwrap();
    let many: Vec<i64> = (1000..20_000).collect();
    a.commit(insert(&a, t, &many).await.unwrap()).await.unwrap();
    for id in 0..20 {
        a.commit(insert(&a, t, &[id]).await.unwrap()).await.unwrap();
    }
    a.commit(delete(&a, t, &[3, 1500]).await.unwrap()).await.unwrap();
    a.settle().await;
    let report = a.verify(&|_| {}).await;
    assert!(report.is_clean() && report.files > 20, "{report:?}");
    let root = table_root(t);
    let segment = a.snapshot(t, Consistency::Strong).await.unwrap().segments[0].clone();
    let SegmentData::File(data) = &segment.data else { panic!("the first segment is a file") };
    let damaged = [
        root.clone().join("ckpt").join(format!("{:020}.vck", 8)),
        file_path(t, data),
        root.clone().join("log").join(format!("{:020}.vlc", 5)),
        Path::from("catalog").join("log").join(format!("{:020}.vlc", 1)),
        Path::from("volley.vfm"),
    ];
    for path in &damaged {
        let sound = a.env().store.get(path).await.unwrap().bytes().await.unwrap();
        let mut bytes = sound.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        a.env().store.put(path, bytes.into()).await.unwrap();
        let report = a.verify(&|_| {}).await;
        assert!(report.findings.iter().any(|found| found.path == path.as_ref()), "{path}: {report:?}");
        a.env().store.delete(path).await.unwrap();
        let report = a.verify(&|_| {}).await;
        // A checkpoint that was never written is nothing wrong, and a log without its last commit is a log.
        if path != &damaged[0] && path != &damaged[3] {
            assert!(!report.is_clean(), "{path} is gone");
        }
        a.env().store.put(path, sound.into()).await.unwrap();
    }
}

#[tokio::test]
async fn appends_that_meet_share_commits() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    let mut transactions = Vec::new();
    for id in 0..40 {
        transactions.push(insert(&a, t, &[id]).await.unwrap());
    }
    let done = join_all(transactions.iter().map(|txn| a.commit(txn.clone()))).await;
    let mut versions: Vec<Version> = done.into_iter().map(|done| done.unwrap().snapshot.version).collect();
    versions.dedup();
    // On one thread all of them wait before the task that commits them begins.
    assert_eq!(versions, [Version(1)]);
    let snapshot = b.snapshot(t, Consistency::Strong).await.unwrap();
    let rows = read(&b, &snapshot).await.unwrap();
    let numbered: Vec<(u64, i64)> = rows.iter().map(|row| (row.row_id, row.id)).collect();
    assert_eq!(numbered, (0..40).map(|id| (id as u64, id)).collect::<Vec<_>>());
    // Whoever did not hear the answer asks again: where the transaction is remembered, and, behind a checkpoint, where the
    // log has to be read.
    for id in 40..60 {
        a.commit(insert(&a, t, &[id]).await.unwrap()).await.unwrap();
    }
    a.settle().await;
    let late = Database::open(a.env().clone()).await.unwrap();
    for (number, txn) in transactions.iter().enumerate() {
        for database in [&a, &b, &late] {
            assert!(database.commit(txn.clone()).await.unwrap().replayed, "{number}");
        }
    }
    assert!(join_all(transactions.iter().map(|txn| a.commit(txn.clone()))).await.iter().flatten().all(|d| d.replayed));
    assert_eq!(ids(&late, t).await, (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_wrong_with_one_append_is_its_own_error() {
    let (a, _) = two().await;
    let t = table(&a, true).await;
    let mut transactions = Vec::new();
    for id in [1, 2, 3, 2, 4, 1] {
        transactions.push(insert(&a, t, &[id]).await.unwrap());
    }
    let done = join_all(transactions.into_iter().map(|txn| a.commit(txn))).await;
    let landed: Vec<bool> = done.iter().map(|done| done.is_ok()).collect();
    assert_eq!(landed, [true, true, true, false, true, false]);
    let keys: Vec<String> = done.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    assert!(keys[0].contains('2') && keys[1].contains('1'), "{keys:?}");
    assert_eq!(ids(&a, t).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn of_two_builders_of_one_index_one_lands() {
    let (a, b) = two().await;
    let t = table(&a, false).await;
    a.commit(insert(&a, t, &[1, 2]).await.unwrap()).await.unwrap();
    let build = async |database: &Database, name: &str, method: &str| {
        let mut txn = begin(database, t, "INDEX").await.unwrap();
        let segment = txn.base.segments[0].clone();
        let file = database.put_sidecar(t, segment.id, name, name.to_owned().into()).await.unwrap();
        let kind = SidecarKind::Index(method.to_owned());
        let sidecar = Sidecar { kind, columns: Vec::new(), parameters: Vec::new(), format_version: 1, file };
        let twins = segment.sidecars.iter().filter(|old| old.kind == sidecar.kind);
        txn.detach = twins.map(|old| (segment.id, old.file.clone())).collect();
        txn.attach = vec![(segment.id, sidecar)];
        txn
    };
    let (one, two) = (build(&a, "1", "x").await, build(&b, "2", "x").await);
    let other = build(&b, "3", "y").await;
    a.commit(one).await.unwrap();
    assert_eq!(b.commit(two).await.unwrap_err().kind(), ErrorKind::Conflict);
    b.commit(other).await.unwrap();
    // Built anew in the place of the first by both.
    let (four, five) = (build(&a, "4", "x").await, build(&b, "5", "x").await);
    b.commit(five).await.unwrap();
    assert_eq!(a.commit(four).await.unwrap_err().kind(), ErrorKind::Conflict);
    let snapshot = a.snapshot(t, Consistency::Strong).await.unwrap();
    let mut names: Vec<_> = snapshot.segments[0].sidecars.iter().map(|s| &s.file.path).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 2);
    assert!(names[0].ends_with("/3") && names[1].ends_with("/5"), "{names:?}");
}

#[tokio::test]
async fn segments_are_as_old_as_this_process_says() {
    let database = Database::open(memory_env()).await.unwrap();
    let t = table(&database, false).await;
    let day_ms = 24 * 3600 * 1000;
    // Named by a clock that is days behind.
    let mut txn = insert(&database, t, &[1]).await.unwrap();
    let begun_ms = txn.add[0].begun_ms;
    txn.add[0].id.0 = ulid::Ulid::from_parts(begun_ms - 3 * day_ms, 1);
    database.commit(txn).await.unwrap();
    let mut late = insert(&database, t, &[2]).await.unwrap();
    late.add[0].begun_ms -= day_ms + 60_000;
    assert_eq!(database.commit(late).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(ids(&database, t).await, [1]);
}

#[tokio::test]
async fn over_a_network_newer_versions_are_looked_for_ahead_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let copies = Arc::new(DiskCache::open(Some(directory.path()), None).unwrap());
    let env = Env { disk_cache: Some(copies), ..memory_env() };
    let (a, b) = (Database::open(env.clone()).await.unwrap(), Database::open(env).await.unwrap());
    let t = table(&a, false).await;
    let seen = async || b.snapshot(t, Consistency::Within(1_000)).await.unwrap().version;
    assert_eq!(seen().await, Version(0));
    a.commit(insert(&a, t, &[1]).await.unwrap()).await.unwrap();
    assert_eq!(seen().await, Version(0));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(seen().await, Version(0), "nobody waits for the look at the store");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(seen().await, Version(1));
}
