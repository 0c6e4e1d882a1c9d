use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::FileCache;
use crate::env::Env;
use crate::segment::FileRef;
use crate::{Error, local_env, memory_env};

fn reference(bytes: &[u8]) -> FileRef {
    FileRef { path: "seg/x".into(), length: bytes.len() as u64, blake3: *blake3::hash(bytes).as_bytes() }
}

async fn environments(directory: &tempfile::TempDir) -> [Env; 2] {
    [local_env(directory.path()).unwrap(), memory_env()]
}

#[tokio::test]
async fn bytes_are_verified_shared_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    for env in environments(&directory).await {
        let local = env.local_root.is_some();
        let path = Path::from("tables/t/seg/x");
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        env.store.put(&path, bytes.clone().into()).await.unwrap();
        let files = FileCache::new(env);
        let file = reference(&bytes);
        let opened = futures::future::try_join_all((0..8).map(|_| files.open(&path, &file))).await.unwrap();
        assert!(opened.iter().all(|o| Arc::ptr_eq(o, &opened[0])));
        assert_eq!(opened[0].as_slice(), bytes);
        assert_eq!(opened[0].as_slice().as_ptr() as usize % 64, 0);
        let held = if local { files.mapped_bytes() } else { files.buffered_bytes() };
        assert_eq!(held, 100_000);
        drop(opened);
        assert_eq!((files.mapped_bytes(), files.buffered_bytes()), (if local { 100_000 } else { 0 }, 0));
        files.release_unused();
        assert_eq!(files.mapped_bytes(), 0);
        files.check(&path, &file).await.unwrap();
        assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), bytes);
    }
}

#[tokio::test]
async fn wrong_bytes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    for env in environments(&directory).await {
        let path = Path::from("tables/t/seg/x");
        let bytes = vec![7u8; 5000];
        env.store.put(&path, bytes.clone().into()).await.unwrap();
        let mut changed = bytes.clone();
        changed[4999] = 8;
        for file in [reference(&changed), reference(&bytes[..4999]), reference(&[bytes.clone(), vec![0]].concat())] {
            let files = FileCache::new(env.clone());
            for error in [
                files.check(&path, &file).await.unwrap_err(),
                files.recheck(&path, &file).await.unwrap_err(),
                files.open(&path, &file).await.map(drop).unwrap_err(),
            ] {
                assert!(matches!(&error, Error::Corrupted { path, .. } if path == "tables/t/seg/x"), "{error}");
            }
        }
        let missing = FileCache::new(env.clone()).open(&Path::from("none"), &reference(b"")).await.map(drop);
        assert!(missing.unwrap_err().to_string().contains("missing"));
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    for env in environments(&directory).await {
        env.store.put(&Path::from("empty"), "".into()).await.unwrap();
        assert!(FileCache::new(env).open(&Path::from("empty"), &reference(b"")).await.unwrap().as_slice().is_empty());
    }
}

#[derive(Debug, Default)]
struct ManualClock(std::sync::atomic::AtomicI64);

#[async_trait::async_trait]
impl crate::env::Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn sleep(&self, _: std::time::Duration) {}
}

#[tokio::test]
async fn mappings_are_kept_while_they_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let env = Env { clock: clock.clone(), ..local_env(directory.path()).unwrap() };
    let files = FileCache::new(env.clone());
    let paths = ["a", "b", "c"].map(Path::from);
    let file = reference(&[7; 4096]);
    for path in &paths {
        env.store.put(path, vec![7; 4096].into()).await.unwrap();
    }
    let minute = |n: i64| clock.0.store(n * 60_000, std::sync::atomic::Ordering::Relaxed);
    let opens = async |minutes: i64, index: usize| {
        minute(minutes);
        files.open(&paths[index], &file).await.map(drop).unwrap();
        files.mapped_bytes() / 4096
    };
    assert_eq!(opens(1, 0).await, 1);
    assert_eq!(opens(2, 1).await, 2);
    assert_eq!(opens(5, 0).await, 2);
    assert_eq!(opens(8, 2).await, 2, "b was not used for six minutes");
}
