use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::probe;
use crate::{Env, memory_env};

/// How a store gets conditional creates wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It does not look at the condition.
    Ignores,
    /// It says that the name is taken, and writes.
    OverwritesAndRefuses,
    /// It looks and writes in two steps.
    Races,
    /// It has no such thing.
    Missing,
}

#[derive(Debug)]
struct Faulty(InMemory, Fault);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.1)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let blind = PutOptions::default();
        if options.mode != PutMode::Create {
            return self.0.put_opts(path, payload, options).await;
        }
        let refused = || object_store::Error::AlreadyExists { path: path.to_string(), source: "exists".into() };
        let exists = self.0.get_opts(path, GetOptions::default()).await.is_ok();
        match self.1 {
            Fault::Ignores => self.0.put_opts(path, payload, blind).await,
            Fault::OverwritesAndRefuses => {
                let written = self.0.put_opts(path, payload, blind).await?;
                if exists { Err(refused()) } else { Ok(written) }
            }
            Fault::Races => {
                tokio::task::yield_now().await;
                if exists { Err(refused()) } else { self.0.put_opts(path, payload, blind).await }
            }
            Fault::Missing => Err(object_store::Error::NotSupported { source: "no conditional puts".into() }),
        }
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_sound_store_passes_and_is_left_as_it_was() {
    let env = memory_env();
    probe(&env).await.unwrap();
    assert_eq!(env.store.list(None).count().await, 0);
}

#[tokio::test]
async fn each_fault_is_found() {
    for fault in [Fault::Ignores, Fault::OverwritesAndRefuses, Fault::Races, Fault::Missing] {
        let env = Env { store: Arc::new(Faulty(InMemory::new(), fault)), ..memory_env() };
        let error = probe(&env).await.expect_err(&format!("{fault:?}"));
        assert!(error.to_string().starts_with("this store cannot hold Volley's data"), "{fault:?}: {error}");
    }
}
