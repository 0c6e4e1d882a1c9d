//! Listing: regular files only, temporary ones hidden, symbolic links not followed.

use std::collections::VecDeque;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use super::errors::map_error;
use super::write::Writer;
use super::{TEMP_PREFIX, object_meta, run};
use crate::disk::{Disk, FileKind};

/// What one directory holds.
#[derive(Default)]
struct Level {
    files: VecDeque<ObjectMeta>,
    directories: Vec<PathBuf>,
}

/// Reads one directory, in the order of names. A directory that does not exist is empty, as on any object store.
fn read_level<D: Disk>(writer: &Writer<D>, directory: &FsPath, offset: Option<&Path>) -> Result<Level> {
    let fail = |e| map_error("list", &directory.display().to_string(), e);
    let mut entries = match writer.disk.read_dir(directory) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Level::default());
        }
        other => other.map_err(fail)?,
    };
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut level = Level::default();
    for entry in entries {
        let path = directory.join(&entry.name);
        match entry.kind {
            FileKind::Directory => level.directories.push(path),
            FileKind::File if !entry.name.starts_with(TEMP_PREFIX) => {
                let Some(Ok(location)) = path.to_str().map(Path::parse) else { continue };
                // Skipped before asking for metadata, so that probing a long log costs one directory read.
                if offset.is_some_and(|offset| location <= *offset) {
                    continue;
                }
                match writer.disk.metadata(&path) {
                    Ok(metadata) => level.files.push_back(object_meta(location, &metadata)),
                    // Deleted since the directory was read.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(fail(e)),
                }
            }
            _ => {}
        }
    }
    Ok(level)
}

struct Walk<D: Disk> {
    writer: Arc<Writer<D>>,
    offset: Option<Path>,
    pending: Vec<PathBuf>,
    files: VecDeque<ObjectMeta>,
}

/// Every file below a prefix, one directory at a time.
pub(super) fn walk<D: Disk>(
    writer: Arc<Writer<D>>,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let root = prefix.map_or_else(PathBuf::new, |p| PathBuf::from(p.as_ref()));
    let start = Walk { writer, offset: offset.cloned(), pending: vec![root], files: VecDeque::new() };
    stream::try_unfold(start, |mut walk| async move {
        loop {
            if let Some(file) = walk.files.pop_front() {
                return Ok(Some((file, walk)));
            }
            let Some(directory) = walk.pending.pop() else { return Ok(None) };
            let (writer, offset) = (Arc::clone(&walk.writer), walk.offset.clone());
            let level = run::<D, _>(move || read_level(&writer, &directory, offset.as_ref())).await?;
            walk.files = level.files;
            walk.pending.extend(level.directories.into_iter().rev());
        }
    })
    .boxed()
}

/// The files and directories directly below a prefix.
pub(super) fn one_level<D: Disk>(writer: &Writer<D>, prefix: &Path) -> Result<ListResult> {
    let level = read_level(writer, FsPath::new(prefix.as_ref()), None)?;
    let common_prefixes = level.directories.iter().filter_map(|d| Path::parse(d.to_str()?).ok()).collect();
    Ok(ListResult { common_prefixes, objects: level.files.into() })
}
