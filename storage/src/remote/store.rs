//! Retries around a store's client, where a second try does no harm: reads, listings, and files whose names nobody else
//! has. A conditional create is sent once; what became of it is for the commit protocol to find out.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, TryChunksError};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::client::Client;
use super::fault::{in_one_line, is_transient, silent};
use super::upload::RemoteUpload;
use crate::env::{Clock, Rng};

/// How often a request is tried.
const TRIES: u32 = 6;
/// No try begins later than this after the first.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the beginning of an answer may take, whatever its length; the client's own timeout is for all of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What is written in no time, so that its answer is due as soon as that to a read.
const SHORT_BYTES_MAX: usize = 1 << 20;
/// Answers of up to so many bytes are read within the try, so that a connection that breaks costs only another one.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Files that are deleted in one try; S3 takes so many in one request.
const DELETED_AT_ONCE: usize = 1000;

/// A store behind a network.
#[derive(Clone)]
pub(super) struct RemoteStore {
    client: Client,
    pub(super) retry: Retry,
}

/// When to try again.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Retry {
    /// Tries until it goes well, fails for good, or has taken too long.
    pub(super) async fn run<T, Fut>(&self, request: impl Fn() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match request().await {
                Ok(done) => return Ok(done),
                Err(error) => in_one_line(error),
            };
            if !is_transient(&error) || attempt >= TRIES || began.elapsed() > PATIENCE {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "a request to the store is tried again");
            // Doubling from 50 ms, half of it at random, so that those who failed together do not come back together.
            let full_ms = 50u64 << attempt;
            let jitter_ms = (self.rng.random_u128() % u128::from(full_ms / 2 + 1)) as u64;
            self.clock.sleep(Duration::from_millis(full_ms / 2 + jitter_ms)).await;
        }
    }
}

impl RemoteStore {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { client, retry: Retry { clock, rng } }
    }

    async fn put_once(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_short = payload.content_length() <= SHORT_BYTES_MAX;
        let put = self.client.objects.put_opts(location, payload, options);
        match is_short {
            true => tokio::time::timeout(ANSWER_TIMEOUT, put).await.map_err(|_| silent())?,
            false => put.await,
        }
    }

    /// Deletes files. One that is gone already is no error: the try before may have deleted it.
    async fn delete_all(&self, paths: Vec<Path>) -> Result<Vec<Path>> {
        let delete = || async {
            let wanted = stream::iter(paths.clone()).map(Ok).boxed();
            let mut deleted = self.client.objects.delete_stream(wanted);
            while let Some(reply) = deleted.next().await {
                match reply {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        self.retry.run(delete).await?;
        Ok(paths)
    }

    async fn get_once(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let asked = self.client.objects.get_opts(location, options);
        let found = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| silent())??;
        let Range { start, end } = found.range;
        if is_head || end - start > WHOLE_BYTES_MAX {
            return Ok(found);
        }
        let GetResult { meta, range, attributes, .. } = &found;
        let (meta, range, attributes) = (meta.clone(), range.clone(), attributes.clone());
        let bytes: Bytes = found.bytes().await?;
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own would show how it signs its requests.
        write!(f, "RemoteStore({})", self.client.objects)
    }
}

impl fmt::Display for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.client.objects)
    }
}

#[async_trait]
impl ObjectStore for RemoteStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Overwrite {
            return self.put_once(location, payload, options).await.map_err(in_one_line);
        }
        self.retry.run(|| self.put_once(location, payload.clone(), options.clone())).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = RemoteUpload::begin(&self.client, &self.retry, location).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.retry.run(|| self.get_once(location, options.clone())).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let chunks = locations.try_chunks(DELETED_AT_ONCE).map_err(|TryChunksError(_, error)| error);
        let deleted = chunks.and_then(move |paths| {
            let store = store.clone();
            async move { store.delete_all(paths).await }
        });
        deleted.map_ok(|paths| stream::iter(paths.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        // A page that fails takes those before it with it: whoever lists wants all or an error.
        async move {
            let listed = store.retry.run(|| store.client.objects.list(prefix.as_ref()).try_collect::<Vec<_>>()).await;
            stream::iter(match listed {
                Ok(found) => found.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        }
        .flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.retry.run(|| self.client.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.client.objects.copy_opts(from, to, options).await.map_err(in_one_line)
    }
}
