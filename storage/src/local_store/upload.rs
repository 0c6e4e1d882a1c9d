//! Multipart uploads: parts go into the temporary file at their offsets; completing publishes it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::errors::describe;
use super::run;
use super::write::{Temp, Writer};
use crate::disk::Disk;

/// Synced while the rest is still to come, so that completing a large file has little left to wait for.
const SYNC_BYTES: u64 = 32 << 20;

/// One upload in progress. Dropping it removes the temporary file.
#[derive(Debug)]
pub(super) struct Upload<D: Disk> {
    writer: Arc<Writer<D>>,
    /// Shared with parts in flight; `None` once completed or aborted.
    temp: Option<Arc<Temp<D>>>,
    offset: u64,
}

impl<D: Disk> Upload<D> {
    pub(super) fn new(writer: Arc<Writer<D>>, temp: Temp<D>) -> Self {
        Self { writer, temp: Some(Arc::new(temp)), offset: 0 }
    }
}

#[async_trait]
impl<D: Disk> MultipartUpload for Upload<D> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let (writer, temp) = (Arc::clone(&self.writer), self.temp.clone());
        run::<D, _>(move || match temp {
            Some(temp) => {
                writer.write_payload(&temp, offset, &data)?;
                match (offset + data.content_length() as u64) / SYNC_BYTES > offset / SYNC_BYTES {
                    true => writer.sync(&temp),
                    false => Ok(()),
                }
            }
            None => Err(describe("upload", "has ended already")),
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let temp = self.temp.take().ok_or_else(|| describe("upload", "has ended already"))?;
        let writer = Arc::clone(&self.writer);
        run::<D, _>(move || match Arc::try_unwrap(temp) {
            Ok(temp) => writer.publish(temp, false),
            Err(temp) => Err(describe(&temp.target(), "still has parts in flight")),
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let temp = self.temp.take();
        run::<D, _>(move || {
            drop(temp);
            Ok(())
        })
        .await
    }
}
