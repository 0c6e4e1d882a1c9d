use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::join_all;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::DiskCache;
use crate::files::FileCache;
use crate::segment::FileRef;
use crate::{Env, Error, ErrorKind, memory_env};

/// A store that counts what is fetched from it.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    fetched: AtomicU64,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(path, options).await?;
        self.fetched.fetch_add(found.range.end - found.range.start, Ordering::Relaxed);
        Ok(found)
    }

    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store and a directory that any number of processes open.
struct Fixture {
    store: Arc<Counting>,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { store: Arc::default(), directory: tempfile::tempdir().unwrap() }
    }

    /// Another process, so to speak.
    fn process(&self, bytes_max: u64) -> (FileCache, Arc<DiskCache>) {
        let copies = Arc::new(DiskCache::open(Some(&self.directory.path().join("copies")), Some(bytes_max)).unwrap());
        let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        (FileCache::new(Env { store, disk_cache: Some(Arc::clone(&copies)), ..memory_env() }), copies)
    }

    /// Puts a file of these bytes and says what the log would say of it.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> (Path, FileRef) {
        let (path, blake3) = (Path::from(name), *blake3::hash(&bytes).as_bytes());
        let file = FileRef { path: name.into(), length: bytes.len() as u64, blake3 };
        self.store.put(&path, bytes.into()).await.unwrap();
        (path, file)
    }

    fn fetched(&self) -> u64 {
        self.store.fetched.swap(0, Ordering::Relaxed)
    }

    fn copy_of(&self, file: &FileRef) -> PathBuf {
        let name = blake3::Hash::from_bytes(file.blake3).to_hex().to_string();
        self.directory.path().join("copies").join(&name[..2]).join(name)
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn a_file_is_fetched_once_however_many_ask_and_stays() {
    let fixture = Fixture::new();
    let bytes = noise(1, (9 << 20) + 17);
    let (path, file) = fixture.put("tables/t/seg/a", bytes.clone()).await;
    let (files, copies) = fixture.process(1 << 30);
    let opened = join_all((0..8).map(|_| files.open(&path, &file))).await;
    assert!(opened.iter().all(|opened| opened.as_ref().unwrap().as_slice() == bytes));
    assert_eq!(fixture.fetched(), file.length);
    assert_eq!((files.mapped_bytes(), files.buffered_bytes()), (file.length, 0));
    files.release_unused();
    drop(opened);
    files.check(&path, &file).await.unwrap();
    // Another process finds it too.
    let (others, _) = fixture.process(1 << 30);
    assert_eq!(others.open(&path, &file).await.unwrap().as_slice(), bytes);
    assert_eq!(fixture.fetched(), 0);
    let listed = copies.files();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].path.as_deref(), listed[0].bytes), (Some("tables/t/seg/a"), file.length));
    assert!(listed[0].hits >= 8, "{listed:?}");
    // What is checked on purpose is the store's own file.
    files.recheck(&path, &file).await.unwrap();
    assert_eq!(fixture.fetched(), file.length);
}

#[tokio::test]
async fn a_fetch_that_was_begun_comes_to_its_end() {
    let fixture = Fixture::new();
    let (path, file) = fixture.put("x", noise(6, 20 << 20)).await;
    let (files, copies) = fixture.process(1 << 30);
    // Whoever waits gives up each time as soon as it has begun.
    for _ in 0..100 {
        let asked = tokio::time::timeout(Duration::from_millis(1), files.open(&path, &file)).await;
        if asked.is_ok() {
            break;
        }
    }
    while copies.totals().files == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), noise(6, 20 << 20));
    assert_eq!(fixture.fetched(), file.length, "fetched once although nobody waited to the end");
}

#[tokio::test]
async fn wrong_bytes_never_get_a_name() {
    let fixture = Fixture::new();
    let (path, file) = fixture.put("x", noise(2, 5000)).await;
    let mut changed = noise(2, 5000);
    changed[4999] ^= 1;
    for stored in [changed, noise(2, 4999), noise(2, 5001), Vec::new()] {
        fixture.store.put(&path, stored.into()).await.unwrap();
        let (files, copies) = fixture.process(1 << 30);
        let error = files.open(&path, &file).await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Corrupted { path, .. } if path == "x"), "{error}");
        assert_eq!(copies.totals().files, 0);
    }
    fixture.store.delete(&path).await.unwrap();
    let error = fixture.process(1 << 30).0.open(&path, &file).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let left = std::fs::read_dir(fixture.directory.path().join("copies")).unwrap().flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("tmp-")));
}

#[tokio::test]
async fn a_damaged_copy_is_noticed_and_fetched_again() {
    let fixture = Fixture::new();
    let (path, file) = fixture.put("x", noise(3, 100_000)).await;
    fixture.process(1 << 30).0.check(&path, &file).await.unwrap();
    let mut damaged = noise(3, 100_000);
    damaged[50_000] ^= 1;
    for copy in [damaged, noise(3, 99_999), Vec::new()] {
        // A new file under the name, as a disk that lost blocks would have it; nobody writes into one that is mapped.
        std::fs::remove_file(fixture.copy_of(&file)).unwrap();
        std::fs::write(fixture.copy_of(&file), copy).unwrap();
        fixture.fetched();
        let (files, _) = fixture.process(1 << 30);
        assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), noise(3, 100_000));
        assert_eq!(fixture.fetched(), file.length);
    }
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first_and_mappings_outlive_it() {
    let fixture = Fixture::new();
    let (files, copies) = fixture.process(250_000);
    let mut known = Vec::new();
    for seed in 0..2 {
        known.push(fixture.put(&seed.to_string(), noise(seed, 100_000)).await);
    }
    let held = files.open(&known[0].0, &known[0].1).await.unwrap();
    files.check(&known[1].0, &known[1].1).await.unwrap();
    // Used in this order, long ago.
    for (age_s, at) in [(500, 1), (1_000, 0)] {
        let copy = std::fs::File::options().write(true).open(fixture.copy_of(&known[at].1)).unwrap();
        copy.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
    }
    let (path, file) = fixture.put("new", noise(9, 100_000)).await;
    files.check(&path, &file).await.unwrap();
    let names: Vec<Option<String>> = copies.files().into_iter().map(|file| file.path).collect();
    assert_eq!(names, [Some("new".to_owned()), Some("1".to_owned())]);
    assert_eq!(held.as_slice(), noise(0, 100_000));
    assert!(copies.totals().bytes <= copies.bytes_max());
}

#[tokio::test]
async fn what_has_no_room_is_held_in_memory() {
    let fixture = Fixture::new();
    let bytes = noise(4, 100_000);
    let (path, file) = fixture.put("x", bytes.clone()).await;
    // Larger than the whole cache, or a cache whose directory has gone.
    let (small, _) = fixture.process(99_999);
    let (gone, _) = fixture.process(1 << 30);
    for files in [small, gone] {
        assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), bytes);
        std::fs::remove_dir_all(fixture.directory.path().join("copies")).unwrap_or_default();
    }
    let (none, copies) = fixture.process(0);
    let opened = none.open(&path, &file).await.unwrap();
    assert_eq!((opened.as_slice(), none.buffered_bytes()), (&bytes[..], file.length));
    assert_eq!(copies.totals().files, 0);
}

#[tokio::test]
async fn empty_files_and_files_of_whole_ranges() {
    let fixture = Fixture::new();
    let (files, _) = fixture.process(1 << 30);
    for length in [0, 1, 4 << 20, 8 << 20] {
        let (path, file) = fixture.put(&length.to_string(), noise(5, length)).await;
        assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), noise(5, length));
    }
}

#[test]
fn anothers_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = DiskCache::open(Some(&file.join("copies")), None).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("the cache directory"), "{error}");
    let shared = directory.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    for (mode, is_refused) in [(0o777, true), (0o720, true), (0o755, false)] {
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(DiskCache::open(Some(&shared), Some(0)).is_err(), is_refused, "{mode:o}");
    }
}

#[tokio::test]
async fn those_who_wait_for_a_fetch_that_fails_share_its_failure() {
    let fixture = Fixture::new();
    let (path, file) = fixture.put("x", noise(6, 100_000)).await;
    fixture.store.put(&path, noise(7, 100_000).into()).await.unwrap();
    let (files, copies) = fixture.process(1 << 30);
    let opened = join_all((0..8).map(|_| files.open(&path, &file))).await;
    assert!(opened.iter().all(|opened| matches!(opened, Err(Error::Corrupted { .. }))), "{opened:?}");
    assert_eq!((fixture.fetched(), copies.totals().misses), (file.length, 1));
    // Who asks afterwards tries again.
    fixture.store.put(&path, noise(6, 100_000).into()).await.unwrap();
    assert_eq!(files.open(&path, &file).await.unwrap().as_slice(), noise(6, 100_000));
}

#[tokio::test]
async fn memory_for_what_has_no_room_is_bounded() {
    let fixture = Fixture::new();
    let (path, file) = fixture.put("x", noise(8, 1000)).await;
    let (none, copies) = fixture.process(0);
    let all = copies.memory.available_permits();
    let opened = none.open(&path, &file).await.unwrap();
    let rest = copies.memory.clone().try_acquire_many_owned(u32::try_from(all - 1).unwrap()).unwrap();
    let (path, file) = fixture.put("y", noise(9, 1000)).await;
    let error = none.open(&path, &file).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert!(error.to_string().contains("free space"), "{error}");
    drop(opened);
    none.open(&path, &file).await.unwrap();
    drop(rest);
    assert_eq!(copies.memory.available_permits(), all);
}
