//! TLS of the Flight SQL port, and its connections.
//!
//! Certificates are renewed while servers run, so the files are looked at every few seconds: what changed and is whole takes
//! effect with the next handshake, what is not whole is logged and changes nothing.

mod incoming;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinHandle;
use volley_scheduler::CancellationToken;
use volley_storage::ErrorKind;

use crate::config::TlsConfig;

pub(crate) use incoming::{Accepted, connections, deal};
pub use incoming::{Connection, ConnectionInfo, ConnectionLimits};

/// How often the files are looked at.
pub const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
/// The protocol that clients must speak: gRPC stands on HTTP/2.
const ALPN: &[u8] = b"h2";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key do not fit, or an authority is unusable.
    #[error("the certificates of {} cannot be used: {detail}", path.display())]
    Unusable {
        /// The certificate's file, or that of the authorities.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

impl TlsError {
    /// The kind this error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TlsError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::UndefinedFile
            }
            TlsError::Unreadable { .. } => ErrorKind::Io,
            TlsError::NotPem { .. } | TlsError::Unusable { .. } => ErrorKind::InvalidValue,
        }
    }
}

/// The port's certificates as they are now. Cheap to clone; all clones see a change.
#[derive(Debug, Clone)]
pub struct Tls(Arc<State>);

#[derive(Debug)]
struct State {
    config: TlsConfig,
    current: RwLock<Arc<rustls::ServerConfig>>,
    /// What the files held when they were last looked at, whole or not.
    seen: Mutex<blake3::Hash>,
}

/// What the files hold.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        let files = Files::read(config)?;
        let current = RwLock::new(Arc::new(files.parse(config)?));
        Ok(Self(Arc::new(State { config: config.clone(), current, seen: Mutex::new(files.hash()) })))
    }

    /// What the next handshake goes by.
    pub fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.0.current.read())
    }

    /// Looks at the files; says whether there is something new. An error leaves everything as it was, and comes once for
    /// each state of the files.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.0.config)?;
        let hash = files.hash();
        if std::mem::replace(&mut *self.0.seen.lock(), hash) == hash {
            return Ok(false);
        }
        let parsed = files.parse(&self.0.config)?;
        *self.0.current.write() = Arc::new(parsed);
        Ok(true)
    }

    /// Looks at the files again and again until `shutdown`.
    pub fn watch(&self, every: Duration, shutdown: CancellationToken) -> JoinHandle<()> {
        let tls = self.clone();
        tokio::spawn(async move {
            while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                let looked = tls.clone();
                // Files may lie on a slow disk.
                match tokio::task::spawn_blocking(move || looked.reload()).await {
                    Ok(Ok(true)) => tracing::info!("the certificates were read anew"),
                    Ok(Ok(false)) => {}
                    Ok(Err(error)) => tracing::error!(%error, "the new certificates are left aside"),
                    Err(fault) => tracing::error!(%fault, "the certificates could not be looked at"),
                }
            }
        })
    }
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source });
        Ok(Self {
            certificate: read(&config.certificate)?,
            key: read(&config.key)?,
            client_ca: config.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten() {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }

    fn parse(&self, config: &TlsConfig) -> Result<rustls::ServerConfig, TlsError> {
        let chain = certificates(&config.certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::NotPem { path: config.key.clone(), what: "private key" })?;
        let unusable = |path: &Path, detail: String| TlsError::Unusable { path: path.to_owned(), detail };
        // Named, because a process may hold several and then has no default.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&config.certificate, error.to_string()))?;
        let builder = match (&config.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, pem)? {
                    roots.add(certificate).map_err(|error| unusable(path, error.to_string()))?;
                }
                // Without `allow_unauthenticated`: whoever shows no certificate is turned away.
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| unusable(path, error.to_string()))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut parsed =
            builder.with_single_cert(chain, key).map_err(|error| unusable(&config.certificate, error.to_string()))?;
        parsed.alpn_protocols = vec![ALPN.to_vec()];
        Ok(parsed)
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::NotPem { path: path.to_owned(), what: "certificate" }),
    }
}

#[cfg(test)]
mod tests;
