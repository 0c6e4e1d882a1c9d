//! Retries, against a store that fails when it is told to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::client::Client;
use super::store::RemoteStore;
use crate::clocks::OsRng;
use crate::env::Clock;
use crate::fixtures;
use crate::store::TableStore;
use crate::{Database, Env, ErrorKind, memory_env};

/// Fails so many requests; with `afterwards`, after they were carried out.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemory,
    failures: AtomicU32,
    afterwards: bool,
    requests: AtomicU32,
    /// Whether no connection can be made.
    is_away: AtomicBool,
}

impl Flaky {
    fn failing(failures: u32, afterwards: bool) -> Arc<Self> {
        Arc::new(Self { failures: failures.into(), afterwards, ..Self::default() })
    }

    async fn request<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            let source = Box::new(HttpError::new(HttpErrorKind::Connect, refused));
            return Err(Error::Generic { store: "S3", source });
        }
        let fails =
            self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if fails && self.afterwards {
            work.await?;
        } else if !fails {
            return work.await;
        }
        Err(Error::Generic { store: "S3", source: "status code: 503 Service Unavailable: <xml>".into() })
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.request(self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.inner.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let failed = Err(Error::Generic { store: "S3", source: "connection reset".into() });
            // In the middle of it.
            return self.inner.delete_stream(paths.take(1).boxed()).chain(futures::stream::iter([failed])).boxed();
        }
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let failed = Err(Error::Generic { store: "S3", source: "connection reset".into() });
            // In the middle of it.
            return self.inner.list(prefix).take(1).chain(futures::stream::iter([failed])).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Flaky {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.request(self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        self.request(self.inner.put_part(path, id, part_idx, data)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.request(self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.inner.abort_multipart(path, id).await
    }
}

/// A clock that does not keep tests waiting.
#[derive(Debug)]
struct Impatient;

#[async_trait]
impl Clock for Impatient {
    fn now_ms(&self) -> i64 {
        0
    }

    async fn sleep(&self, _: Duration) {}
}

fn over(flaky: &Arc<Flaky>) -> RemoteStore {
    let client = Client { objects: Arc::clone(flaky) as _, parts: Arc::clone(flaky) as _ };
    RemoteStore::new(client, Arc::new(Impatient), Arc::new(OsRng))
}

#[tokio::test]
async fn reads_lists_and_overwrites_are_tried_again() {
    let path = Path::from("a");
    for afterwards in [false, true] {
        let flaky = Flaky::failing(3, afterwards);
        over(&flaky).put(&path, "one".into()).await.unwrap();
        assert_eq!(flaky.requests(), 4);
        flaky.failures.store(3, Ordering::Relaxed);
        assert_eq!(over(&flaky).get(&path).await.unwrap().bytes().await.unwrap(), "one");
        flaky.failures.store(3, Ordering::Relaxed);
        assert_eq!(over(&flaky).head(&path).await.unwrap().size, 3);
    }
    let flaky = Flaky::failing(0, false);
    for name in ["a", "b", "c"] {
        over(&flaky).put(&Path::from(name), name.into()).await.unwrap();
    }
    flaky.failures.store(2, Ordering::Relaxed);
    let listed: Vec<Result<ObjectMeta>> = over(&flaky).list(None).collect().await;
    assert_eq!(listed.into_iter().map(|meta| meta.unwrap().location.to_string()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn deletions_are_tried_again() {
    let flaky = Flaky::failing(0, false);
    let paths: Vec<Path> = (0..2_500).map(|n| Path::from(n.to_string())).collect();
    for path in &paths {
        flaky.inner.put(path, "x".into()).await.unwrap();
    }
    flaky.failures.store(3, Ordering::Relaxed);
    let wanted = futures::stream::iter(paths.clone()).map(Ok).boxed();
    let deleted: Result<Vec<Path>> = over(&flaky).delete_stream(wanted).try_collect().await;
    assert_eq!(deleted.unwrap(), paths);
    assert_eq!(over(&flaky).list(None).count().await, 0);
    flaky.failures.store(u32::MAX, Ordering::Relaxed);
    over(&flaky).delete(&paths[0]).await.unwrap_err();
}

#[tokio::test]
async fn a_create_is_sent_once() {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let flaky = Flaky::failing(1, true);
    let (store, path) = (over(&flaky), Path::from("a"));
    let error = store.put_opts(&path, "mine".into(), options.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "Generic S3 error: the store answered 503 Service Unavailable");
    assert_eq!(flaky.requests(), 1);
    let again = store.put_opts(&path, "mine".into(), options).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
}

#[tokio::test]
async fn what_will_not_get_better_is_not_tried_again() {
    let flaky = Flaky::failing(0, false);
    assert!(matches!(over(&flaky).get(&Path::from("none")).await, Err(Error::NotFound { .. })));
    assert_eq!(flaky.requests(), 1);
    let flaky = Flaky::failing(u32::MAX, false);
    over(&flaky).get(&Path::from("none")).await.map(drop).unwrap_err();
    assert!((2..10).contains(&flaky.requests()), "{}", flaky.requests());
}

#[tokio::test]
async fn parts_of_an_upload_keep_their_numbers() {
    for failures in [0, 2, 4] {
        let flaky = Flaky::failing(failures, false);
        let (store, path) = (over(&flaky), Path::from("large"));
        let mut upload = store.put_multipart(&path).await.unwrap();
        flaky.failures.store(failures, Ordering::Relaxed);
        let parts: Vec<_> = ["one ", "two ", "three"].into_iter().map(|part| upload.put_part(part.into())).collect();
        for part in parts {
            part.await.unwrap();
        }
        flaky.failures.store(failures, Ordering::Relaxed);
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one two three");
    }
}

#[tokio::test]
async fn an_upload_whose_last_reply_got_lost_is_complete() {
    let flaky = Flaky::failing(0, true);
    let (store, path) = (over(&flaky), Path::from("large"));
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part("all of it".into()).await.unwrap();
    flaky.failures.store(1, Ordering::Relaxed);
    // The second try finds no upload any more, and the file is there.
    upload.complete().await.unwrap();
    assert_eq!(store.head(&path).await.unwrap().size, 9);
}

/// A clock on which waiting takes no time, and no time limit is ever reached.
#[derive(Debug, Default)]
struct Hurried(AtomicI64);

#[async_trait]
impl Clock for Hurried {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn sleep(&self, duration: Duration) {
        if duration > Duration::from_secs(10) {
            std::future::pending::<()>().await;
        }
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_that_nothing_reaches_fails_at_once_for_all_who_commit_together() {
    let (flaky, clock) = (Flaky::failing(0, false), Arc::new(Hurried::default()));
    let env = Env { clock: Arc::clone(&clock) as _, store: Arc::new(over(&flaky)), ..memory_env() };
    let database = Database::open(env).await.unwrap();
    let table = fixtures::table(&database, false).await;
    let mut appends = Vec::new();
    for id in 0..20 {
        appends.push(fixtures::insert(&database, table, &[id]).await.unwrap());
    }
    flaky.is_away.store(true, Ordering::Relaxed);
    let began_ms = clock.now_ms();
    let outcomes = join_all(appends.into_iter().map(|append| database.commit(append))).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Io);
    }
    let waited_ms = clock.now_ms() - began_ms;
    assert!(waited_ms < 30_000, "{waited_ms} ms");
    flaky.is_away.store(false, Ordering::Relaxed);
    database.commit(fixtures::insert(&database, table, &[99]).await.unwrap()).await.unwrap();
    assert_eq!(fixtures::ids(&database, table).await, [99]);
}
