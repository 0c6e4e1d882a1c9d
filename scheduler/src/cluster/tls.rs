//! TLS between nodes: both sides show a certificate that the cluster's authority signed.

use std::error::Error as _;
use std::fmt;

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::error::Error;

/// A node's certificate, and the authority that signed those of all nodes.
#[derive(Clone)]
pub struct ClusterTls {
    identity: Identity,
    authority: Certificate,
}

impl fmt::Debug for ClusterTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterTls")
    }
}

impl ClusterTls {
    /// From a certificate chain, its private key and the authority's certificate, each as PEM. The certificate has to name the host
    /// of the node's own address, and to be good for servers and for clients.
    pub fn of_pem(certificate: &[u8], key: &[u8], authority: &[u8]) -> Self {
        Self { identity: Identity::from_pem(certificate, key), authority: Certificate::from_pem(authority) }
    }

    /// That it cannot be used for a port or a node.
    pub(super) fn unusable(address: String, error: &tonic::transport::Error) -> Error {
        // What tonic says itself is no more than "transport error".
        let detail = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Error::NodeTls { address, detail }
    }

    /// For an internal port: who has no certificate of the authority is not listened to.
    pub(super) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.authority.clone())
    }

    /// For calls to other nodes' ports.
    pub(super) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().identity(self.identity.clone()).ca_certificate(self.authority.clone())
    }
}
