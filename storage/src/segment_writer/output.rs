//! A file being produced by the encoder: hashed, counted and, once it is larger than one part, uploaded while it grows.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::segment::FileRef;

/// Size of an uploaded part; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts that may wait for the store before the encoder waits too.
const PARTS_WAITING_MAX: usize = 2;

/// Where finished bytes go.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The table's directory.
    pub(super) table: Path,
    /// The runtime that uploads run on; `None` keeps whole files in memory, for callers that must not block.
    pub(super) uploads: Option<Handle>,
    /// The first failed upload: the encoder only sees that its channel closed.
    pub(super) failure: Arc<Mutex<Option<Error>>>,
}

impl Destination {
    /// The full path of a file of the table.
    pub(super) fn path(&self, relative: &str) -> Path {
        relative.split('/').fold(self.table.clone(), |path, part| path.join(part))
    }
}

#[derive(Debug)]
enum Message {
    Part(Bytes),
    Finish,
}

/// The bytes still to be waited for.
#[derive(Debug)]
pub(super) enum Delivery {
    /// A file of one part, not sent yet.
    Put(Path, Bytes),
    /// An upload that is about to complete.
    Upload(JoinHandle<Result<()>>),
}

impl Delivery {
    /// Returns when the file is durable.
    pub(super) async fn complete(self, store: &Arc<dyn ObjectStore>) -> Result<()> {
        match self {
            Delivery::Put(path, bytes) => {
                store.put(&path, bytes.into()).await.map(drop).map_err(|e| Error::store("write", &path, e))
            }
            Delivery::Upload(task) => {
                task.await.map_err(|e| Error::Internal { detail: format!("an upload ended abnormally: {e}") })?
            }
        }
    }
}

/// One file. Dropping it unfinished aborts its upload.
#[derive(Debug)]
pub(super) struct Output {
    destination: Destination,
    relative: String,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    length: u64,
    upload: Option<(mpsc::Sender<Message>, JoinHandle<Result<()>>)>,
}

impl Output {
    pub(super) fn new(destination: &Destination, relative: String) -> Self {
        Self {
            destination: destination.clone(),
            relative,
            buffer: Vec::new(),
            hasher: blake3::Hasher::new(),
            length: 0,
            upload: None,
        }
    }

    /// Hands the buffer to the upload, which begins with the first part.
    fn send_part(&mut self, uploads: &Handle) -> io::Result<()> {
        let part = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_BYTES)));
        self.hasher.update(&part);
        if self.upload.is_none() {
            let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
            let path = self.destination.path(&self.relative);
            let task = uploads.spawn(upload(self.destination.clone(), path, receiver));
            self.upload = Some((sender, task));
        }
        match &self.upload {
            Some((sender, _)) => {
                sender.blocking_send(Message::Part(part)).map_err(|_| io::Error::other("upload failed"))
            }
            None => Err(io::Error::other("upload did not begin")),
        }
    }

    /// Ends the file: its reference, and what remains to be waited for.
    pub(super) fn finish(mut self) -> io::Result<(FileRef, Delivery)> {
        self.hasher.update(&self.buffer);
        let file =
            FileRef { path: self.relative.clone(), length: self.length, blake3: *self.hasher.finalize().as_bytes() };
        let last = Bytes::from(std::mem::take(&mut self.buffer));
        let delivery = match self.upload.take() {
            None => Delivery::Put(self.destination.path(&self.relative), last),
            Some((sender, task)) => {
                let failed = |_| io::Error::other("upload failed");
                if !last.is_empty() {
                    sender.blocking_send(Message::Part(last)).map_err(failed)?;
                }
                sender.blocking_send(Message::Finish).map_err(failed)?;
                Delivery::Upload(task)
            }
        };
        Ok((file, delivery))
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(uploads) = self.destination.uploads.clone() else {
            self.buffer.extend_from_slice(bytes);
            self.length += bytes.len() as u64;
            return Ok(bytes.len());
        };
        let taken = bytes.len().min(PART_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.length += taken as u64;
        if self.buffer.len() >= PART_BYTES {
            self.send_part(&uploads)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Uploads parts until told to finish; a channel that closes before that means the encoder gave up.
async fn upload(destination: Destination, path: Path, mut parts: mpsc::Receiver<Message>) -> Result<()> {
    let fail = |e| {
        let error = Error::store("write", &path, e);
        let shown = Error::Internal { detail: error.to_string() };
        destination.failure.lock().get_or_insert(error);
        shown
    };
    let mut upload = destination.store.put_multipart(&path).await.map_err(fail)?;
    loop {
        match parts.recv().await {
            Some(Message::Part(part)) => {
                if let Err(error) = upload.put_part(part.into()).await {
                    let _ = upload.abort().await;
                    return Err(fail(error));
                }
            }
            Some(Message::Finish) => return upload.complete().await.map(drop).map_err(fail),
            None => {
                let _ = upload.abort().await;
                return Err(Error::Internal { detail: format!("{path} was not finished") });
            }
        }
    }
}
