//! Where the cache is and how large it may become.

use std::path::{Path, PathBuf};

/// Bytes of the cache at most, unless somebody says otherwise and where the disk has room for twice that.
const BYTES_MAX: u64 = 20 << 30;

/// The user's cache directory, which outlives a restart, so that a process that comes back is as fast as it was. The system's
/// temporary directory, for users without a home, is often memory.
pub fn default_directory() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    match cache {
        Some(cache) => cache.join("volley").join("files"),
        // Others may write there too, so each user has a directory of their own.
        None => std::env::temp_dir().join(format!("volley-files-{}", rustix::process::geteuid().as_raw())),
    }
}

/// 20 GiB, or half of what the disk has free and the cache holds already, if that is less.
pub fn default_bytes(directory: &Path, held: u64) -> u64 {
    match rustix::fs::statvfs(directory) {
        Ok(disk) => BYTES_MAX.min((disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(held)) / 2),
        Err(_) => BYTES_MAX,
    }
}
