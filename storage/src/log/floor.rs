//! The floor: versions below it are gone, or will be in a moment.
//!
//! It is published before anything is deleted. Whoever finds no floor above a version after having read it knows that
//! what was read was whole; whoever writes with an old idea of the head learns that the slot had been freed.

use super::{Log, LogState};
use crate::error::{Error, Result};
use crate::ids::Version;
use bytes::Bytes;

impl<S: LogState> Log<S> {
    /// The lowest version that may be relied on.
    pub(crate) async fn floor(&self) -> Result<Version> {
        Ok(self.files.list("gc").await?.last().map_or(Version(0), |(version, _)| *version))
    }

    /// Publishes a floor. Returns only when it is known to stand in the store.
    pub(crate) async fn publish_floor(&self, version: Version) -> Result<()> {
        let path = self.files.floor(version);
        // Creating the same floor twice is harmless, so any reply is settled by reading the file back.
        let reply = self.files.create(&path, Bytes::from_static(b"volley floor\n")).await;
        match self.files.read(&path).await? {
            Some(_) => Ok(()),
            None => Err(match reply {
                Some(Err(source)) => Error::store("write", &path, source),
                _ => Error::Io { action: "write", path: path.to_string(), source: std::io::ErrorKind::TimedOut.into() },
            }),
        }
    }
}
