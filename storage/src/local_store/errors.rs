//! Errors of the local store in object_store's terms.

use std::io;

use object_store::Error;

const STORE: &str = "local disk";

/// What went wrong, with the operation and the file it went wrong on.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub(super) struct DiskError {
    action: &'static str,
    path: String,
    source: io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("{path} {detail}")]
struct Refused {
    path: String,
    detail: String,
}

/// A failed file operation as a store error; its kind decides the variant.
pub(super) fn map_error(action: &'static str, path: &str, source: io::Error) -> Error {
    let kind = source.kind();
    let path = path.to_string();
    let source = Box::new(DiskError { action, path: path.clone(), source });
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound { path, source },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::PermissionDenied { path, source },
        _ => Error::Generic { store: STORE, source },
    }
}

/// A refusal that no system call made.
pub(super) fn describe(path: &str, detail: impl Into<String>) -> Error {
    Error::Generic { store: STORE, source: Box::new(Refused { path: path.to_string(), detail: detail.into() }) }
}

/// A range that the object does not have.
pub(super) fn invalid_range(path: &str, error: impl std::fmt::Display) -> Error {
    describe(path, format!("does not have the bytes asked for: {error}"))
}

/// Whether an I/O error says that the disk, or the user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
