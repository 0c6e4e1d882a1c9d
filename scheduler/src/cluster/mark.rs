//! Whether two nodes work on the same store.
//!
//! A coordinator leaves an object of its own, `cluster/node-{id}`, and has every executor look for it before it gives work. A
//! node that was started on another directory, or on a copy of it, would answer with other rows and write where nobody reads.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutPayload};
use tonic::Status;
use ulid::Ulid;
use volley_storage::{Env, Error as StorageError};

use super::member::NodeId;
use crate::error::Result;

/// Marks of coordinators that are gone are deleted when they are so old; who is there leaves its own again.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Leaves the mark of a coordinator.
///
/// # Errors
/// A store that cannot be written to.
pub(super) async fn leave(env: &Env, id: NodeId) -> Result<()> {
    let path = path(id);
    let left = env.store.put(&path, PutPayload::from_static(b"a coordinator of this cluster\n")).await;
    left.map(|_| ()).map_err(|source| StorageError::store("write", &path, source).into())
}

/// Leaves the mark again where it is gone, and has the active coordinator delete old ones.
pub(super) async fn keep(env: &Env, id: NodeId, is_active: bool) {
    let own = path(id);
    if matches!(env.store.head(&own).await, Err(StoreError::NotFound { .. })) {
        // Tried again soon.
        let _ = leave(env, id).await;
    }
    if !is_active {
        return;
    }
    let is_old = |id: Ulid| {
        let age_ms = env.clock.now_ms().saturating_sub(i64::try_from(id.timestamp_ms()).unwrap_or(i64::MAX));
        u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > KEPT.as_millis())
    };
    let marks = env.store.list(Some(&Path::from("cluster")));
    let old = marks.try_filter_map(|object| async move {
        let of = object.location.filename().and_then(|name| name.strip_prefix("node-")?.parse::<Ulid>().ok());
        Ok(of.filter(|of| is_old(*of)).map(|_| object.location).filter(|location| *location != path(id)))
    });
    // What cannot be deleted is no harm.
    old.for_each(|location| async {
        if let Ok(location) = location {
            let _ = env.store.delete(&location).await;
        }
    })
    .await;
}

/// Looks for the mark of the coordinator whose id this is; nothing is looked for without one.
///
/// # Errors
/// FAILED_PRECONDITION where it is not there: the two work on different stores. A store that does not answer says nothing.
pub(super) async fn look_for(env: &Env, id: &Bytes) -> Result<(), Status> {
    let Ok(id) = <[u8; 16]>::try_from(id.as_ref()) else { return Ok(()) };
    match env.store.head(&path(NodeId(Ulid::from_bytes(id)))).await {
        Err(StoreError::NotFound { .. }) => Err(Status::failed_precondition(
            "it works on other data than the coordinator; start both with the same -d, and see that both reach the same place",
        )),
        _ => Ok(()),
    }
}

fn path(id: NodeId) -> Path {
    Path::from("cluster").join(format!("node-{id}"))
}

#[cfg(test)]
mod tests {
    use volley_storage::memory_env;

    use super::*;

    #[tokio::test]
    async fn another_store_is_noticed() {
        let (here, elsewhere) = (memory_env(), memory_env());
        let id = NodeId(here.new_ulid());
        let bytes = Bytes::copy_from_slice(&id.0.to_bytes());
        assert!(look_for(&here, &bytes).await.is_err());
        leave(&here, id).await.expect("written");
        assert!(look_for(&here, &bytes).await.is_ok());
        let status = look_for(&elsewhere, &bytes).await.expect_err("another store");
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert!(look_for(&elsewhere, &Bytes::new()).await.is_ok());
    }

    #[tokio::test]
    async fn marks_come_back_and_old_ones_go() {
        let env = memory_env();
        let (own, old) = (NodeId(env.new_ulid()), NodeId(Ulid::from_parts(1, 1)));
        leave(&env, old).await.expect("written");
        keep(&env, own, false).await;
        assert!(env.store.head(&path(own)).await.is_ok() && env.store.head(&path(old)).await.is_ok());
        keep(&env, own, true).await;
        assert!(env.store.head(&path(own)).await.is_ok() && env.store.head(&path(old)).await.is_err());
    }
}
