//! The operating system's file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Content, DirEntry, Disk, DiskFile, FileKind, Metadata, Opened};

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The tree below a directory, which is created (durably) when it does not exist.
    pub fn open(root: &Path) -> io::Result<Self> {
        create_root(root)?;
        // From here on the root is one fixed place, whatever happens to symbolic links that led to it.
        Ok(Self { root: fs::canonicalize(root)? })
    }

    /// The directory, absolute and free of symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }
}

/// Creates a directory with its ancestors; each new name is synced into its parent.
fn create_root(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let parent = match root.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    create_root(parent)?;
    match fs::create_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && root.is_dir() => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

fn kind_of(file_type: fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Directory
    } else {
        FileKind::Other
    }
}

fn convert(metadata: &fs::Metadata) -> io::Result<Metadata> {
    Ok(Metadata {
        kind: kind_of(metadata.file_type()),
        size: metadata.len(),
        modified: metadata.modified()?,
        inode: metadata.ino(),
    })
}

impl DiskFile for File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for RealDisk {
    type File = File;
    const BLOCKING: bool = true;

    fn create_new(&self, path: &Path) -> io::Result<File> {
        // O_EXCL does not follow a symbolic link in the last place; the ancestors are checked by the store.
        OpenOptions::new().write(true).create_new(true).open(self.full(path))
    }

    fn open(&self, path: &Path) -> io::Result<Opened> {
        let full = self.full(path);
        let file = File::open(&full)?;
        let metadata = convert(&file.metadata()?)?;
        if metadata.kind != FileKind::File {
            return Err(io::Error::new(io::ErrorKind::NotFound, "not a regular file"));
        }
        Ok(Opened { metadata, content: Content::File(file, full) })
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        convert(&fs::symlink_metadata(self.full(path))?)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(self.full(from), self.full(to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.full(from), self.full(to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.full(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(self.full(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(self.full(path))?.sync_all()
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.full(path))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            entries.push(DirEntry { name, kind: kind_of(entry.file_type()?) });
        }
        Ok(entries)
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sync_failed(&self, path: &Path, error: &io::Error) {
        let path = self.full(path);
        tracing::error!(path = %path.display(), %error, "cannot sync to disk; stopping, because what is on it is unknown");
        eprintln!(
            "volley: cannot sync {} to disk ({error}); stopping, because nothing written since can be trusted",
            path.display()
        );
        std::process::abort();
    }
}
