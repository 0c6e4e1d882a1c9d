//! Verified bytes of immutable files: mapped where the store is a local directory, read into memory elsewhere.
//!
//! A file's length and BLAKE3 are checked once per process and content; after that, opening it again costs a look into
//! a map. Bytes in memory live as long as somebody uses them. Mappings are kept for some minutes longer, because a fresh
//! mapping costs a page fault for every few pages of the next scan, while an idle one costs no memory; only the disk
//! space of a file deleted meanwhile, which is why they are not kept for ever.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arrow::buffer::Buffer;
use memmap2::Mmap;
use object_store::path::Path;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::cache::{self, Cached};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::segment::FileRef;
use crate::store::FileBytes;

/// Files that were never found to be sound are forgotten once there are so many more entries.
const SWEEP_STEP: usize = 1024;
/// How long a mapping that nobody uses is kept.
const KEPT_MS: i64 = 5 * 60 * 1000;
/// How many mappings are kept; the kernel allows a process 65,530.
const KEPT_MAX: usize = 4096;

/// Opens and verifies files. Clones share one cache.
#[derive(Debug, Clone)]
pub struct FileCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    env: Env,
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
    /// When unused mappings were last looked for.
    swept_ms: AtomicI64,
    usage: Arc<Usage>,
}

/// A file and the content it must have. The path is part of the key, because a checked twin says nothing about this file.
type Key = (Path, [u8; 32]);

/// One file. The lock is held while it is verified, so that concurrent openers hash it once, or hear of the same failure.
#[derive(Debug, Default)]
struct Entry {
    /// How often it could not be had.
    failures: AtomicU64,
    state: tokio::sync::Mutex<EntryState>,
}

#[derive(Debug, Default)]
struct EntryState {
    verified: bool,
    bytes: Option<Weak<Held>>,
    /// The same bytes, where they are mapped and were used lately.
    kept: Option<Arc<Held>>,
    /// Why the last attempt failed: who waited for it does not repeat it.
    failed: Option<Error>,
    used_ms: i64,
}

/// Bytes held through this cache, for the memory ledger.
#[derive(Debug, Default)]
struct Usage {
    mapped: AtomicU64,
    buffered: AtomicU64,
}

#[derive(Debug)]
enum Source {
    Mapped(Mmap),
    Buffered(Buffer),
}

/// The bytes of one file.
#[derive(Debug)]
struct Held {
    source: Source,
    usage: Arc<Usage>,
    /// The memory that was set aside for it, where that has a limit.
    _room: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn new(source: Source, usage: &Arc<Usage>, room: Option<OwnedSemaphorePermit>) -> Self {
        let held = Self { source, usage: Arc::clone(usage), _room: room };
        held.counter().fetch_add(held.as_slice().len() as u64, Ordering::Relaxed);
        held
    }

    fn counter(&self) -> &AtomicU64 {
        match self.source {
            Source::Mapped(_) => &self.usage.mapped,
            Source::Buffered(_) => &self.usage.buffered,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counter().fetch_sub(self.as_slice().len() as u64, Ordering::Relaxed);
    }
}

impl FileBytes for Held {
    fn as_slice(&self) -> &[u8] {
        match &self.source {
            Source::Mapped(map) => map,
            Source::Buffered(buffer) => buffer,
        }
    }

    fn resident(&self) -> u64 {
        match &self.source {
            Source::Mapped(map) => resident(map).unwrap_or(map.len() as u64),
            Source::Buffered(buffer) => buffer.len() as u64,
        }
    }
}

/// The bytes of a mapping that are in memory now; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn resident(map: &Mmap) -> Option<u64> {
    // SAFETY: asks for a number and touches no memory.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok().filter(|page| *page > 0)?;
    let mut pages = vec![0u8; map.len().div_ceil(page)];
    let start = map.as_ptr().cast_mut().cast();
    // SAFETY: the mapping begins with a page and has this length, and `pages` has a byte for each of its pages.
    let refused = unsafe { libc::mincore(start, map.len(), pages.as_mut_ptr()) } != 0;
    let resident = pages.iter().filter(|page| **page & 1 == 1).count() * page;
    (!refused).then(|| resident.min(map.len()) as u64)
}

#[cfg(not(target_os = "linux"))]
fn resident(_map: &Mmap) -> Option<u64> {
    None
}

pub(crate) fn corrupted(path: &Path, detail: impl Into<String>) -> Error {
    Error::Corrupted { path: path.to_string(), detail: detail.into() }
}

pub(crate) fn check_length(path: &Path, file: &FileRef, found: u64) -> Result<()> {
    if found == file.length {
        return Ok(());
    }
    Err(corrupted(path, format!("it has {found} bytes instead of {}", file.length)))
}

fn check_hash(path: &Path, file: &FileRef, bytes: &[u8]) -> Result<()> {
    if blake3::hash(bytes).as_bytes() == &file.blake3 {
        return Ok(());
    }
    Err(corrupted(path, "its checksum (BLAKE3) is wrong"))
}

/// Runs a check off the I/O threads; a few kilobytes are not worth the trip.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|e| Error::Internal { detail: format!("checking a file ended abnormally: {e}") })?
}

impl FileCache {
    /// A cache over one data directory.
    pub fn new(env: Env) -> Self {
        Self {
            inner: Arc::new(Inner {
                env,
                entries: Mutex::default(),
                swept_ms: AtomicI64::new(0),
                usage: Arc::default(),
            }),
        }
    }

    /// The environment that the cache reads from.
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// Bytes of files that are mapped now.
    pub fn mapped_bytes(&self) -> u64 {
        self.inner.usage.mapped.load(Ordering::Relaxed)
    }

    /// Bytes of files that are held in memory now, because there is no directory to map them from.
    pub fn buffered_bytes(&self) -> u64 {
        self.inner.usage.buffered.load(Ordering::Relaxed)
    }

    fn entry(&self, path: &Path, file: &FileRef) -> Arc<Entry> {
        let mut entries = self.inner.entries.lock();
        if entries.len() % SWEEP_STEP == SWEEP_STEP - 1 {
            // Verified entries stay: that they were checked is what is worth remembering. Unverified ones in use are
            // held by their opener.
            entries.retain(|_, e| Arc::strong_count(e) > 1 || e.state.try_lock().is_ok_and(|s| s.verified));
        }
        Arc::clone(entries.entry((path.clone(), file.blake3)).or_default())
    }

    /// The whole file, verified.
    ///
    /// Fails with [`Error::Corrupted`] when the file is missing, or its length or checksum is wrong.
    pub async fn open(&self, path: &Path, file: &FileRef) -> Result<Arc<dyn FileBytes>> {
        let entry = self.entry(path, file);
        let now_ms = self.inner.env.clock.now_ms();
        let failures = entry.failures.load(Ordering::Acquire);
        let mut state = entry.state.lock().await;
        state.used_ms = now_ms;
        let held = match state.bytes.as_ref().and_then(Weak::upgrade) {
            Some(held) => held,
            None => {
                let failed = state.failed.as_ref();
                if let Some(error) = failed.filter(|_| entry.failures.load(Ordering::Acquire) != failures) {
                    return Err(error.shared());
                }
                let loaded = self.load(path, file, !state.verified).await;
                state.failed = loaded.as_ref().err().map(Error::shared);
                entry.failures.fetch_add(u64::from(state.failed.is_some()), Ordering::AcqRel);
                let held = Arc::new(loaded?);
                state.verified = true;
                state.bytes = Some(Arc::downgrade(&held));
                held
            }
        };
        if let Some(copies) = &self.inner.env.disk_cache {
            copies.used(path, &file.blake3, now_ms);
        }
        if state.kept.is_none() && matches!(held.source, Source::Mapped(_)) {
            state.kept = Some(Arc::clone(&held));
            drop(state);
            self.release_idle(now_ms);
        }
        Ok(held)
    }

    /// Unmaps every file that nobody uses.
    pub fn release_unused(&self) {
        self.release(|_| true);
    }

    /// Unmaps files that were not used for long; at most once a second, because it looks at every entry.
    fn release_idle(&self, now_ms: i64) {
        let swept_ms = self.inner.swept_ms.load(Ordering::Relaxed);
        if (swept_ms..swept_ms + 1000).contains(&now_ms) {
            return;
        }
        self.inner.swept_ms.store(now_ms, Ordering::Relaxed);
        let kept = self.release(|used_ms| now_ms - used_ms > KEPT_MS);
        if kept > KEPT_MAX {
            self.release_unused();
        }
    }

    /// Lets go of kept mappings by their last use; returns how many are left.
    fn release(&self, is_idle: impl Fn(i64) -> bool) -> usize {
        let mut dropped = Vec::new();
        let mut kept = 0;
        for entry in self.inner.entries.lock().values() {
            // A locked entry is being opened, so it is not idle.
            let Ok(mut state) = entry.state.try_lock() else { continue };
            if is_idle(state.used_ms) {
                dropped.extend(state.kept.take());
            }
            kept += usize::from(state.kept.is_some());
        }
        kept
    }

    /// Checks length and BLAKE3; keeps the bytes only where there is a place for copies of a remote store's files.
    pub async fn check(&self, path: &Path, file: &FileRef) -> Result<()> {
        if self.inner.env.disk_cache.is_some() {
            return self.open(path, file).await.map(drop);
        }
        let entry = self.entry(path, file);
        let mut state = entry.state.lock().await;
        if !state.verified {
            self.verify(path, file).await?;
            state.verified = true;
        }
        Ok(())
    }

    /// Checks length and BLAKE3 of the bytes that are in the store now, whatever was found before.
    pub async fn recheck(&self, path: &Path, file: &FileRef) -> Result<()> {
        self.verify(path, file).await
    }

    async fn load(&self, path: &Path, file: &FileRef, verify: bool) -> Result<Held> {
        let usage = Arc::clone(&self.inner.usage);
        let (owned, expected) = (path.clone(), file.clone());
        if let Some(root) = &self.inner.env.local_root {
            let full = root.join(path.as_ref());
            return blocking(move || {
                let map = map_file(&full, &owned, &expected)?;
                if verify {
                    check_hash(&owned, &expected, &map)?;
                }
                Ok(Held::new(Source::Mapped(map), &usage, None))
            })
            .await;
        }
        let store = &self.inner.env.store;
        let (source, room) = match &self.inner.env.disk_cache {
            Some(copies) => {
                let files = self.clone();
                match copies.get(store, path, file, verify, move || files.release_unused()).await? {
                    Cached::Mapped(map) => (Source::Mapped(map), None),
                    Cached::Memory(buffer, room) => (Source::Buffered(buffer), Some(room)),
                }
            }
            None => (Source::Buffered(cache::into_memory(store, path, file, verify).await?), None),
        };
        Ok(Held::new(source, &usage, room))
    }

    async fn verify(&self, path: &Path, file: &FileRef) -> Result<()> {
        if self.inner.env.local_root.is_some() {
            return self.load(path, file, true).await.map(drop);
        }
        cache::check(&self.inner.env.store, path, file).await
    }
}

/// Maps a file of the expected length.
fn map_file(full: &std::path::Path, path: &Path, file: &FileRef) -> Result<Mmap> {
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => corrupted(path, "the file is missing"),
        _ => Error::Io { action: "open", path: path.to_string(), source },
    };
    let opened = File::open(full).map_err(fail)?;
    let metadata = opened.metadata().map_err(fail)?;
    if !metadata.is_file() {
        return Err(corrupted(path, "it is not a regular file"));
    }
    check_length(path, file, metadata.len())?;
    // SAFETY: files of a data directory are immutable once they have a name: they are written under a temporary name
    // and only ever unlinked afterwards, never truncated or overwritten in place, and a mapping outlives the name.
    unsafe { Mmap::map(&opened) }.map_err(fail)
}
