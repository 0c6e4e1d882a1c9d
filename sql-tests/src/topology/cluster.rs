//! A coordinator and three executors, each a process of its own, reached over Flight SQL.

use std::path::Path;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Connection, Deployment, Refusal};
use crate::cluster::{Cluster, ClusterOptions};
use crate::object_store::StorePlace;

/// A cluster on this machine.
pub(super) struct Clustered {
    cluster: Cluster,
    // Kept until the processes are gone.
    _logs: TempDir,
}

impl Clustered {
    /// Starts it over a place in an object store, or else over a data directory.
    pub(super) async fn start(directory: &Path, place: Option<StorePlace>) -> Result<Self, Refusal> {
        let io = |error: std::io::Error| Refusal { sentence: error.to_string(), sqlstate: "58030" };
        let logs = tempfile::tempdir().map_err(io)?;
        let mut options = ClusterOptions::below(logs.path());
        options.data = directory.display().to_string();
        if let Some(place) = place {
            (options.data, options.environment) = (place.url.clone(), place.environment());
        }
        // What files of records read and write.
        options.allowed_paths = vec![directory.parent().unwrap_or(directory).to_owned(), crate::script::project_data()];
        options.arguments = ["--threads", "2", "--log-level", "warn"].map(str::to_owned).to_vec();
        Ok(Self { cluster: Cluster::start(&options).await?, _logs: logs })
    }
}

#[async_trait]
impl Deployment for Clustered {
    async fn connect(&self) -> Result<Box<dyn Connection>, Refusal> {
        self.cluster.connect().await
    }

    async fn stop(&self) {
        // Nothing of it is used again.
        for node in self.cluster.executors.iter().chain([&self.cluster.coordinator]) {
            node.kill();
        }
    }
}
