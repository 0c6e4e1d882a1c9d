use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use roaring::RoaringBitmap;

use super::{Finding, files_of, segment};
use crate::deletion;
use crate::env::Env;
use crate::files::FileCache;
use crate::memory_env;
use crate::segment::{Deletes, FileRef, Segment, SidecarKind};
use crate::segment_writer::StageOptions;
use crate::segment_writer::tests::{segment_of, stage_all, wordy, wordy_batch};
use crate::snapshot::Snapshot;

const ROWS: i64 = 1300;

/// A segment with every kind of file.
async fn written(env: &Env, table: &Snapshot) -> Segment {
    let options = StageOptions { inline_bytes_max: 0, ..Default::default() };
    let staged = stage_all(env, table, vec![wordy_batch(table, 0..ROWS, 3)], options).await.unwrap();
    let mut segment = segment_of(&staged[0]);
    let bytes = deletion::encode(&RoaringBitmap::from_iter([3u32, 1299])).unwrap();
    let file =
        FileRef { path: "dv/x.vdv".into(), length: bytes.len() as u64, blake3: *blake3::hash(&bytes).as_bytes() };
    env.store.put(&full(table, &file), bytes.into()).await.unwrap();
    segment.deletes = Deletes::File { file, count: 2 };
    segment
}

fn full(table: &Snapshot, file: &FileRef) -> Path {
    Path::from(format!("tables/{}/{}", table.table, file.path))
}

async fn verify(env: &Env, table: &Snapshot, subject: &Segment) -> Vec<Finding> {
    segment(&FileCache::new(env.clone()), table.table, subject).await
}

#[tokio::test]
async fn what_was_written_is_clean() {
    let (env, table) = (memory_env(), wordy(3));
    let mut subject = written(&env, &table).await;
    assert_eq!(verify(&env, &table, &subject).await, []);
    subject.deletes = Deletes::Inline(Arc::new(RoaringBitmap::from_iter([0u32])));
    assert_eq!(verify(&env, &table, &subject).await, []);
}

#[tokio::test]
async fn any_changed_byte_of_any_file_is_found_and_named() {
    let (env, table) = (memory_env(), wordy(3));
    let subject = written(&env, &table).await;
    for file in files_of(&subject) {
        let path = full(&table, file);
        let bytes = env.store.get(&path).await.unwrap().bytes().await.unwrap();
        for at in (0..bytes.len()).step_by(bytes.len().div_ceil(13)).chain([bytes.len() - 1]) {
            let mut mutated = bytes.to_vec();
            mutated[at] ^= 0x10;
            env.store.put(&path, mutated.into()).await.unwrap();
            let findings = verify(&env, &table, &subject).await;
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].path, path.to_string());
        }
        env.store.put(&path, bytes.slice(..bytes.len() / 2).into()).await.unwrap();
        assert_eq!(verify(&env, &table, &subject).await[0].path, path.to_string());
        env.store.delete(&path).await.unwrap();
        assert!(verify(&env, &table, &subject).await[0].fault.contains("missing"));
        env.store.put(&path, bytes.into()).await.unwrap();
    }
    assert_eq!(verify(&env, &table, &subject).await, []);
}

/// A hostile or faulty writer, whose checksums are right: each file replaced by a sound one of other rows.
#[tokio::test]
async fn files_that_do_not_belong_together_are_found() {
    let (env, table) = (memory_env(), wordy(3));
    let subject = written(&env, &table).await;
    let options = StageOptions { inline_bytes_max: 0, ..Default::default() };
    for ids in [1..ROWS + 1, 0..ROWS - 1] {
        let other = stage_all(&env, &table, vec![wordy_batch(&table, ids, 3)], options).await.unwrap();
        for kind in [SidecarKind::Vectors, SidecarKind::PrimaryKey] {
            let mut mixed = subject.clone();
            let theirs = other[0].sidecars.iter().find(|s| s.kind == kind).unwrap();
            *mixed.sidecars.iter_mut().find(|s| s.kind == kind).unwrap() = theirs.clone();
            let findings = verify(&env, &table, &mixed).await;
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].path.ends_with(&theirs.file.path));
        }
        let mixed = Segment { data: other[0].data.clone(), ..subject.clone() };
        assert!(!verify(&env, &table, &mixed).await.is_empty());
    }
}

#[tokio::test]
async fn statements_of_the_log_are_checked() {
    let (env, table) = (memory_env(), wordy(3));
    let subject = written(&env, &table).await;
    let mut wrong = subject.clone();
    wrong.deletes = Deletes::Inline(Arc::new(RoaringBitmap::from_iter([ROWS as u32])));
    assert!(verify(&env, &table, &wrong).await[0].fault.contains("beyond"));
    let mut wrong = subject.clone();
    wrong.rows += 1;
    assert!(!verify(&env, &table, &wrong).await.is_empty());
    let mut wrong = subject.clone();
    wrong.stats[0].max = wrong.stats[0].min.clone();
    assert!(verify(&env, &table, &wrong).await[0].fault.contains("bounds"));
}
