//! The directory of copies. Everything here blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::Hash;
use super::place::default_bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::segment::FileRef;

/// What begins the name of a file that is being fetched.
const PARTIAL: &str = "tmp-";
/// A partial file that nobody has written to for so long was left behind by a process that ended.
const ABANDONED: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    bytes_max: u64,
}

/// What was found under a name.
#[derive(Debug)]
pub(super) enum Kept {
    Sound(Mmap),
    /// It held other bytes, and is gone.
    Damaged,
    Missing,
}

/// A copy in the directory.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) hash: Hash,
    pub(super) bytes: u64,
    pub(super) used: SystemTime,
}

/// A file that is being fetched; dropped without a name, it is gone.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    is_named: bool,
}

impl Partial {
    /// Writes bytes at their place.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Directory {
    pub(super) fn open(root: PathBuf, bytes_max: Option<u64>) -> Result<Self> {
        let refused = |detail: String| Error::Location {
            kind: ErrorKind::InvalidValue,
            detail: format!("the cache directory {} cannot be used: {detail}", root.display()),
        };
        // What it holds are rows of tables, so it is for this user alone.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&root);
        made.map_err(|error| refused(error.to_string()))?;
        let metadata = fs::metadata(&root).map_err(|error| refused(error.to_string()))?;
        // Whoever may write there could change a file that is mapped.
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(refused("it belongs to another user".to_owned()));
        }
        if metadata.mode() & 0o022 != 0 {
            return Err(refused("other users may write to it; take that right away (chmod go-w)".to_owned()));
        }
        let mut directory = Self { root, bytes_max: bytes_max.unwrap_or(u64::MAX) };
        directory.remove_abandoned();
        if bytes_max.is_none() {
            let held = directory.list().iter().map(|file| file.bytes).sum();
            directory.bytes_max = default_bytes(&directory.root, held);
        }
        Ok(directory)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        self.root.join(&name[..2]).join(name.as_str())
    }

    /// Maps a copy, if there is one and it is sound.
    pub(super) fn map(&self, file: &FileRef, verify: bool) -> Kept {
        let path = self.path(&file.blake3);
        let Ok(map) = File::open(&path).and_then(|opened| map(&opened)) else { return Kept::Missing };
        let is_sound = map.len() as u64 == file.length && (!verify || blake3::hash(&map).as_bytes() == &file.blake3);
        if is_sound {
            return Kept::Sound(map);
        }
        let _ = fs::remove_file(path);
        Kept::Damaged
    }

    /// A file with room for so many bytes, for which others make room. Where the disk is full, `unmap` lets go of the mappings that
    /// nobody uses: a file that was deleted keeps its space as long as it is mapped.
    pub(super) fn reserve(&self, bytes: u64, unmap: impl Fn()) -> io::Result<Partial> {
        if bytes > self.bytes_max {
            let sentence = format!("{bytes} bytes are more than the cache may hold");
            return Err(io::Error::new(IoErrorKind::FileTooLarge, sentence));
        }
        self.make_room(bytes, self.bytes_max);
        let is_full = |error: &io::Error| matches!(error.kind(), IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded);
        match self.allocate(bytes) {
            Err(error) if is_full(&error) => {}
            reserved => return reserved,
        }
        // The disk is fuller than the limit knows.
        unmap();
        match self.allocate(bytes) {
            Err(error) if is_full(&error) => {}
            reserved => return reserved,
        }
        self.free_disk(bytes);
        self.allocate(bytes)
    }

    /// Deletes as many bytes as have to come, those first that were not used for longest; ends where the disk has gained nothing,
    /// because somebody still maps what was deleted.
    fn free_disk(&self, bytes: u64) {
        let free = || statvfs(&self.root).map(|disk| disk.f_bavail);
        let mut files = self.list();
        files.sort_by_key(|file| file.used);
        let (mut freed, mut before) = (0, free());
        for file in files.into_iter().filter(|file| file.bytes > 0) {
            if freed >= bytes || !self.delete(&file) {
                return;
            }
            let now = free();
            if let (Ok(before), Ok(now)) = (before, now)
                && now <= before
            {
                return;
            }
            (freed, before) = (freed + file.bytes, now);
        }
    }

    /// Deletes a copy; whether it is gone.
    fn delete(&self, file: &Listed) -> bool {
        match fs::remove_file(self.path(&file.hash)) {
            Err(error) if error.kind() != IoErrorKind::NotFound => {
                tracing::debug!(%error, "a file of the local cache could not be deleted");
                false
            }
            _ => true,
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<Partial> {
        let path = self.root.join(format!("{PARTIAL}{}", ulid::Ulid::from_parts(0, rand::random())));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let partial = Partial { file, path, is_named: false };
        // Space that is reserved cannot run out in the middle.
        match bytes {
            0 => {}
            _ => match fallocate(&partial.file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(partial)
    }

    /// Gives a file whose bytes are sound its name, and maps it.
    pub(super) fn name(&self, mut partial: Partial, hash: &Hash) -> io::Result<Mmap> {
        let map = map(&partial.file)?;
        let path = self.path(hash);
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Not made durable: after a power cut its checksum tells.
        fs::rename(&partial.path, path)?;
        partial.is_named = true;
        Ok(map)
    }

    /// Writes down that a copy was used now. One that is gone, or a directory that has, is no harm.
    pub(super) fn touch(&self, hash: &Hash) {
        let opened = OpenOptions::new().write(true).open(self.path(hash));
        let _ = opened.and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// The copies there are.
    pub(super) fn list(&self) -> Vec<Listed> {
        let mut found = Vec::new();
        for folder in entries(&self.root) {
            for entry in entries(&folder.path()) {
                let hash = entry.file_name().to_str().and_then(|name| blake3::Hash::from_hex(name).ok());
                // One that another process deletes in this moment is not there.
                if let (Some(hash), Ok(metadata)) = (hash, entry.metadata()) {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push(Listed { hash: *hash.as_bytes(), bytes: metadata.len(), used });
                }
            }
        }
        found
    }

    /// Deletes what was not used for longest until so many bytes more stay below a limit.
    fn make_room(&self, bytes: u64, limit: u64) {
        let mut files = self.list();
        // Those that are being fetched count too, or many at once would be too much.
        let mut held: u64 = files.iter().map(|file| file.bytes).sum::<u64>() + self.partial_bytes();
        if held.saturating_add(bytes) <= limit {
            return;
        }
        files.sort_by_key(|file| file.used);
        for file in files {
            if held.saturating_add(bytes) <= limit {
                return;
            }
            if self.delete(&file) {
                held -= file.bytes;
            }
        }
    }

    fn partials(&self) -> impl Iterator<Item = fs::DirEntry> {
        let is_partial =
            |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PARTIAL));
        entries(&self.root).into_iter().filter(is_partial)
    }

    fn partial_bytes(&self) -> u64 {
        self.partials().filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }

    fn remove_abandoned(&self) {
        for entry in self.partials() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|written| written.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten().collect()
}

fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: a file of the cache is written before it has its name and only unlinked afterwards; the directory belongs to
    // this user alone, and no process of ours truncates or writes to what is in it.
    unsafe { Mmap::map(file) }
}
