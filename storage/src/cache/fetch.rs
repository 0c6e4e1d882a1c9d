//! A file's bytes out of the store: in ranges, several on the way at once, hashed in their order.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use futures::stream::{self, Stream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::blocking;
use super::directory::Partial;
use crate::error::{Error, Result};
use crate::files::{check_length, corrupted};
use crate::segment::FileRef;

/// Bytes asked for at once.
const RANGE_BYTES: u64 = 4 << 20;
/// Ranges on the way at the same time: one connection to an object store brings far less than a network can.
const RANGES_AT_ONCE: usize = 4;

/// Fetches a file into its place; the inner error is the disk's. The bytes are those that they should be, or it fails.
pub(super) async fn into_file(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    file: &FileRef,
    partial: Partial,
) -> Result<io::Result<Partial>> {
    let (mut partial, mut hasher, mut offset) = (partial, blake3::Hasher::new(), 0);
    let mut ranges = ranges(store, path, file);
    while let Some(bytes) = ranges.try_next().await? {
        let length = bytes.len() as u64;
        let written = blocking(move || {
            hasher.update(&bytes);
            partial.write_at(&bytes, offset).map(|()| (partial, hasher))
        });
        (partial, hasher) = match written.await? {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        offset += length;
    }
    check_hash(path, file, &hasher)?;
    Ok(Ok(partial))
}

/// Fetches a file into memory; `verify` has its bytes hashed, where they were not before.
pub(crate) async fn into_memory(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    file: &FileRef,
    verify: bool,
) -> Result<Buffer> {
    let length = usize::try_from(file.length).map_err(|_| corrupted(path, "it is too large for this machine"))?;
    let mut ranges = ranges(store, path, file);
    let mut hasher = blake3::Hasher::new();
    let mut buffer: Option<MutableBuffer> = None;
    while let Some(bytes) = ranges.try_next().await? {
        if verify {
            hasher.update(&bytes);
        }
        // Made when the first bytes have shown that the file has this length.
        buffer.get_or_insert_with(|| MutableBuffer::with_capacity(length)).extend_from_slice(&bytes);
    }
    if verify {
        check_hash(path, file, &hasher)?;
    }
    Ok(buffer.unwrap_or_else(|| MutableBuffer::new(0)).into())
}

/// Checks a file where it is, without keeping its bytes.
pub(crate) async fn check(store: &Arc<dyn ObjectStore>, path: &Path, file: &FileRef) -> Result<()> {
    let mut ranges = ranges(store, path, file);
    let mut hasher = blake3::Hasher::new();
    while let Some(bytes) = ranges.try_next().await? {
        hasher.update(&bytes);
    }
    check_hash(path, file, &hasher)
}

fn check_hash(path: &Path, file: &FileRef, hasher: &blake3::Hasher) -> Result<()> {
    if hasher.finalize().as_bytes() == &file.blake3 {
        return Ok(());
    }
    Err(corrupted(path, "its checksum (BLAKE3) is wrong"))
}

/// A file's bytes from the first to the last.
fn ranges<'a>(
    store: &'a Arc<dyn ObjectStore>,
    path: &'a Path,
    file: &'a FileRef,
) -> std::pin::Pin<Box<dyn Stream<Item = Result<Bytes>> + Send + 'a>> {
    let starts = (0..file.length.div_ceil(RANGE_BYTES).max(1)).map(|number| number * RANGE_BYTES);
    let wanted = starts.map(move |start| start..file.length.min(start + RANGE_BYTES));
    stream::iter(wanted).map(move |range| read(store, path, file, range)).buffered(RANGES_AT_ONCE).boxed()
}

async fn read(store: &Arc<dyn ObjectStore>, path: &Path, file: &FileRef, range: Range<u64>) -> Result<Bytes> {
    let length = range.end - range.start;
    // No range is empty, and an empty file has none.
    let wanted = (length > 0).then(|| GetRange::Bounded(range.clone()));
    let found = store.get_opts(path, GetOptions { range: wanted, ..GetOptions::default() }).await;
    let found = match found {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Err(corrupted(path, "the file is missing")),
        // A file that ends before this range answers like that.
        Err(source) => {
            return Err(shorter(store, path, file).await.unwrap_or_else(|| Error::store("read", path, source)));
        }
    };
    check_length(path, file, found.meta.size)?;
    let bytes = found.bytes().await.map_err(|source| Error::store("read", path, source))?;
    if bytes.len() as u64 != length {
        return Err(corrupted(path, format!("{} bytes came instead of {length}", bytes.len())));
    }
    Ok(bytes)
}

/// Whether a file has another length than it should have, which a store says in its own way when it is asked for what is not
/// there.
async fn shorter(store: &Arc<dyn ObjectStore>, path: &Path, file: &FileRef) -> Option<Error> {
    let head = GetOptions { head: true, ..GetOptions::default() };
    let found = store.get_opts(path, head).await.ok()?;
    check_length(path, file, found.meta.size).err()
}
