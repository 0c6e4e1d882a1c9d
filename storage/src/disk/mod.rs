//! The few file system operations that durability rests on, as a trait, so that a simulated disk can lose power.
//!
//! Paths are relative to the root of the data directory; the empty path is the root itself. Every operation says what
//! the kernel promises and nothing more: a written byte survives a power cut only after [`DiskFile::sync`], a new name
//! only after [`Disk::sync_dir`] on its directory.

mod real;
pub mod sim;

use std::io;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

pub use real::RealDisk;
pub use sim::SimDisk;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, socket or device: never written through.
    Other,
}

/// What the file system says about a name, without following a symbolic link.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// What the name stands for.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content.
    pub modified: SystemTime,
    /// Number of the file within its file system.
    pub inode: u64,
}

/// One name in a directory.
#[derive(Debug, Clone)]
pub struct DirEntry {
    /// The name; names that are not UTF-8 are not listed.
    pub name: String,
    /// What it stands for.
    pub kind: FileKind,
}

/// The content of an opened file.
#[derive(Debug)]
pub enum Content {
    /// A file of the operating system.
    File(std::fs::File, std::path::PathBuf),
    /// Bytes of a simulated disk.
    Bytes(Bytes),
}

/// A file opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its content.
    pub content: Content,
}

/// A file being written.
pub trait DiskFile: std::fmt::Debug + Send + Sync + 'static {
    /// Writes all bytes at an offset; a gap reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable (`fsync`).
    fn sync(&self) -> io::Result<()>;
}

/// A directory tree on a disk.
pub trait Disk: std::fmt::Debug + Send + Sync + 'static {
    /// A file being written.
    type File: DiskFile;
    /// Whether operations block and have to leave the I/O threads.
    const BLOCKING: bool;

    /// Creates a file for writing; fails when the name exists, also as a symbolic link.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens a regular file for reading. Directories are not found.
    fn open(&self, path: &Path) -> io::Result<Opened>;
    /// Metadata of a name, not following a symbolic link.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Gives a file a second name; fails when that exists.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a name over another, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name of a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory; fails when the name exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// The time that this disk stamps files with.
    fn now(&self) -> SystemTime;
    /// Called when a sync failed. What is on the disk is unknown from here on, and trying again would report success
    /// for pages that the kernel has already thrown away, so a real disk ends the process and never returns.
    fn sync_failed(&self, path: &Path, error: &io::Error);
}
