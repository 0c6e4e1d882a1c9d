//! What can be wrong with a configuration: one sentence each, which names the place.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use volley_storage::ErrorKind;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML at line {line}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What the parser says.
        detail: String,
    },
    /// The file names an option that there is not.
    #[error("{}: line {line}: there is no option \"{key}\"{}", path.display(), hint(nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// The name.
        key: String,
        /// The option it resembles.
        nearest: Option<String>,
    },
    /// An environment variable looks like an option and is none.
    #[error("the environment sets {name}, which is no option{}", hint(nearest))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The variable it resembles.
        nearest: Option<String>,
    },
    /// A value does not have the form it should have.
    #[error("{place}: {detail}")]
    Value {
        /// The variable, or the file with the line and the option.
        place: String,
        /// What is wrong.
        detail: String,
    },
    /// A value has the right form but cannot be.
    #[error("{name} cannot be {value}; choose another value")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// The value.
        value: String,
    },
    /// An address cannot be understood.
    #[error("{name} is \"{text}\", which is no address such as 127.0.0.1:32010: {detail}")]
    Address {
        /// The option.
        name: &'static str,
        /// What was given.
        text: String,
        /// Why not.
        detail: String,
    },
    /// An option is needed because of others.
    #[error("{name} is not set, but {because}")]
    Missing {
        /// The option.
        name: &'static str,
        /// Why it is needed.
        because: &'static str,
    },
    /// Other machines would be let in unguarded.
    #[error("other machines can reach {address}, and {missing}, or set allow_insecure if the network is trusted")]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is missing and how to have it.
        missing: &'static str,
    },
    /// Key material is too short to be safe.
    #[error("{} holds {bytes} bytes of key material; write at least {least} random ones", path.display())]
    ShortSecret {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The least length.
        least: usize,
    },
}

impl ConfigError {
    /// The kind this error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConfigError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::UndefinedFile
            }
            ConfigError::Unreadable { .. } => ErrorKind::Io,
            ConfigError::Malformed { .. } => ErrorKind::Syntax,
            ConfigError::UnknownKey { .. } | ConfigError::UnknownVariable { .. } => ErrorKind::UndefinedObject,
            ConfigError::Exposed { .. } => ErrorKind::PermissionDenied,
            ConfigError::Value { .. }
            | ConfigError::OutOfRange { .. }
            | ConfigError::Address { .. }
            | ConfigError::Missing { .. }
            | ConfigError::ShortSecret { .. } => ErrorKind::InvalidValue,
        }
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}
