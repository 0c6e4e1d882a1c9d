//! Two runtimes: one for the CPU work of queries, one for I/O, so that neither waits behind the other.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that serve I/O: they wait, they do not compute.
const IO_THREADS: usize = 2;
/// Stack of a CPU thread: address space only, until a statement nests deeply.
const CPU_STACK_BYTES: usize = 32 << 20;

/// The engine's runtimes. Dropping them stops their threads without waiting.
#[derive(Debug)]
pub struct Runtimes {
    cpu: Option<Runtime>,
    io: Option<Runtime>,
    cpu_threads: usize,
}

impl Runtimes {
    /// Starts the runtimes; `threads` CPU threads, one per core when `None`.
    pub fn start(threads: Option<usize>) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let cpu_threads = threads.unwrap_or(cores).max(1);
        let cpu = Builder::new_multi_thread()
            .worker_threads(cpu_threads)
            .thread_name("volley-cpu")
            // Planning recurses over expressions and plans; the parser's limits are set for stacks of this size.
            .thread_stack_size(CPU_STACK_BYTES)
            .enable_all()
            .build()?;
        let io =
            Builder::new_multi_thread().worker_threads(IO_THREADS).thread_name("volley-io").enable_all().build()?;
        Ok(Self { cpu: Some(cpu), io: Some(io), cpu_threads })
    }

    /// Where queries compute.
    pub fn cpu(&self) -> Handle {
        handle(&self.cpu)
    }

    /// Where bytes are waited for.
    pub fn io(&self) -> Handle {
        handle(&self.io)
    }

    /// CPU threads.
    pub fn cpu_threads(&self) -> usize {
        self.cpu_threads
    }
}

fn handle(runtime: &Option<Runtime>) -> Handle {
    match runtime {
        Some(runtime) => runtime.handle().clone(),
        // Only `drop` takes the runtimes out.
        None => unreachable!("the runtimes live as long as the engine"),
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        // A runtime may be dropped inside async code only if it does not wait for its threads.
        for runtime in [self.cpu.take(), self.io.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// An object store whose operations run on the I/O runtime, whoever calls them.
///
/// Those of a directory block a thread each and are done by its caller's runtime: a detour through another one would take
/// longer than they do. Uploads are not, because their parts are waited for by threads of the caller's runtime, which could be
/// all that it has.
pub struct IoStore {
    inner: Arc<dyn ObjectStore>,
    io: Handle,
    is_directory: bool,
}

impl IoStore {
    /// Wraps a store, which may be one over a local directory.
    pub fn new(inner: Arc<dyn ObjectStore>, io: Handle, is_directory: bool) -> Self {
        Self { inner, io, is_directory }
    }

    async fn run<T, F, Fut>(&self, operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn ObjectStore>) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let operation = operation(Arc::clone(&self.inner));
        match self.is_directory {
            true => operation.await,
            false => join(self.io.spawn(operation)).await,
        }
    }
}

impl fmt::Debug for IoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoStore({:?})", self.inner)
    }
}

impl fmt::Display for IoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for IoStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let location = location.clone();
        self.run(move |s| async move { s.put_opts(&location, payload, options).await }).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let location = location.clone();
        let inner = Arc::clone(&self.inner);
        let upload = join(self.io.spawn(async move { inner.put_multipart_opts(&location, options).await })).await?;
        Ok(Box::new(IoUpload { inner: Arc::new(tokio::sync::Mutex::new(upload)), io: self.io.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let location = location.clone();
        self.run(move |s| async move { s.get_opts(&location, options).await }).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.run(move |s| async move { s.get_ranges(&location, &ranges).await }).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.is_directory {
            true => self.inner.delete_stream(locations),
            false => handed_over(&self.io, self.inner.delete_stream(locations)),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        handed_over(&self.io, self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.run(move |s| async move { s.list_with_delimiter(prefix.as_ref()).await }).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |s| async move { s.copy_opts(&from, &to, options).await }).await
    }
}

/// An upload whose parts are written on the I/O runtime.
#[derive(Debug)]
struct IoUpload {
    inner: Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>,
    io: Handle,
}

#[async_trait]
impl MultipartUpload for IoUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (inner, io) = (Arc::clone(&self.inner), self.io.clone());
        // Parts are numbered in the order of these calls, so each starts at once; nobody else holds the lock for long.
        let part = match inner.try_lock() {
            Ok(mut upload) => upload.put_part(data),
            Err(_) => {
                return async {
                    Err(object_store::Error::Generic { store: "io runtime", source: "upload in use".into() })
                }
                .boxed();
            }
        };
        async move {
            io.spawn(part).await.unwrap_or_else(|source| {
                Err(object_store::Error::Generic { store: "io runtime", source: Box::new(source) })
            })
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let inner = Arc::clone(&self.inner);
        join(self.io.spawn(async move { inner.lock().await.complete().await })).await
    }

    async fn abort(&mut self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        join(self.io.spawn(async move { inner.lock().await.abort().await })).await
    }
}

/// A stream that is pulled on the I/O runtime and handed over through a channel.
fn handed_over<T: Send + 'static>(io: &Handle, mut stream: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    io.spawn(async move {
        while let Some(item) = stream.next().await {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

async fn join<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    task.await
        .unwrap_or_else(|source| Err(object_store::Error::Generic { store: "io runtime", source: Box::new(source) }))
}
