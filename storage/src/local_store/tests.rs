//! The store's promises, on a real directory and on the simulated disk.

use std::path::Path as FsPath;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::{DurableStore, TEMP_PREFIX};
use crate::disk::sim::{PowerCut, Sabotage};
use crate::disk::{Disk, RealDisk, SimDisk};

async fn create(store: &dyn ObjectStore, path: &str, bytes: &'static [u8]) -> object_store::Result<()> {
    let options = PutOptions::from(PutMode::Create);
    store.put_opts(&Path::from(path), Bytes::from_static(bytes).into(), options).await.map(drop)
}

async fn get(store: &dyn ObjectStore, path: &str) -> object_store::Result<Bytes> {
    store.get(&Path::from(path)).await?.bytes().await
}

async fn names(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let prefix = Path::from(prefix);
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
    let mut names: Vec<String> = listed.into_iter().map(|m| m.location.to_string()).collect();
    names.sort();
    names
}

/// What every object store does.
async fn behaves(store: &dyn ObjectStore) {
    create(store, "a/b/one", b"first").await.unwrap();
    assert!(matches!(create(store, "a/b/one", b"second").await, Err(Error::AlreadyExists { .. })));
    assert_eq!(get(store, "a/b/one").await.unwrap(), "first");
    store.put(&Path::from("a/b/one"), Bytes::from_static(b"third").into()).await.unwrap();
    assert_eq!(get(store, "a/b/one").await.unwrap(), "third");
    assert!(matches!(get(store, "a/b/none").await, Err(Error::NotFound { .. })));
    assert!(matches!(get(store, "a/b").await, Err(Error::NotFound { .. })), "a directory is no object");
    assert!(matches!(get(store, "a/b/one/more").await, Err(Error::NotFound { .. })));

    let path = Path::from("a/b/one");
    assert_eq!(store.get_range(&path, 1..3).await.unwrap(), "hi");
    assert_eq!(store.get_range(&path, 3..100).await.unwrap(), "rd");
    assert!(store.get_range(&path, 5..6).await.is_err());
    assert_eq!(store.get_ranges(&path, &[0..1, 4..5]).await.unwrap(), ["t", "d"]);
    let suffix = GetOptions { range: Some(GetRange::Suffix(2)), ..Default::default() };
    assert_eq!(store.get_opts(&path, suffix).await.unwrap().bytes().await.unwrap(), "rd");
    let head = store.head(&path).await.unwrap();
    assert_eq!((head.size, head.location), (5, path.clone()));

    let mut upload = store.put_multipart(&Path::from("a/big")).await.unwrap();
    let parts = [vec![1u8; 1000], vec![2; 500], vec![3; 1]];
    let sent: Vec<_> = parts.iter().map(|p| upload.put_part(p.clone().into())).collect();
    futures::future::try_join_all(sent).await.unwrap();
    assert!(get(store, "a/big").await.is_err(), "invisible until complete");
    upload.complete().await.unwrap();
    assert_eq!(get(store, "a/big").await.unwrap(), parts.concat());
    let mut upload = store.put_multipart(&Path::from("a/never")).await.unwrap();
    upload.put_part(vec![1; 10].into()).await.unwrap();
    upload.abort().await.unwrap();
    drop(store.put_multipart(&Path::from("a/dropped")).await.unwrap());

    store.copy(&path, &Path::from("c/copy")).await.unwrap();
    store.copy(&path, &Path::from("c/copy")).await.unwrap();
    assert!(matches!(store.copy_if_not_exists(&path, &Path::from("c/copy")).await, Err(Error::AlreadyExists { .. })));
    store.put(&path, Bytes::from_static(b"changed").into()).await.unwrap();
    assert_eq!(get(store, "c/copy").await.unwrap(), "third", "a copy does not follow its source");

    assert_eq!(names(store, "").await, ["a/b/one", "a/big", "c/copy"]);
    assert_eq!(names(store, "a").await, ["a/b/one", "a/big"]);
    assert!(names(store, "nothing/here").await.is_empty());
    let level = store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
    assert_eq!(level.common_prefixes, [Path::from("a/b")]);
    assert_eq!(level.objects.len(), 1);
    let after: Vec<_> = store.list_with_offset(None, &Path::from("a/big")).try_collect().await.unwrap();
    assert_eq!(after.len(), 1);

    store.delete(&path).await.unwrap();
    assert!(matches!(store.delete(&path).await, Err(Error::NotFound { .. })));
    assert_eq!(names(store, "").await, ["a/big", "c/copy"]);
    assert!(create(store, &format!("a/{TEMP_PREFIX}x"), b"").await.is_err(), "hidden names are refused");
    let update = PutMode::Update(object_store::UpdateVersion { e_tag: None, version: None });
    assert!(store.put_opts(&path, "".into(), update.into()).await.is_err());
    create(store, "odd/ü %20 #1", b"x").await.unwrap();
    create(store, "odd/name#1", b"x").await.unwrap();
    assert_eq!(names(store, "odd").await.len(), 2, "every name that can be written is listed");
}

#[tokio::test]
async fn a_directory_behaves_as_an_object_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableStore::open(RealDisk::open(directory.path()).unwrap()).unwrap();
    behaves(&store).await;
    let hidden = std::fs::read_dir(directory.path().join("a")).unwrap();
    let left: Vec<_> =
        hidden.map(|e| e.unwrap().file_name()).filter(|n| n.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "temporary files remain: {left:?}");
}

#[tokio::test]
async fn a_simulated_disk_behaves_as_an_object_store() {
    behaves(&DurableStore::open(SimDisk::new()).unwrap()).await;
}

#[tokio::test]
async fn of_many_creators_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableStore::open(RealDisk::open(directory.path()).unwrap()).unwrap();
    for slot in 0..20 {
        let path = Path::from(format!("log/{slot}"));
        let tries = (0..8u8).map(|writer| {
            let (store, path) = (store.clone(), path.clone());
            async move {
                let put = store.put_opts(&path, vec![writer; 100].into(), PutMode::Create.into()).await;
                put.is_ok().then_some(writer)
            }
        });
        let winners: Vec<u8> = futures::future::join_all(tries).await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), vec![winners[0]; 100]);
    }
}

#[tokio::test]
async fn symbolic_links_are_not_written_through() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("link")).unwrap();
    let store = DurableStore::open(RealDisk::open(directory.path()).unwrap()).unwrap();
    assert!(create(&store, "link/file", b"x").await.is_err());
    std::fs::create_dir(directory.path().join("plain")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("f"), directory.path().join("plain/f")).unwrap();
    store.put(&Path::from("plain/f"), "x".into()).await.unwrap();
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_removed_directory_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = DurableStore::open(RealDisk::open(directory.path()).unwrap()).unwrap();
    create(&store, "a/b/c", b"x").await.unwrap();
    std::fs::remove_dir_all(directory.path().join("a")).unwrap();
    create(&store, "a/b/c", b"y").await.unwrap();
    assert_eq!(get(&store, "a/b/c").await.unwrap(), "y");
}

#[tokio::test]
async fn old_temporary_files_are_removed_at_opening() {
    let disk = SimDisk::new();
    let store = DurableStore::open(disk.clone()).unwrap();
    create(&store, "a/x", b"x").await.unwrap();
    let old = format!("a/{TEMP_PREFIX}old");
    drop(disk.create_new(FsPath::new(&old)).unwrap());
    disk.advance(Duration::from_secs(1800));
    let young = format!("a/{TEMP_PREFIX}young");
    drop(disk.create_new(FsPath::new(&young)).unwrap());
    disk.advance(Duration::from_secs(1900));
    let store = DurableStore::open(disk.clone()).unwrap();
    assert!(disk.metadata(FsPath::new(&old)).is_err());
    assert!(disk.metadata(FsPath::new(&young)).is_ok(), "another process may be writing it");
    assert_eq!(names(&store, "").await, ["a/x"]);
}

#[test]
fn a_disk_that_cannot_keep_promises_is_refused() {
    let disk = SimDisk::new();
    disk.sabotage(Sabotage { no_hard_links: true, ..Default::default() });
    assert!(DurableStore::open(disk).unwrap_err().to_string().contains("hard links"));
    let disk = SimDisk::new();
    disk.sabotage(Sabotage { fail_dir_syncs: true, ..Default::default() });
    assert!(DurableStore::open(disk.clone()).unwrap_err().to_string().contains("sync directories"));
    assert!(!disk.is_off(), "an error, not the end of the process");
}

#[tokio::test]
async fn a_full_disk_is_recognised_and_leaves_nothing() {
    let disk = SimDisk::new();
    let store = DurableStore::open(disk.clone()).unwrap();
    create(&store, "small", b"12345").await.unwrap();
    disk.set_capacity(10);
    let path = Path::from("large");
    let error = store.put(&path, vec![0; 100].into()).await.unwrap_err();
    assert!(matches!(crate::Error::store("write", &path, error), crate::Error::DiskFull { .. }));
    assert_eq!(names(&store, "").await, ["small"]);
    create(&store, "fits", b"12345").await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_ends_everything() {
    for sabotage in [
        Sabotage { fail_file_syncs: true, ..Default::default() },
        Sabotage { fail_dir_syncs: true, ..Default::default() },
    ] {
        let disk = SimDisk::new();
        let store = DurableStore::open(disk.clone()).unwrap();
        create(&store, "before", b"x").await.unwrap();
        disk.sabotage(sabotage);
        assert!(create(&store, "after", b"x").await.is_err());
        assert_eq!(disk.sync_failures(), 1);
        assert!(get(&store, "before").await.is_err(), "the process is gone");
    }
}

/// Writes until the power goes; returns what was acknowledged.
async fn write_until_dark(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let Ok(store) = DurableStore::open(disk.clone()) else { return Vec::new() };
    let mut acknowledged = Vec::new();
    for n in 0..30u8 {
        let (path, bytes) = (format!("t{}/{}/{n}", n % 3, n % 5), vec![n; 700 + n as usize * 40]);
        let done = if n % 2 == 0 {
            store.put_opts(&Path::from(path.as_str()), bytes.clone().into(), PutMode::Create.into()).await.is_ok()
        } else if let Ok(mut upload) = store.put_multipart(&Path::from(path.as_str())).await {
            upload.put_part(bytes.clone().into()).await.is_ok() && upload.complete().await.is_ok()
        } else {
            false
        };
        if done {
            acknowledged.push((path, bytes));
        }
    }
    acknowledged
}

/// How many acknowledged objects a power cut after each possible change loses or tears.
async fn losses(sabotage: Sabotage) -> usize {
    let mut lost = 0;
    for cut_after in (0..400).step_by(3) {
        for cut in [PowerCut::DropAll, PowerCut::Random(cut_after)] {
            let disk = SimDisk::new();
            disk.sabotage(sabotage);
            disk.cut_after(cut_after);
            let acknowledged = write_until_dark(&disk).await;
            let store = DurableStore::open(disk.power_cut(cut)).unwrap();
            for (path, bytes) in &acknowledged {
                lost += usize::from(get(&store, path).await.ok().as_deref() != Some(bytes.as_slice()));
            }
            // Whatever else is visible must be whole: a torn object with a name would be believed.
            for path in names(&store, "").await {
                let bytes = get(&store, &path).await.unwrap();
                let n: u8 = path.rsplit('/').next().unwrap().parse().unwrap();
                lost += usize::from(bytes != vec![n; 700 + n as usize * 40]);
            }
        }
    }
    lost
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_a_power_cut() {
    assert_eq!(losses(Sabotage::default()).await, 0);
}

#[tokio::test]
async fn a_missing_sync_is_found() {
    assert!(losses(Sabotage { ignore_file_syncs: true, ..Default::default() }).await > 0);
    assert!(losses(Sabotage { ignore_dir_syncs: true, ..Default::default() }).await > 0);
}
