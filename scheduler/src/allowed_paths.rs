//! Where on the machine statements may read and write files.
//!
//! The limit is checked twice. A statement's path is checked before anything is done with it, so that the answer does not
//! tell what there is. And DataFusion gets a file system that checks every file it is asked for, so that nothing gets by:
//! links in a directory that is listed, external tables that were made elsewhere, whatever reads a file tomorrow.

use std::fmt;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future};
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use volley_planner::error::Error as PlannerError;
use volley_storage::ErrorKind;

use crate::error::Error;

/// Directories under which statements may read and write files. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct AllowedPaths {
    directories: Arc<[PathBuf]>,
}

impl AllowedPaths {
    /// Relative ones are meant from where the process is now, links as they lead now. A directory may be made later.
    pub(crate) fn new(directories: Vec<PathBuf>) -> std::result::Result<Self, Error> {
        let usable = |path: PathBuf| {
            let absolute = path.canonicalize().or_else(|_| std::path::absolute(&path)).ok();
            absolute.filter(|path| resolve(path).is_some()).ok_or_else(|| Error::Start {
                detail: format!("allowed_paths names \"{}\"; name directories, without ..", path.display()),
            })
        };
        Ok(Self { directories: directories.into_iter().map(usable).collect::<std::result::Result<_, _>>()? })
    }

    /// Whether a file or directory, which may not exist yet, lies in one of them.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        let Some(path) = resolve(path) else { return false };
        self.directories.iter().filter_map(|directory| resolve(directory)).any(|directory| path.starts_with(directory))
    }

    /// The error of a path that lies in none; `path` is what the user wrote.
    pub(crate) fn refused(&self, path: &str) -> PlannerError {
        let sentence = match self.directories.is_empty() {
            true => format!("{path} cannot be used: the setting allowed_paths lets no statement read or write files"),
            false => format!("{path} cannot be used: it lies in none of the directories that allowed_paths names"),
        };
        PlannerError::invalid(ErrorKind::PermissionDenied, sentence)
    }
}

/// The file or directory that a store's path names; `None` for what is no plain path.
pub(crate) fn on_disk(path: &StorePath) -> Option<PathBuf> {
    let mut file = PathBuf::from("/");
    for part in path.as_ref().split('/').filter(|part| !part.is_empty()) {
        let mut components = Path::new(part).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(_)), None) if !part.contains(char::is_control) => file.push(part),
            _ => return None,
        }
    }
    Some(file)
}

/// The path without symbolic links; parts that do not exist yet are taken as they stand. `None` where that cannot be told:
/// a link to what does not exist may lead anywhere once it does, and so may a directory that cannot be looked into.
fn resolve(path: &Path) -> Option<PathBuf> {
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(is_plain) {
        return None;
    }
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(resolved) => return Some(missing.iter().rev().fold(resolved, |path, part| path.join(part))),
            Err(error) if error.kind() == IoErrorKind::NotFound && existing.symlink_metadata().is_err() => {
                missing.push(existing.file_name()?.to_owned());
                existing = existing.parent()?;
            }
            Err(_) => return None,
        }
    }
}

/// The machine's files, as far as they may be used.
#[derive(Debug)]
pub(crate) struct AllowedFiles {
    files: LocalFileSystem,
    allowed: AllowedPaths,
}

impl AllowedFiles {
    pub(crate) fn new(allowed: AllowedPaths) -> Self {
        Self { files: LocalFileSystem::new(), allowed }
    }

    fn check(&self, path: &StorePath) -> Result<()> {
        check(&self.allowed, path)
    }
}

fn check(allowed: &AllowedPaths, path: &StorePath) -> Result<()> {
    match on_disk(path).is_some_and(|file| allowed.contains(&file)) {
        true => Ok(()),
        false => {
            let shown = format!("/{path}");
            let source = Box::new(allowed.refused(&shown));
            Err(object_store::Error::PermissionDenied { path: shown, source })
        }
    }
}

impl fmt::Display for AllowedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllowedFiles({})", self.files)
    }
}

#[async_trait]
impl ObjectStore for AllowedFiles {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(location)?;
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check(location)?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        self.check(location)?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location)?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        let allowed = self.allowed.clone();
        let checked = locations.and_then(move |path| future::ready(check(&allowed, &path).map(|()| path)));
        self.files.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.check(prefix.unwrap_or(&StorePath::ROOT)) {
            return futures::stream::once(future::ready(Err(error))).boxed();
        }
        // What is listed may be a link.
        let allowed = self.allowed.clone();
        let listed = self.files.list(prefix);
        listed.and_then(move |file| future::ready(check(&allowed, &file.location).map(|()| file))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.check(prefix.unwrap_or(&StorePath::ROOT))?;
        let listed = self.files.list_with_delimiter(prefix).await?;
        for path in listed.common_prefixes.iter().chain(listed.objects.iter().map(|file| &file.location)) {
            self.check(path)?;
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &StorePath, to: &StorePath, options: RenameOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        self.files.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_missing_parts_are_looked_through() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let (inside, outside) = (root.join("in"), root.join("out"));
        std::fs::create_dir_all(inside.join("dir")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret.csv"), "a\n1\n").unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        symlink(outside.join("secret.csv"), inside.join("link.csv")).unwrap();
        symlink(outside.join("later"), inside.join("dangling")).unwrap();
        symlink(inside.join("dir"), inside.join("good")).unwrap();
        symlink(&inside, outside.join("back")).unwrap();
        symlink(inside.join("loop"), inside.join("loop")).unwrap();
        std::fs::write(inside.join("file"), "").unwrap();
        let allowed = AllowedPaths::new(vec![inside.clone(), root.join("not made yet")]).unwrap();
        for good in ["in", "in/dir", "in/dir/new/deep.csv", "in/good/x.csv", "out/back/x", "not made yet/x"] {
            assert!(allowed.contains(&root.join(good)), "{good}");
        }
        for bad in [
            "",
            "out",
            "int",
            "in2/x",
            "in/link",
            "in/link/x",
            "in/link.csv",
            "in/dangling",
            "in/dangling/x",
            "in/loop",
            "in/loop/x",
            "in/../out/x",
            "in/dir/../../out",
            "in/missing/../../out",
            "in/file/x",
            "not made yet/../out",
        ] {
            assert!(!allowed.contains(&root.join(bad)), "{bad}");
        }
        assert!(!allowed.contains(Path::new("in")));
        assert!(!allowed.contains(Path::new("/")));
        assert!(!allowed.contains(&inside.join("a\0b")));
        assert!(!AllowedPaths::new(Vec::new()).unwrap().contains(&inside));
        assert!(AllowedPaths::new(vec![PathBuf::new()]).is_err());
    }

    #[test]
    fn only_plain_paths_are_paths() {
        assert_eq!(on_disk(&StorePath::from("a/b")), Some(PathBuf::from("/a/b")));
        assert_eq!(on_disk(&StorePath::ROOT), Some(PathBuf::from("/")));
        assert_eq!(on_disk(&StorePath::from_url_path("/a/%252e%252e/b").unwrap()), Some(PathBuf::from("/a/%2e%2e/b")));
    }
}
