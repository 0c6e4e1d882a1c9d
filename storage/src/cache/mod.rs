//! Copies of a remote store's files on this machine's disk, named by their content.
//!
//! ```text
//! {directory}/{first two digits}/{BLAKE3}    a whole file; its time of change is that of its last use
//! {directory}/tmp-{ulid}                     a file that is being fetched
//! ```
//! A file is fetched into space that was reserved for it, hashed on the way and given its name only when its bytes are those
//! that the log speaks of; then it is mapped. Names are only ever unlinked, never truncated or written to, so a mapping
//! outlives its file. Several processes may share a directory: they name the same content alike, and look at the directory
//! itself before they delete what was not used for longest.
//!
//! Where the disk is full or the directory has gone, bytes are held in memory, up to a limit.
//!
//! | file | what it holds |
//! |---|---|
//! | `fetch.rs` | a file's bytes out of the store, in ranges |
//! | `directory.rs` | what is done in the directory: map, reserve, name, look around, make room |
//! | `place.rs` | where the directory is and how large it may become, unless somebody says |

mod directory;
mod fetch;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arrow::buffer::Buffer;
use memmap2::Mmap;
use object_store::ObjectStore;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};
use crate::segment::FileRef;
use directory::{Directory, Kept, Listed, Partial};
pub(crate) use fetch::{check, into_memory};
pub use place::{default_bytes, default_directory};

/// Files that are fetched at the same time; each takes some buffers.
const FETCHES_MAX: usize = 4;
/// A file's last use is written down at most this often.
const TOUCHED_EVERY_MS: i64 = 30_000;

/// Bytes in memory at most of files that the directory cannot take: the files of a few segments.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// What of it is counted by.
const MEMORY_UNIT: u64 = 1 << 10;

/// Turns that nobody waits for are forgotten beyond so many.
const TURNS_KEPT_MAX: usize = 1024;

/// A content's checksum.
type Hash = [u8; 32];

/// Copies of files in a directory of this machine.
#[derive(Debug)]
pub struct DiskCache {
    directory: Arc<Directory>,
    known: Mutex<HashMap<Hash, Known>>,
    fetches: Semaphore,
    /// Memory for what the directory cannot take.
    memory: Arc<Semaphore>,
    /// Who fetches what.
    turns: Mutex<HashMap<Hash, Arc<Turn>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What this process knows of a file.
#[derive(Debug, Default)]
struct Known {
    path: String,
    hits: u64,
    touched_ms: i64,
}

/// Held by whoever fetches a content. Those who waited meanwhile share a failure, instead of repeating it one after the other.
#[derive(Debug, Default)]
struct Turn {
    failures: AtomicU64,
    failed: Arc<tokio::sync::Mutex<Option<Error>>>,
}

/// Bytes that the cache found or fetched.
#[derive(Debug)]
pub(crate) enum Cached {
    /// Mapped from its directory.
    Mapped(Mmap),
    /// In memory, because the directory could not take them, and the part of that memory that they take.
    Memory(Buffer, OwnedSemaphorePermit),
}

/// A file in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Where the file is in the store, if this process has used it.
    pub path: Option<String>,
    /// Its content's BLAKE3, as the directory names it.
    pub blake3: String,
    /// Its length.
    pub bytes: u64,
    /// When it was last used, by any process, in milliseconds since the Unix epoch; exact to half a minute.
    pub used_at_ms: i64,
    /// How often this process used it without fetching it.
    pub hits: u64,
}

/// The cache as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTotals {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often a file was there.
    pub hits: u64,
    /// How often one had to be fetched.
    pub misses: u64,
}

impl DiskCache {
    /// Opens a directory, creating it when it does not exist; `None` stands for the defaults.
    ///
    /// # Errors
    /// [`Error::Location`] where the directory cannot be created or other users may write to it.
    pub fn open(directory: Option<&Path>, bytes_max: Option<u64>) -> Result<Self> {
        let path = directory.map_or_else(default_directory, Path::to_owned);
        let directory = Directory::open(path, bytes_max)?;
        let (shown, bytes_max) = (directory.root().display(), directory.bytes_max());
        tracing::info!(directory = %shown, bytes_max, "copies of the object store's files are kept on this machine");
        Ok(Self {
            directory: Arc::new(directory),
            known: Mutex::default(),
            fetches: Semaphore::new(FETCHES_MAX),
            memory: Arc::new(Semaphore::new((MEMORY_BYTES_MAX / MEMORY_UNIT) as usize)),
            turns: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// A file's bytes, mapped where that can be; fetched where they are not there. `verify` has those that are there hashed;
    /// `unmap` lets go of mappings that nobody uses, so that deleted files leave a full disk.
    ///
    /// What was begun is brought to its end although nobody waits any more: whoever gives up and asks again finds more there each
    /// time, and in the end all of it.
    pub(crate) async fn get(
        self: &Arc<Self>,
        store: &Arc<dyn ObjectStore>,
        path: &object_store::path::Path,
        file: &FileRef,
        verify: bool,
        unmap: impl Fn() + Send + 'static,
    ) -> Result<Cached> {
        if let Some(map) = self.look_up(path, file, verify).await? {
            return Ok(Cached::Mapped(map));
        }
        let turn = self.turn(&file.blake3);
        let failures = turn.failures.load(Ordering::Acquire);
        let mut failed = Arc::clone(&turn.failed).lock_owned().await;
        if let Some(error) = failed.as_ref().filter(|_| turn.failures.load(Ordering::Acquire) != failures) {
            return Err(error.shared());
        }
        // Whoever had the turn before may have fetched it.
        if let Some(map) = self.look_up(path, file, verify).await? {
            return Ok(Cached::Mapped(map));
        }
        let (cache, store, path, file) = (Arc::clone(self), Arc::clone(store), path.clone(), file.clone());
        let fetching = tokio::spawn(async move {
            let outcome = cache.fetch(&store, &path, &file, unmap).await;
            *failed = outcome.as_ref().err().map(Error::shared);
            turn.failures.fetch_add(u64::from(failed.is_some()), Ordering::AcqRel);
            outcome
        });
        fetching.await.map_err(|e| Error::Internal { detail: format!("fetching a file ended abnormally: {e}") })?
    }

    async fn look_up(&self, path: &object_store::path::Path, file: &FileRef, verify: bool) -> Result<Option<Mmap>> {
        let (directory, wanted) = (Arc::clone(&self.directory), file.clone());
        Ok(match blocking(move || directory.map(&wanted, verify)).await? {
            Kept::Sound(map) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(map)
            }
            Kept::Damaged => {
                tracing::warn!(%path, "a file in the local cache was damaged and is fetched again");
                None
            }
            Kept::Missing => None,
        })
    }

    fn turn(&self, hash: &Hash) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        if turns.len() >= TURNS_KEPT_MAX {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(*hash).or_default())
    }

    /// Fetches a file into the directory, or else into memory.
    async fn fetch(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &object_store::path::Path,
        file: &FileRef,
        unmap: impl Fn() + Send + 'static,
    ) -> Result<Cached> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Closed only with the cache itself.
        let _slot = self.fetches.acquire().await;
        let (directory, length) = (Arc::clone(&self.directory), file.length);
        let mapped = match blocking(move || directory.reserve(length, unmap)).await? {
            Ok(partial) => self.fetch_into(store, path, file, partial).await?,
            Err(error) => Err(error),
        };
        match mapped {
            Ok(map) => {
                self.known.lock().entry(file.blake3).or_default().path = path.to_string();
                Ok(Cached::Mapped(map))
            }
            Err(error) => {
                let room = self.memory_for(path, length, &error)?;
                tracing::warn!(%error, %path, "the local cache cannot take a file, which is held in memory");
                let buffer = fetch::into_memory(store, path, file, true).await?;
                Ok(Cached::Memory(buffer, room))
            }
        }
    }

    /// Memory for a file that the directory cannot take. Nobody waits for it: who has some may wait for more.
    fn memory_for(
        &self,
        path: &object_store::path::Path,
        bytes: u64,
        error: &std::io::Error,
    ) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.memory).try_acquire_many_owned(units).map_err(|_| Error::Location {
            kind: ErrorKind::DiskFull,
            detail: format!(
                "the local cache {} has no room for {path}, which has {bytes} bytes ({error}), and files held in memory \
                 instead have reached their limit of {MEMORY_BYTES_MAX} bytes; free space on its disk or raise cache_size",
                self.directory.root().display()
            ),
        })
    }

    /// Fetches into a reserved file and names it. The inner error is the disk's.
    async fn fetch_into(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &object_store::path::Path,
        file: &FileRef,
        partial: Partial,
    ) -> Result<std::io::Result<Mmap>> {
        let partial = match fetch::into_file(store, path, file, partial).await? {
            Ok(partial) => partial,
            Err(error) => return Ok(Err(error)),
        };
        let (directory, hash) = (Arc::clone(&self.directory), file.blake3);
        blocking(move || directory.name(partial, &hash)).await
    }

    /// Notes that a file was used, so that others go first.
    pub(crate) fn used(&self, path: &object_store::path::Path, hash: &Hash, now_ms: i64) {
        let is_due = {
            let mut known = self.known.lock();
            let known = known.entry(*hash).or_default();
            known.hits += 1;
            if known.path.is_empty() {
                known.path = path.to_string();
            }
            let is_due = !(0..TOUCHED_EVERY_MS).contains(&(now_ms - known.touched_ms));
            if is_due {
                known.touched_ms = now_ms;
            }
            is_due
        };
        if is_due {
            self.directory.touch(hash);
        }
    }

    /// The files in the directory now. What is known of others is forgotten.
    fn list(&self) -> Vec<Listed> {
        let listed = self.directory.list();
        let there: HashSet<Hash> = listed.iter().map(|file| file.hash).collect();
        self.known.lock().retain(|hash, _| there.contains(hash));
        listed
    }

    /// The files in the directory now, last used first.
    pub fn files(&self) -> Vec<CachedFile> {
        let listed = self.list();
        let mut files: Vec<CachedFile> = {
            let known = self.known.lock();
            let listed = listed.into_iter().map(|listed| {
                let known = known.get(&listed.hash);
                CachedFile {
                    path: known.map(|known| known.path.clone()),
                    blake3: blake3::Hash::from_bytes(listed.hash).to_hex().to_string(),
                    bytes: listed.bytes,
                    used_at_ms: milliseconds(listed.used),
                    hits: known.map_or(0, |known| known.hits),
                }
            });
            listed.collect()
        };
        files.sort_by(|a, b| b.used_at_ms.cmp(&a.used_at_ms).then_with(|| a.blake3.cmp(&b.blake3)));
        files
    }

    /// The cache as a whole.
    pub fn totals(&self) -> CacheTotals {
        let listed = self.list();
        CacheTotals {
            files: listed.len() as u64,
            bytes: listed.iter().map(|file| file.bytes).sum(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Where the copies are.
    pub fn directory(&self) -> &Path {
        self.directory.root()
    }

    /// Bytes of copies at most.
    pub fn bytes_max(&self) -> u64 {
        self.directory.bytes_max()
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Runs disk work off the threads that others wait on.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|e| Error::Internal { detail: format!("work in the local cache ended abnormally: {e}") })
}
