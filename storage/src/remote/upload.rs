//! A file that is uploaded in parts. Each part has its number, so it may be sent again.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error, MultipartId, MultipartUpload, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::client::Client;
use super::fault::in_one_line;
use super::store::Retry;

pub(super) struct RemoteUpload {
    client: Client,
    retry: Retry,
    path: Path,
    id: MultipartId,
    /// The parts that were begun, and what the store calls them.
    parts: Arc<Mutex<Vec<Option<PartId>>>>,
    bytes: u64,
}

impl fmt::Debug for RemoteUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteUpload").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl RemoteUpload {
    /// Begins an upload. One that was begun and whose reply got lost is left to the store's own rules.
    pub(super) async fn begin(client: &Client, retry: &Retry, path: &Path) -> Result<Self> {
        let id = retry.run(|| client.parts.create_multipart(path)).await?;
        let (client, retry, path) = (client.clone(), retry.clone(), path.clone());
        Ok(Self { client, retry, path, id, parts: Arc::default(), bytes: 0 })
    }

    /// Whether the file is there: the upload was completed, and only the reply got lost.
    async fn is_complete(&self) -> bool {
        let found = self.retry.run(|| self.client.objects.head(&self.path)).await;
        found.is_ok_and(|found| found.size == self.bytes)
    }
}

#[async_trait]
impl MultipartUpload for RemoteUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.bytes += data.content_length() as u64;
        let number = {
            let mut parts = self.parts.lock();
            parts.push(None);
            parts.len() - 1
        };
        let (client, retry, path) = (self.client.clone(), self.retry.clone(), self.path.clone());
        let (id, parts) = (self.id.clone(), Arc::clone(&self.parts));
        async move {
            let part = retry.run(|| client.parts.put_part(&path, &id, number, data.clone())).await?;
            parts.lock()[number] = Some(part);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts: Option<Vec<PartId>> = self.parts.lock().iter().cloned().collect();
        let Some(parts) = parts else {
            return Err(Error::Generic { store: "remote", source: "a part of an upload is missing".into() });
        };
        let complete = || self.client.parts.complete_multipart(&self.path, &self.id, parts.clone());
        match self.retry.run(complete).await {
            Ok(done) => Ok(done),
            // A second try finds no upload where the first one did its work. The name is nobody else's.
            Err(_) if self.is_complete().await => Ok(PutResult { e_tag: None, version: None }),
            Err(error) => Err(error),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.client.parts.abort_multipart(&self.path, &self.id).await.map_err(in_one_line)
    }
}
