//! Files with names of their own that must not exist: index files, deletion vectors.
//!
//! Large ones are sent in parts, so that each request is short enough for a slow line and may be sent again by itself. That it
//! must not exist cannot be asked of such a file, but nobody else has its name.

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::files::LogFiles;
use crate::env::Env;
use crate::error::{Error, Result};

/// How often a file is created and looked for.
const TRIES: u32 = 5;
/// A longer file is sent in parts of this length.
const PART_BYTES: usize = 8 << 20;

/// Creates a file of which nobody else writes another version. A reply that got lost, or a conflict with nobody, is settled by
/// looking what stands there: these bytes, and it is done.
pub(crate) async fn create_file(env: &Env, path: &Path, bytes: Bytes) -> Result<()> {
    if bytes.len() > PART_BYTES {
        return upload(env, path, bytes).await.map_err(|source| Error::store("write", path, source));
    }
    let files = LogFiles { env: env.clone(), root: Path::default() };
    let began_ms = env.clock.now_ms();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let failure = match files.create(path, bytes.clone()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => Error::store("write", path, error),
            None => Error::Io { action: "write", path: path.to_string(), source: std::io::ErrorKind::TimedOut.into() },
        };
        match files.read(path).await? {
            Some(found) if found == bytes => return Ok(()),
            Some(_) => return Err(failure),
            None if matches!(failure, Error::DiskFull { .. }) => return Err(failure),
            None if attempt >= TRIES || env.clock.now_ms() - began_ms > super::files::PATIENCE_MS => {
                return Err(failure);
            }
            None => files.back_off(attempt).await,
        }
    }
}

/// Sends a file in parts. It is there when all of them have come, and durable when this returns.
async fn upload(env: &Env, path: &Path, bytes: Bytes) -> object_store::Result<()> {
    let mut upload = env.store.put_multipart(path).await?;
    let parts = (0..bytes.len()).step_by(PART_BYTES);
    let sent = async {
        for from in parts {
            let part = bytes.slice(from..bytes.len().min(from + PART_BYTES));
            upload.put_part(part.into()).await?;
        }
        upload.complete().await
    };
    match sent.await {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{local_env, memory_env};

    #[tokio::test]
    async fn large_files_arrive_whole() {
        let directory = tempfile::tempdir().unwrap();
        for env in [memory_env(), local_env(directory.path()).unwrap()] {
            for length in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
                let path = Path::from(format!("tables/t/seg/s/{length}"));
                let bytes: Bytes = (0..length).map(|at| (at / 1000) as u8).collect::<Vec<_>>().into();
                create_file(&env, &path, bytes.clone()).await.unwrap();
                let found = env.store.get(&path).await.unwrap().bytes().await.unwrap();
                assert!(found == bytes, "{length} bytes");
            }
        }
    }
}
