//! The segments of a set as an object store, read from copies on this machine.
//!
//! Over a network the stock Parquet reader would ask for each page of each column, in every query anew, and nobody would check
//! those bytes. Here the whole file is fetched once, verified, kept and mapped, and what the reader asks for is a slice of that.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use volley_storage::segment::SegmentData;
use volley_storage::store::FileBytes;

use crate::segment_set::SegmentSet;

/// Reads the data of a set's segments from their copies; everything else is the store's.
#[derive(Debug)]
pub(super) struct SegmentCopies {
    set: Arc<SegmentSet>,
    store: Arc<dyn ObjectStore>,
}

impl SegmentCopies {
    /// `store` itself, or a view of it through copies where it is behind a network.
    pub(super) fn over(set: &Arc<SegmentSet>, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        match set.storage().is_remote() {
            true => Arc::new(Self { set: Arc::clone(set), store }),
            false => store,
        }
    }

    async fn file(&self, path: &Path) -> Result<Bytes> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "copies", source };
        let segment = self.set.by_path(path).map_err(|error| failed(Box::new(error)))?;
        let SegmentData::File(file) = &segment.segment.data else {
            return Err(failed("rows inside a commit have no file".into()));
        };
        let opened = self.set.storage().open(self.set.table(), file).await;
        Ok(Bytes::from_owner(Owner(opened.map_err(|error| failed(Box::new(error)))?)))
    }
}

/// A mapped file for as long as a slice of it is used.
struct Owner(Arc<dyn FileBytes>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Result<Bytes> {
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    match (start, end) {
        (Ok(start), Ok(end)) if start <= end && end <= bytes.len() => Ok(bytes.slice(start..end)),
        _ => {
            let source = format!("bytes {range:?} of a file of {} bytes", bytes.len()).into();
            Err(Error::Generic { store: "copies", source })
        }
    }
}

impl fmt::Display for SegmentCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copies of {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for SegmentCopies {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let bytes = self.file(location).await?;
        let size = bytes.len() as u64;
        let range = match &options.range {
            Some(range) => {
                range.as_range(size).map_err(|source| Error::Generic { store: "copies", source: Box::new(source) })?
            }
            None => 0..size,
        };
        let part = slice(&bytes, &range)?;
        // A segment's path never gets other bytes, so that it has no time of change.
        let last_modified = std::time::UNIX_EPOCH.into();
        let meta = ObjectMeta { location: location.clone(), last_modified, size, e_tag: None, version: None };
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(part) }).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = self.file(location).await?;
        ranges.iter().map(|range| slice(&bytes, range)).collect()
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}
