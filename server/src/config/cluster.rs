//! The part of the configuration that makes a process a node of a cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use volley_scheduler::cluster::secret::SECRET_BYTES_MIN;
use volley_scheduler::cluster::{ClusterSecret, ClusterTls, NodeConfig};

use super::{ConfigError, read_secret};

/// Where a coordinator listens to other nodes unless told otherwise.
pub(super) const COORDINATOR_PORT: u16 = 32012;
/// Where an executor does.
const EXECUTOR_PORT: u16 = 32011;

/// The certificates of an internal port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTlsConfig {
    /// The node's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authority of all nodes' certificates, PEM.
    pub authority: PathBuf,
}

impl ClusterTlsConfig {
    fn load(&self) -> Result<ClusterTls, ConfigError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.clone(), source })
        };
        Ok(ClusterTls::of_pem(&read(&self.certificate)?, &read(&self.key)?, &read(&self.authority)?))
    }
}

/// All three files, or none.
pub(super) fn tls(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authority: Option<PathBuf>,
) -> Result<Option<ClusterTlsConfig>, ConfigError> {
    let missing =
        |name| Err(ConfigError::Missing { name, because: "TLS between nodes needs all three cluster_tls files" });
    match (certificate, key, authority) {
        (Some(certificate), Some(key), Some(authority)) => Ok(Some(ClusterTlsConfig { certificate, key, authority })),
        (None, None, None) => Ok(None),
        (None, _, _) => missing("cluster_tls_certificate"),
        (_, None, _) => missing("cluster_tls_key"),
        (_, _, None) => missing("cluster_tls_ca"),
    }
}

/// A node's part in a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// Where other nodes are listened to; the role's own port on this machine when `None`.
    pub listen: Option<SocketAddr>,
    /// Where other nodes find this one; where it listens when `None`.
    pub advertise: Option<String>,
    /// What the nodes have in common; both roles need it.
    pub secret_file: Option<PathBuf>,
    /// TLS between nodes; plain text when `None`.
    pub tls: Option<ClusterTlsConfig>,
    /// Where the coordinators listen.
    pub coordinators: Vec<String>,
    /// Executors that have each shard at hand.
    pub replicas: usize,
    /// The node's name; that of the machine with the port when `None`.
    pub name: Option<String>,
    /// The node's share of the shards relative to others.
    pub weight: u32,
}

impl ClusterConfig {
    /// What the nodes have in common; `None` where no file is named.
    pub fn secret(&self) -> Result<Option<ClusterSecret>, ConfigError> {
        let Some(path) = &self.secret_file else { return Ok(None) };
        let text = read_secret(path, SECRET_BYTES_MIN)?;
        let Some(secret) = ClusterSecret::of_text(&text) else { return Ok(None) };
        Ok(Some(match &self.tls {
            Some(tls) => secret.with_tls(tls.load()?),
            None => secret,
        }))
    }

    /// The configuration of a coordinator.
    pub fn coordinator(&self) -> Result<NodeConfig, ConfigError> {
        self.node(COORDINATOR_PORT)
    }

    /// The configuration of an executor.
    pub fn executor(&self) -> Result<NodeConfig, ConfigError> {
        if self.coordinators.is_empty() {
            return Err(ConfigError::Missing { name: "coordinators", because: "an executor works for them" });
        }
        self.node(EXECUTOR_PORT)
    }

    fn node(&self, port: u16) -> Result<NodeConfig, ConfigError> {
        let because = "the nodes of a cluster listen to nobody without one";
        let secret = self.secret()?.ok_or(ConfigError::Missing { name: "cluster_secret_file", because })?;
        let listen = self.listen.unwrap_or((Ipv4Addr::LOCALHOST, port).into());
        if listen.ip().is_unspecified() && self.advertise.is_none() {
            let because = "cluster_listen is every address of the machine, and others need one to find it";
            return Err(ConfigError::Missing { name: "cluster_advertise", because });
        }
        Ok(NodeConfig {
            name: self.name.clone(),
            listen,
            advertise: self.advertise.clone(),
            secret,
            weight: self.weight,
            coordinators: self.coordinators.clone(),
        })
    }
}
