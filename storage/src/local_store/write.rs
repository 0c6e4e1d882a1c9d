//! Writing: temporary file, sync, name, sync of the directory.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::{PutPayload, PutResult, Result};
use parking_lot::Mutex;

use super::errors::{describe, is_full, map_error};
use super::{TEMP_PREFIX, etag};
use crate::disk::{Disk, DiskFile, FileKind};

/// How many directories are remembered as durable before the memory starts anew.
const DURABLE_DIRS_MAX: usize = 8192;

/// The disk with what this process knows about it.
#[derive(Debug)]
pub(super) struct Writer<D: Disk> {
    pub(super) disk: D,
    /// Directories whose own name this process has synced. Another process may have created a directory without having
    /// synced it yet, so existence proves nothing.
    durable_dirs: Mutex<HashSet<PathBuf>>,
    /// Makes temporary names unique within the process.
    counter: AtomicU64,
    /// Makes them unique between processes, also in containers that share a directory and count pids from 1.
    nonce: u64,
}

/// A file that has no real name yet; removed when dropped unpublished.
#[derive(Debug)]
pub(super) struct Temp<D: Disk> {
    writer: Arc<Writer<D>>,
    pub(super) file: D::File,
    path: PathBuf,
    target: PathBuf,
    /// False once the temporary name is gone.
    named: bool,
}

impl<D: Disk> Temp<D> {
    /// The target's path, for messages.
    pub(super) fn target(&self) -> String {
        self.target.display().to_string()
    }
}

impl<D: Disk> Drop for Temp<D> {
    fn drop(&mut self) {
        if self.named {
            let _ = self.writer.disk.remove_file(&self.path);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(disk: D) -> Self {
        Self { disk, durable_dirs: Mutex::default(), counter: AtomicU64::new(0), nonce: rand::random() }
    }

    fn temp_path(&self, directory: &Path) -> PathBuf {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        directory.join(format!("{TEMP_PREFIX}{:016x}-{count}", self.nonce))
    }

    /// Syncs a directory; see [`Disk::sync_failed`] for what a failure means.
    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_dir(directory).inspect_err(|error| self.disk.sync_failed(directory, error))
    }

    /// Makes a directory exist, as a real directory, with a durable name.
    fn ensure_dir(&self, directory: &Path) -> io::Result<()> {
        if directory.as_os_str().is_empty() || self.durable_dirs.lock().contains(directory) {
            return Ok(());
        }
        self.ensure_dir(parent(directory))?;
        match self.disk.create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.disk.metadata(directory)?.kind != FileKind::Directory {
                    let detail =
                        format!("{} is not a directory (symbolic links are not followed)", directory.display());
                    return Err(io::Error::other(detail));
                }
            }
            other => other?,
        }
        self.sync_dir(parent(directory))?;
        let mut known = self.durable_dirs.lock();
        if known.len() >= DURABLE_DIRS_MAX {
            known.clear();
        }
        known.insert(directory.to_path_buf());
        Ok(())
    }

    /// Opens a temporary file beside a target.
    pub(super) fn create_temp(self: &Arc<Self>, target: &Path) -> Result<Temp<D>> {
        let directory = parent(target);
        let fail = |e| map_error("write", &target.display().to_string(), e);
        self.ensure_dir(directory).map_err(fail)?;
        let path = self.temp_path(directory);
        let file = match self.disk.create_new(&path) {
            // Somebody removed the directory since: what was known about directories is void.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.durable_dirs.lock().clear();
                self.ensure_dir(directory).map_err(fail)?;
                self.disk.create_new(&path).map_err(fail)?
            }
            other => other.map_err(fail)?,
        };
        Ok(Temp { writer: Arc::clone(self), file, path, target: target.to_path_buf(), named: true })
    }

    /// Writes a payload into a temporary file.
    pub(super) fn write_payload(&self, temp: &Temp<D>, mut offset: u64, payload: &PutPayload) -> Result<()> {
        for chunk in payload {
            temp.file.write_at(offset, chunk).map_err(|e| map_error("write", &temp.target(), e))?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Makes what was written into a temporary file durable.
    pub(super) fn sync(&self, temp: &Temp<D>) -> Result<()> {
        temp.file.sync().map_err(|error| {
            // The file has no name yet, so a full disk harms nobody and is not retried. Anything else is fatal.
            if !is_full(&error) {
                self.disk.sync_failed(&temp.target, &error);
            }
            map_error("sync", &temp.target(), error)
        })
    }

    /// Makes a written file durable and gives it its name.
    pub(super) fn publish(&self, mut temp: Temp<D>, create: bool) -> Result<PutResult> {
        self.sync(&temp)?;
        let metadata = self.disk.metadata(&temp.path).map_err(|e| map_error("read", &temp.target(), e))?;
        self.give_name(&mut temp, create)?;
        Ok(PutResult { e_tag: Some(etag(&metadata)), version: None })
    }

    fn give_name(&self, temp: &mut Temp<D>, create: bool) -> Result<()> {
        let directory = parent(&temp.target).to_path_buf();
        let fail = |temp: &Temp<D>, e| map_error("write", &temp.target(), e);
        if create {
            if let Err(error) = self.disk.hard_link(&temp.path, &temp.target) {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    // "It exists" decides commits, so it must not become untrue by a power cut of another writer
                    // that has linked the name and not yet synced it.
                    self.sync_dir(&directory).map_err(|e| fail(temp, e))?;
                }
                return Err(fail(temp, error));
            }
            let _ = self.disk.remove_file(&temp.path);
        } else {
            self.disk.rename(&temp.path, &temp.target).map_err(|e| fail(temp, e))?;
        }
        temp.named = false;
        self.sync_dir(&directory).map_err(|e| fail(temp, e))
    }

    /// Copies by linking: objects are never changed in place, so two names may share the bytes.
    pub(super) fn copy(&self, source: &Path, target: &Path, create: bool) -> Result<()> {
        let shown = target.display().to_string();
        let fail = |e| map_error("copy", &shown, e);
        if self.disk.metadata(source).map_err(|e| map_error("copy", &source.display().to_string(), e))?.kind
            != FileKind::File
        {
            return Err(describe(&source.display().to_string(), "is not a regular file"));
        }
        let directory = parent(target);
        self.ensure_dir(directory).map_err(fail)?;
        if create {
            self.disk.hard_link(source, target).map_err(fail)?;
        } else {
            let temp = self.temp_path(directory);
            self.disk.hard_link(source, &temp).map_err(fail)?;
            let renamed = self.disk.rename(&temp, target);
            // Renaming over another name of the same file does nothing and leaves both.
            let _ = self.disk.remove_file(&temp);
            renamed.map_err(fail)?;
        }
        self.sync_dir(directory).map_err(fail)
    }

    /// Fails with a clear sentence where commits could not be made conditional or names not durable. Some network and
    /// user-space file systems are like that, and it is better said now than by the first write.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.disk.sync_dir(Path::new("")).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("the file system cannot sync directories, which commits need: {error}"),
            )
        })?;
        self.probe_hard_links()
    }

    fn probe_hard_links(&self) -> io::Result<()> {
        let (first, second) = (self.temp_path(Path::new("")), self.temp_path(Path::new("")));
        match self.disk.create_new(&first) {
            // A full disk must still open, so that it can be read and emptied.
            Err(error) if is_full(&error) => return Ok(()),
            created => drop(created?),
        }
        let linked = self.disk.hard_link(&first, &second);
        let again = self.disk.hard_link(&first, &second);
        let _ = self.disk.remove_file(&first);
        let _ = self.disk.remove_file(&second);
        match (linked, again) {
            (Ok(()), Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            (Err(error), _) => Err(io::Error::new(
                error.kind(),
                format!("the file system has no hard links, which commits need: {error}"),
            )),
            _ => Err(io::Error::other("the file system lets a hard link replace a file, so commits would not be safe")),
        }
    }

    /// Removes temporary files that no running process can still be writing.
    pub(super) fn remove_stale_temporaries(&self, age_max: Duration) -> io::Result<()> {
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            let entries = match self.disk.read_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let path = directory.join(&entry.name);
                match entry.kind {
                    FileKind::Directory => pending.push(path),
                    FileKind::File if entry.name.starts_with(TEMP_PREFIX) => {
                        let modified = match self.disk.metadata(&path) {
                            Ok(metadata) => metadata.modified,
                            Err(_) => continue,
                        };
                        if self.disk.now().duration_since(modified).is_ok_and(|age| age > age_max) {
                            let _ = self.disk.remove_file(&path);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
