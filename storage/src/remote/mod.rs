//! Object stores behind a network: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! | file | what it holds |
//! |---|---|
//! | `url.rs` | what a URL names: the kind of store, the bucket, the prefix |
//! | `client.rs` | the client of each kind of store, without retries of its own |
//! | `store.rs` | retries around it, where a second try does no harm |
//! | `upload.rs` | files in parts, each of which is tried again by itself |
//! | `fault.rs` | the store's errors in one line, without what nobody should see |
//! | `probe.rs` | whether the store refuses to create what exists, on which every commit depends |

mod client;
mod fault;
mod probe;
mod store;
#[cfg(test)]
mod tests;
mod upload;
mod url;

use std::path::Path;
use std::sync::Arc;

pub use client::StoreOptions;
pub(crate) use fault::was_never_sent;
pub(crate) use probe::probe;
pub use url::RemoteUrl;

use crate::cache::DiskCache;
use crate::clocks::{OsRng, SystemClock};
use crate::env::Env;
use crate::error::Result;
use store::RemoteStore;

/// Where copies of a remote store's files are kept on this machine, and how much of them.
#[derive(Debug, Clone, Copy)]
pub struct CachePlace<'a> {
    /// The directory; the user's cache directory when `None`.
    pub directory: Option<&'a Path>,
    /// Bytes at most; see [`crate::cache::default_bytes`] when `None`.
    pub bytes_max: Option<u64>,
}

/// A data directory in an object store. Credentials and endpoints come from the environment, under the names that the
/// store's own tools use, and from `options`, which come before it.
///
/// # Errors
/// URLs that name no store, stores whose configuration is incomplete, and cache directories that cannot be used. Nothing is
/// asked of the store yet.
pub fn remote_env(url: &RemoteUrl, options: &StoreOptions, cache: CachePlace<'_>) -> Result<Env> {
    let client = client::connect(url, options)?;
    let cache = DiskCache::open(cache.directory, cache.bytes_max)?;
    Ok(Env {
        clock: Arc::new(SystemClock),
        rng: Arc::new(OsRng),
        store: Arc::new(RemoteStore::new(client, Arc::new(SystemClock), Arc::new(OsRng))),
        local_root: None,
        disk_cache: Some(Arc::new(cache)),
    })
}
