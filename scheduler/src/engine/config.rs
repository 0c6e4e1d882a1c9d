//! Where an engine's data is, and how it is started.

use std::fmt;
use std::path::PathBuf;

use volley_storage::remote::{CachePlace, RemoteUrl, StoreOptions};
use volley_storage::{Env, local_env, memory_env, remote_env};

use crate::cluster::ClusterRole;
use crate::error::Result;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataLocation {
    /// A directory of this machine, created when it does not exist. Other processes may use it at the same time.
    Local(PathBuf),
    /// An object store: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. Any number of processes may use
    /// it at the same time.
    Url(String),
    /// Memory of this process, gone with the engine.
    Memory,
}

impl fmt::Display for DataLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataLocation::Local(path) => write!(f, "{}", path.display()),
            DataLocation::Url(url) => write!(f, "{url}"),
            DataLocation::Memory => write!(f, "memory://"),
        }
    }
}

/// How to start an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where the data is.
    pub data: DataLocation,
    /// Bytes of memory that queries and caches may hold; 70 % of the machine's when `None`.
    pub memory_limit: Option<usize>,
    /// CPU threads; one per core when `None`.
    pub threads: Option<usize>,
    /// Directories under which statements may read and write files (COPY, external tables); anywhere when `None`.
    pub allowed_paths: Option<Vec<PathBuf>>,
    /// Whether a data directory is made where there is none.
    pub create: bool,
    /// Where copies of an object store's files are kept on this machine; the user's cache directory when `None`.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of such copies at most; 20 GiB or half of the disk's free space when `None`.
    pub cache_size: Option<u64>,
    /// What the environment does not say about the object store: credentials, endpoints.
    pub store_options: StoreOptions,
    /// What the engine is for a cluster; a whole of its own when `None`.
    pub cluster: Option<ClusterRole>,
}

impl EngineConfig {
    /// Defaults for this location.
    pub fn new(data: DataLocation) -> Self {
        let store_options = StoreOptions::default();
        Self {
            data,
            memory_limit: None,
            threads: None,
            allowed_paths: None,
            create: true,
            cache_dir: None,
            cache_size: None,
            store_options,
            cluster: None,
        }
    }

    /// The outside world of the data.
    pub(super) fn env(&self) -> Result<Env> {
        Ok(match &self.data {
            DataLocation::Local(path) => local_env(path)?,
            DataLocation::Url(url) => {
                let copies = CachePlace { directory: self.cache_dir.as_deref(), bytes_max: self.cache_size };
                remote_env(&RemoteUrl::parse(url)?, &self.store_options, copies)?
            }
            DataLocation::Memory => memory_env(),
        })
    }
}
