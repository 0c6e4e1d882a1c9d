//! Paths that statements name.

use std::path::{Path, PathBuf};

use datafusion::datasource::listing::ListingTableUrl;
use volley_planner::error::Error as PlannerError;

use super::Running;
use crate::allowed_paths::on_disk;
use crate::engine::DataLocation;
use crate::error::{Error, Result};

impl Running {
    /// Refuses what is no local path, what lies outside of the directories that statements may use, and what reaches into
    /// the data directory: COPY and external tables must neither read nor overwrite its files.
    ///
    /// Read as DataFusion will read it, so that no spelling of a path (schemes, percent signs, links) gets by.
    pub(super) fn may_use(&self, path: &str) -> Result<()> {
        let allowed = self.shared.allowed_paths.as_ref();
        let location = match (ListingTableUrl::parse(path), allowed) {
            (Ok(location), _) => location,
            // Such as one with %2e%2e%2f in it.
            (Err(_), Some(allowed)) => return Err(allowed.refused(path).into()),
            (Err(error), None) => return Err(error.into()),
        };
        if location.scheme() != "file" || location.get_url().has_host() {
            let sentence =
                format!("\"{path}\" is not a local path; this version reads and writes files of this machine only");
            return Err(PlannerError::unsupported(sentence).into());
        }
        if let Some(allowed) = allowed
            && !on_disk(location.prefix()).is_some_and(|target| allowed.contains(&target))
        {
            return Err(allowed.refused(path).into());
        }
        self.outside_data_directory(path, &location)
    }

    fn outside_data_directory(&self, path: &str, location: &ListingTableUrl) -> Result<()> {
        let copies = self.shared.database.env().disk_cache.as_ref();
        let root = match (&self.shared.data, copies) {
            (DataLocation::Local(root), _) => root.as_path(),
            // Its files here are copies, which are mapped too.
            (_, Some(copies)) => copies.directory(),
            (DataLocation::Url(_) | DataLocation::Memory, None) => return Ok(()),
        };
        let url = location.get_url();
        let (Ok(root), Ok(target)) = (root.canonicalize(), url.to_file_path()) else { return Ok(()) };
        let Some(target) = resolve(&target) else { return Ok(()) };
        // A directory or pattern above the data directory lists its files too.
        match target.starts_with(&root) || (location.is_collection() && root.starts_with(&target)) {
            true => Err(Error::InsideDataDirectory { path: path.to_owned() }),
            false => Ok(()),
        }
    }
}

/// The path without symbolic links; the part that does not exist yet is taken as it stands.
fn resolve(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match existing.canonicalize() {
            Ok(resolved) => return Some(missing.iter().rev().fold(resolved, |path, part| path.join(part))),
            Err(_) => {
                missing.push(existing.file_name()?.to_owned());
                existing = existing.parent()?;
            }
        }
    }
}
