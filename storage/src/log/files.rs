//! Where a log's files are, and reading them through a store that may fail now and then.

use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::Version;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::{Either, select};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// How long one request to the store may take before its fate counts as unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a read is tried: the store's client has no retries of its own, because commits must see every reply.
const READ_TRIES: u32 = 5;
/// No try begins later than this after the first: who waits for a store that is silent wants to hear of it.
pub(super) const PATIENCE_MS: i64 = 15_000;
/// No commit or checkpoint is larger; a longer file is refused before it is read.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// The files of one log below `root` (`catalog`, `tables/{table}`).
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    pub(crate) env: Env,
    pub(crate) root: Path,
}

impl LogFiles {
    pub(crate) fn commit(&self, version: Version) -> Path {
        self.root.clone().join("log").join(format!("{:020}.vlc", version.0))
    }

    pub(crate) fn checkpoint(&self, version: Version) -> Path {
        self.root.clone().join("ckpt").join(format!("{:020}.vck", version.0))
    }

    pub(crate) fn floor(&self, version: Version) -> Path {
        self.root.clone().join("gc").join(format!("floor-{:020}", version.0))
    }

    pub(crate) fn hint(&self) -> Path {
        self.root.clone().join("hint")
    }

    /// Whether a file is known not to be there, by one look at a local directory: what finds the head of a log for each
    /// query. `false` where the store is no directory, or the look failed.
    pub(crate) fn is_absent(&self, path: &Path) -> bool {
        let Some(root) = &self.env.local_root else { return false };
        let looked = std::fs::symlink_metadata(root.join(path.as_ref()));
        looked.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// A whole file; `None` when there is none.
    pub(crate) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let mut last = None;
        let began_ms = self.env.clock.now_ms();
        for attempt in 0..READ_TRIES {
            if attempt > 0 {
                if self.env.clock.now_ms() - began_ms > PATIENCE_MS {
                    break;
                }
                self.back_off(attempt).await;
            }
            match self.within(self.read_once(path)).await {
                Some(Ok(bytes)) => return bytes.map(Some),
                Some(Err(object_store::Error::NotFound { .. })) => return Ok(None),
                Some(Err(error)) => last = Some(error),
                None => {}
            }
        }
        Err(match last {
            Some(source) => Error::store("read", path, source),
            None => Error::Io { action: "read", path: path.to_string(), source: std::io::ErrorKind::TimedOut.into() },
        })
    }

    async fn read_once(&self, path: &Path) -> object_store::Result<Result<Bytes>> {
        let reply = self.env.store.get(path).await?;
        if reply.meta.size > RECORD_BYTES_MAX {
            let detail = format!("it has {} bytes, more than any log file", reply.meta.size);
            return Ok(Err(Error::Corrupted { path: path.to_string(), detail }));
        }
        reply.bytes().await.map(Ok)
    }

    /// Creates a file that must not exist. The request runs in a task of its own, so that a caller who gives up does
    /// not tear it apart; `None` means that no reply came in time.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Option<object_store::Result<()>> {
        let store = self.env.store.clone();
        let target = path.clone();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let request =
            tokio::spawn(async move { store.put_opts(&target, PutPayload::from_bytes(bytes), options).await });
        match self.within(request).await? {
            Ok(reply) => Some(reply.map(|_| ())),
            Err(gone) => Some(Err(object_store::Error::JoinError { source: gone })),
        }
    }

    /// The versions for which a file exists in a folder of the log, with their metadata, ascending.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(Version, ObjectMeta)>> {
        let prefix = self.root.clone().join(folder);
        let found = list_all(&self.env, &prefix).await?;
        let mut versions: Vec<_> =
            found.into_iter().filter_map(|meta| Some((version_of(&meta.location)?, meta))).collect();
        versions.sort_by_key(|(version, _)| *version);
        Ok(versions)
    }

    /// Waits before attempt number `attempt` (from 1): doubling from 10 ms to 2 s, half of it at random so that
    /// writers who met once do not meet again.
    pub(crate) async fn back_off(&self, attempt: u32) {
        let full_ms = 10u64 << attempt.min(8);
        let full_ms = full_ms.min(2_000);
        let jitter_ms = (self.env.rng.random_u128() % u128::from(full_ms / 2 + 1)) as u64;
        self.env.clock.sleep(Duration::from_millis(full_ms / 2 + jitter_ms)).await;
    }

    async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let timeout = self.env.clock.sleep(REQUEST_TIMEOUT);
        match select(pin!(work), timeout).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// Lists a prefix to its end, beginning again when the store fails in between: a listing must be whole or fail.
pub(crate) async fn list_all(env: &Env, prefix: &Path) -> Result<Vec<ObjectMeta>> {
    let mut attempt = 0;
    let began_ms = env.clock.now_ms();
    loop {
        match env.store.list(Some(prefix)).try_collect().await {
            Ok(found) => return Ok(found),
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(_) if attempt + 1 < READ_TRIES && env.clock.now_ms() - began_ms <= PATIENCE_MS => {
                attempt += 1;
                env.clock.sleep(Duration::from_millis(20 << attempt)).await;
            }
            Err(source) => return Err(Error::store("list", prefix, source)),
        }
    }
}

/// The version in a file's name: its only run of 20 digits.
fn version_of(path: &Path) -> Option<Version> {
    let name = path.filename()?;
    let digits = name.strip_prefix("floor-").or(name.strip_suffix(".vlc")).or(name.strip_suffix(".vck"))?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok().map(Version))?
}
