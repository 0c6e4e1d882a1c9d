//! What nodes show each other with every call: that they know the cluster's secret, and their version.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::tls::ClusterTls;

/// Fewer bytes could be guessed.
pub const SECRET_BYTES_MIN: usize = 32;
/// How often the log tells of callers that are refused.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Header: the key that is derived from the secret, in hexadecimal digits.
const KEY_HEADER: &str = "volley-cluster-key";
/// Header: the caller's version.
const VERSION_HEADER: &str = "volley-version";
/// What the key is for; another purpose would give another key.
const CONTEXT: &str = "volley 2026-11-22 calls between the nodes of a cluster";
/// The version of this program. Nodes of different ones do not work together: they could understand each other's messages
/// differently.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The secret that the nodes of one cluster share. Only a key derived from it is kept and sent.
#[derive(Clone)]
pub struct ClusterSecret {
    key: blake3::Hash,
    /// How calls are encrypted; not at all when `None`.
    tls: Option<Arc<ClusterTls>>,
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret")
    }
}

impl ClusterSecret {
    /// The secret of this text; `None` where it is shorter than [`SECRET_BYTES_MIN`].
    pub fn of_text(text: &[u8]) -> Option<Self> {
        let is_long = text.len() >= SECRET_BYTES_MIN;
        is_long.then(|| Self { key: blake3::Hash::from_bytes(blake3::derive_key(CONTEXT, text)), tls: None })
    }

    /// The same, for calls that are encrypted and in which both sides also show a certificate.
    pub fn with_tls(self, tls: ClusterTls) -> Self {
        Self { tls: Some(Arc::new(tls)), ..self }
    }

    /// How calls are encrypted; not at all when `None`.
    pub(super) fn tls(&self) -> Option<&ClusterTls> {
        self.tls.as_deref()
    }

    /// What a node of this version shows.
    pub fn credentials(&self) -> Credentials {
        self.credentials_of(VERSION)
    }

    /// What a node of some version shows.
    fn credentials_of(&self, version: &'static str) -> Credentials {
        // Hexadecimal digits are always a header's value.
        let mut key = self.key.to_hex().parse().unwrap_or_else(|_| MetadataValue::from_static(""));
        MetadataValue::set_sensitive(&mut key, true);
        Credentials { key, version: MetadataValue::from_static(version) }
    }

    /// Whether a caller is a node of this cluster and of this version.
    ///
    /// # Errors
    /// UNAUTHENTICATED without the secret, FAILED_PRECONDITION for another version.
    pub fn check(&self, headers: &MetadataMap) -> Result<(), Status> {
        let shown = headers.get(KEY_HEADER).and_then(|key| blake3::Hash::from_hex(key.as_bytes()).ok());
        // Hashes compare in constant time.
        if shown != Some(self.key) {
            return Err(Status::unauthenticated(
                "this port is for the nodes of a cluster and the caller does not know its secret; give every node the same \
                 cluster_secret_file",
            ));
        }
        match headers.get(VERSION_HEADER).and_then(|version| version.to_str().ok()) {
            Some(VERSION) => Ok(()),
            other => Err(Status::failed_precondition(format!(
                "this node runs Volley {VERSION} and the caller {}; run the same version on every node",
                other.unwrap_or("one that does not say its version")
            ))),
        }
    }
}

/// What a node shows with each of its calls.
#[derive(Clone)]
pub struct Credentials {
    key: MetadataValue<Ascii>,
    version: MetadataValue<Ascii>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(KEY_HEADER, self.key.clone());
        request.metadata_mut().insert(VERSION_HEADER, self.version.clone());
        Ok(request)
    }
}

/// The check of a node's port: it stands before every service there, so that no call can be forgotten.
#[derive(Debug, Clone)]
pub struct Guard {
    secret: ClusterSecret,
    /// When somebody who was refused was last written of.
    told: Arc<Mutex<Option<Instant>>>,
}

impl Guard {
    /// The check of a port of this cluster.
    pub fn new(secret: ClusterSecret) -> Self {
        Self { secret, told: Arc::default() }
    }

    /// Writes of a refused caller, now and then: whoever has the wrong secret tries again and again.
    fn tell(&self, caller: Option<SocketAddr>, status: &Status) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            let caller = caller.map(|caller| caller.to_string()).unwrap_or_default();
            tracing::warn!(caller, why = status.message(), "a call to the internal port was refused");
        }
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match self.secret.check(request.metadata()) {
            Ok(()) => Ok(request),
            Err(status) => {
                self.tell(request.remote_addr(), &status);
                Err(status)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"thirty-two bytes or more are long enough";

    fn shown_by(mut credentials: Credentials) -> MetadataMap {
        credentials.call(Request::new(())).unwrap().metadata().clone()
    }

    #[test]
    fn nodes_of_one_cluster_know_each_other() {
        let secret = ClusterSecret::of_text(TEXT).unwrap();
        assert!(secret.check(&shown_by(secret.credentials())).is_ok());
        assert!(ClusterSecret::of_text(&TEXT[..31]).is_none());
    }

    #[test]
    fn others_are_refused() {
        let secret = ClusterSecret::of_text(TEXT).unwrap();
        let other = ClusterSecret::of_text(&TEXT[1..]).unwrap();
        assert_eq!(secret.check(&MetadataMap::new()).unwrap_err().code(), tonic::Code::Unauthenticated);
        let wrong = secret.check(&shown_by(other.credentials())).unwrap_err();
        assert_eq!(wrong.code(), tonic::Code::Unauthenticated);
        let old = secret.check(&shown_by(secret.credentials_of("0.0.1"))).unwrap_err();
        assert_eq!(old.code(), tonic::Code::FailedPrecondition);
        assert!(old.message().contains("0.0.1") && old.message().contains(VERSION), "{old}");
    }

    #[test]
    fn the_secret_is_not_shown() {
        let secret = ClusterSecret::of_text(TEXT).unwrap();
        let shown = format!("{secret:?} {:?} {:?}", secret.credentials(), shown_by(secret.credentials()));
        assert!(!shown.contains(&secret.key.to_hex().to_string()), "{shown}");
    }
}
