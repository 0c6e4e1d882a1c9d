//! The environments a data directory is opened in.

use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;

use crate::clocks::{OsRng, SystemClock};
use crate::disk::RealDisk;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::local_store::DurableStore;

/// A local directory, created when it does not exist: a durable store, the system's clock and randomness.
///
/// Blocks for a few file operations; fails with [`Error::Io`] where the directory cannot be created or its file system
/// has no hard links.
pub fn local_env(path: &Path) -> Result<Env> {
    let fail = |source| Error::Io { action: "open data directory", path: path.display().to_string(), source };
    let disk = RealDisk::open(path).map_err(fail)?;
    let root = disk.root().to_path_buf();
    let store = DurableStore::open(disk).map_err(fail)?;
    Ok(Env { local_root: Some(root), store: Arc::new(store), ..memory_env() })
}

/// A data directory in memory, gone with the process.
pub fn memory_env() -> Env {
    let store = Arc::new(InMemory::new());
    Env { clock: Arc::new(SystemClock), rng: Arc::new(OsRng), store, local_root: None, disk_cache: None }
}
