//! Whom an encrypted connection trusts, and what it shows.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use volley::ErrorKind;

use super::Address;
use crate::failure::Failure;

/// Where systems keep the authorities that they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The configuration of an encrypted connection.
pub(super) fn config(address: &Address) -> Result<ClientTlsConfig, Failure> {
    let authorities = Certificate::from_pem(read(&authorities(address)?)?);
    let name = address.host.trim_start_matches('[').trim_end_matches(']');
    let mut config = ClientTlsConfig::new().ca_certificate(authorities).domain_name(name);
    if let Some((certificate, key)) = &address.identity {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(config)
}

/// The file of those who may vouch for the server: the one that the address names, or `SSL_CERT_FILE` as elsewhere, or the
/// system's.
fn authorities(address: &Address) -> Result<PathBuf, Failure> {
    let named = address.ca.clone().or_else(|| std::env::var_os("SSL_CERT_FILE").map(PathBuf::from));
    let system = || BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    named.or_else(system).ok_or_else(|| Failure::Refused {
        kind: ErrorKind::UndefinedFile,
        sentence: format!("this system has no list of certificate authorities; name one with {address}?ca=FILE"),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Read { path: path.display().to_string(), source })
}
