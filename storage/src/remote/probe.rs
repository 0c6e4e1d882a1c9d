//! Whether a store creates an object only where there is none. Every commit rests on that, and there are stores that accept
//! the condition and do not heed it.

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::log::LogFiles;

/// Creates that race for one name.
const RACERS: usize = 4;

/// Refuses a store that fails: a second create of a name must be refused and change nothing, and of several at once exactly
/// one must succeed.
pub(crate) async fn probe(env: &Env) -> Result<()> {
    let files = LogFiles { env: env.clone(), root: Path::from("probe") };
    let paths = [(); 2].map(|()| files.root.clone().join(env.new_ulid().to_string()));
    let found = on_paths(&files, &paths).await;
    // A store that does not answer would not answer to that either. What stays behind is a few bytes that nobody reads.
    if !matches!(found, Err(Error::Store { .. } | Error::Io { .. })) {
        for path in &paths {
            let _ = env.store.delete(path).await;
        }
    }
    found
}

async fn on_paths(files: &LogFiles, [twice, raced]: &[Path; 2]) -> Result<()> {
    let (first, second) = (Bytes::from_static(b"volley probe 1"), Bytes::from_static(b"volley probe 2"));
    created(files, twice, first.clone()).await?;
    if files.create(twice, second).await.is_some_and(|reply| reply.is_ok()) {
        return Err(refused("it created an object twice"));
    }
    if files.read(twice).await?.as_ref() != Some(&first) {
        return Err(refused("a second create changed an object that was there"));
    }
    let racers = (0..RACERS).map(|racer| files.create(raced, Bytes::from(format!("volley racer {racer}"))));
    let replies = join_all(racers).await;
    let winners: Vec<usize> = (0..RACERS).filter(|at| matches!(replies[*at], Some(Ok(())))).collect();
    if winners.len() > 1 {
        return Err(refused("several creates of one name succeeded at the same time"));
    }
    // Without a winner that was told, one whose reply got lost may have won.
    let stands = files.read(raced).await?;
    if let Some(winner) = winners.first()
        && stands != Some(Bytes::from(format!("volley racer {winner}")))
    {
        return Err(refused("an object holds other bytes than those that were created"));
    }
    Ok(())
}

/// Creates an object. A reply that gets lost, or a conflict with nobody, is settled by looking.
async fn created(files: &LogFiles, path: &Path, bytes: Bytes) -> Result<()> {
    const TRIES: u32 = 4;
    let mut last = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            files.back_off(attempt).await;
        }
        match files.create(path, bytes.clone()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(error @ (StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }))) => {
                return Err(refused(&error.to_string()));
            }
            Some(Err(
                error @ (StoreError::PermissionDenied { .. }
                | StoreError::Unauthenticated { .. }
                | StoreError::NotFound { .. }),
            )) => return Err(Error::store("write", path, error)),
            reply => last = reply.and_then(std::result::Result::err),
        }
        if files.read(path).await?.is_some() {
            return Ok(());
        }
    }
    Err(match last {
        Some(error) => Error::store("write", path, error),
        None => Error::Io { action: "write", path: path.to_string(), source: std::io::ErrorKind::TimedOut.into() },
    })
}

fn refused(detail: &str) -> Error {
    let detail = format!(
        "this store cannot hold Volley's data: {detail}, so that commits could be lost; use one with conditional writes"
    );
    Error::Location { kind: ErrorKind::Unsupported, detail }
}

#[cfg(test)]
mod tests;
