//! An object store over a local directory that means it: when a put returns, the bytes and their name survive a power
//! cut.
//!
//! object_store's own `LocalFileSystem` never syncs, so an acknowledged commit could vanish. Here every put is
//!
//! ```text
//! write .volley-tmp-…   in the target's directory, so that linking never crosses file systems
//! fsync the file        before it has a name: whoever sees the name sees whole bytes
//! link (Create) or rename (Overwrite) to the target
//! fsync the directory   and, the first time this process uses it, every directory above it
//! ```
//!
//! A failed sync ends the process (see [`Disk::sync_failed`]); only a full disk found while syncing a file that has no
//! name yet is an ordinary error. Temporary files are invisible to listings and are removed at the next opening once
//! they are an hour old. Deletes are not synced: a file that comes back after a power cut is an orphan, nothing worse.

mod errors;
mod list;
mod upload;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::disk::{Content, Disk, Metadata, Opened};
use errors::{describe, invalid_range, map_error};
use write::Writer;

/// Temporary files begin with this; no object may.
pub(crate) const TEMP_PREFIX: &str = ".volley-tmp-";
/// Temporary files older than this belong to nobody.
const TEMP_AGE_MAX: Duration = Duration::from_secs(3600);

/// A durable object store rooted at a directory of a [`Disk`].
pub struct DurableStore<D: Disk> {
    writer: Arc<Writer<D>>,
}

impl<D: Disk> Clone for DurableStore<D> {
    fn clone(&self) -> Self {
        Self { writer: Arc::clone(&self.writer) }
    }
}

impl<D: Disk> fmt::Debug for DurableStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("disk", &self.writer.disk).finish()
    }
}

impl<D: Disk> fmt::Display for DurableStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durable local store")
    }
}

/// Runs work on the blocking pool where the disk blocks, in place where it is simulated.
async fn run<D: Disk, T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if D::BLOCKING { tokio::task::spawn_blocking(work).await? } else { work() }
}

/// The place of an object on the disk.
///
/// `Path` has already refused `..` and empty segments; this checks it again, because everything rests on it, and keeps
/// objects away from the names of temporary files.
fn locate(path: &Path) -> Result<PathBuf> {
    let relative = FsPath::new(path.as_ref());
    let ordinary = relative.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes()),
        _ => false,
    });
    if ordinary && !path.as_ref().is_empty() {
        Ok(relative.to_path_buf())
    } else {
        Err(describe(path.as_ref(), "is not a name that an object may have"))
    }
}

fn etag(metadata: &Metadata) -> String {
    let modified = metadata.modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("{:x}-{modified:x}-{:x}", metadata.inode, metadata.size)
}

fn object_meta(location: Path, metadata: &Metadata) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: metadata.modified.into(),
        size: metadata.size,
        e_tag: Some(etag(metadata)),
        version: None,
    }
}

/// Reads one range of an opened file.
fn read_range(opened: &Opened, range: Range<u64>, path: &Path) -> Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(|_| describe(path.as_ref(), "range is too long"))?;
    match &opened.content {
        Content::File(file, _) => {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start).map_err(|e| map_error("read", path.as_ref(), e))?;
            Ok(bytes.into())
        }
        Content::Bytes(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
    }
}

impl<D: Disk> DurableStore<D> {
    /// Opens the store: proves that the file system has hard links and syncs directories, and removes temporary files nobody owns any more.
    /// Blocks; call it off the I/O threads.
    pub fn open(disk: D) -> std::io::Result<Self> {
        let writer = Arc::new(Writer::new(disk));
        writer.probe()?;
        writer.remove_stale_temporaries(TEMP_AGE_MAX)?;
        Ok(Self { writer })
    }

    /// The disk below.
    pub fn disk(&self) -> &D {
        &self.writer.disk
    }
}

#[async_trait]
impl<D: Disk> ObjectStore for DurableStore<D> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "put with PutMode::Update".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let target = locate(location)?;
        let writer = Arc::clone(&self.writer);
        run::<D, _>(move || {
            let temp = writer.create_temp(&target)?;
            writer.write_payload(&temp, 0, &payload)?;
            writer.publish(temp, create)
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = locate(location)?;
        let writer = Arc::clone(&self.writer);
        let temp = run::<D, _>(move || writer.create_temp(&target)).await?;
        Ok(Box::new(upload::Upload::new(Arc::clone(&self.writer), temp)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let target = locate(location)?;
        let location = location.clone();
        let writer = Arc::clone(&self.writer);
        run::<D, _>(move || {
            let opened = writer.disk.open(&target).map_err(|e| map_error("open", location.as_ref(), e))?;
            let meta = object_meta(location, &opened.metadata);
            options.check_preconditions(&meta)?;
            let range = match &options.range {
                Some(range) => range.as_range(meta.size).map_err(|e| invalid_range(meta.location.as_ref(), e))?,
                None => 0..meta.size,
            };
            let payload = match opened.content {
                Content::File(file, path) => GetResultPayload::File(file, path),
                Content::Bytes(bytes) => {
                    let bytes = bytes.slice(range.start as usize..range.end as usize);
                    GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed())
                }
            };
            Ok(GetResult { payload, meta, range, attributes: Default::default() })
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let target = locate(location)?;
        let (location, ranges, writer) = (location.clone(), ranges.to_vec(), Arc::clone(&self.writer));
        run::<D, _>(move || {
            let opened = writer.disk.open(&target).map_err(|e| map_error("open", location.as_ref(), e))?;
            let size = opened.metadata.size;
            ranges
                .into_iter()
                .map(|range| {
                    let range =
                        GetRange::Bounded(range).as_range(size).map_err(|e| invalid_range(location.as_ref(), e))?;
                    read_range(&opened, range, &location)
                })
                .collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let writer = Arc::clone(&self.writer);
        locations
            .map(move |location| {
                let writer = Arc::clone(&writer);
                run::<D, _>(move || {
                    let location = location?;
                    let target = locate(&location)?;
                    writer.disk.remove_file(&target).map_err(|e| map_error("delete", location.as_ref(), e))?;
                    Ok(location)
                })
            })
            .buffered(10)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::walk(Arc::clone(&self.writer), prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        list::walk(Arc::clone(&self.writer), prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (writer, prefix) = (Arc::clone(&self.writer), prefix.cloned().unwrap_or_default());
        run::<D, _>(move || list::one_level(&writer, &prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let create = options.mode == CopyMode::Create;
        let (source, target) = (locate(from)?, locate(to)?);
        let writer = Arc::clone(&self.writer);
        run::<D, _>(move || writer.copy(&source, &target, create)).await
    }
}
