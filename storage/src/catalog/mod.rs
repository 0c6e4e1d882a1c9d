//! The names of a data directory: schemas, and in them tables, views, external tables and indexes; and its users.
//!
//! The catalog is a log like a table's, in `catalog/`. A table's own log knows nothing of names: creating a table
//! writes its log first and its name after, so that a name never points at nothing.

mod proto;
mod state;
#[cfg(test)]
mod tests;
mod user;

pub use state::{CatalogAction, CatalogEntry, CatalogSnapshot};
pub use user::User;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::TxnId;
use crate::log::{Appended, Draft, Head, Log, LogFiles};
use crate::store::Consistency;
use object_store::path::Path;
use state::CatalogState;
use std::sync::Arc;

/// The schema that every data directory begins with.
pub const DEFAULT_SCHEMA: &str = "public";

/// A table gets its name within this time after it was created, or never.
const NAMELESS_MS_MAX: u64 = 24 * 3600 * 1000;

/// How often a change is computed anew because another writer was faster.
const APPLY_TRIES: u32 = 16;

/// The versioned names of a data directory.
#[derive(Debug)]
pub struct Catalog {
    env: Env,
    pub(crate) log: Arc<Log<CatalogState>>,
}

impl Catalog {
    /// Opens the catalog, creating it with the schema [`DEFAULT_SCHEMA`] where there is none.
    pub(crate) async fn open(env: Env) -> Result<Self> {
        let files = LogFiles { env: env.clone(), root: Path::from("catalog") };
        let catalog = Self { env, log: Arc::new(Log::new(files, ())) };
        if catalog.log.head().await?.is_none() {
            let first = [CatalogAction::CreateSchema { name: DEFAULT_SCHEMA.into() }];
            // Another process may create the same first version at the same time; either will do.
            catalog.append(None, &first).await?;
        }
        Ok(catalog)
    }

    /// The newest names, looked for after this call began.
    ///
    /// # Errors
    /// [`Error::Corrupted`] and [`Error::NewerFormat`] name the file of the catalog's log that cannot be read.
    pub async fn snapshot(&self) -> Result<Arc<CatalogSnapshot>> {
        Ok(self.head().await?.state.snapshot.clone())
    }

    /// Names that were the newest at most so many milliseconds ago; changes made by this process are among them at once.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub async fn recent_snapshot(&self, age_max_ms: i64) -> Result<Arc<CatalogSnapshot>> {
        match self.log.recent(age_max_ms) {
            Some(head) => Ok(head.state.snapshot.clone()),
            None => self.snapshot().await,
        }
    }

    /// Names as fresh as a table's snapshot would have to be. No older version can be had: names are read at the newest.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub async fn at(&self, consistency: Consistency) -> Result<Arc<CatalogSnapshot>> {
        match consistency {
            Consistency::Within(age_max_ms) => self.recent_snapshot(age_max_ms).await,
            Consistency::Strong | Consistency::AtLeast(_) | Consistency::Exactly(_) => self.snapshot().await,
        }
    }

    /// Changes names, atomically: `check` sees the newest names and says what to do; when another writer is faster it
    /// is asked again. No actions, no commit.
    ///
    /// # Errors
    /// Whatever `check` refuses with; an action that does not fit the names (duplicate, missing);
    /// [`Error::CatalogCommitUnknown`] when the store does not say what became of the change.
    pub async fn apply(
        &self,
        check: impl Fn(&CatalogSnapshot) -> Result<Vec<CatalogAction>>,
    ) -> Result<Arc<CatalogSnapshot>> {
        self.apply_with(check).await
    }

    /// The same with a `check` that refuses with errors of the caller's own.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_with<E: From<Error>>(
        &self,
        check: impl Fn(&CatalogSnapshot) -> Result<Vec<CatalogAction>, E>,
    ) -> Result<Arc<CatalogSnapshot>, E> {
        for attempt in 0..APPLY_TRIES {
            if attempt > 0 {
                self.log.files.back_off(attempt).await;
            }
            let head = self.head().await?;
            let actions = check(&head.state.snapshot)?;
            if actions.is_empty() {
                return Ok(head.state.snapshot.clone());
            }
            if let Some(head) = self.append(Some(&head), &actions).await? {
                return Ok(head.state.snapshot.clone());
            }
        }
        let detail = "other processes change names all the time; try again later".into();
        Err(Error::InvalidRows { kind: crate::ErrorKind::Conflict, detail }.into())
    }

    async fn head(&self) -> Result<Arc<Head<CatalogState>>> {
        match self.log.head().await? {
            Some(head) => Ok(head),
            None => {
                let path = self.log.files.commit(crate::ids::Version(0)).to_string();
                Err(Error::Corrupted { path, detail: "the catalog's log is gone".into() })
            }
        }
    }

    /// One try; `None` when another writer was faster.
    async fn append(
        &self,
        base: Option<&Arc<Head<CatalogState>>>,
        actions: &[CatalogAction],
    ) -> Result<Option<Arc<Head<CatalogState>>>> {
        self.check_age(base, actions)?;
        let txn = TxnId(self.env.new_ulid());
        let commit_ts_ms = self.log.next_commit_ts(base.map(|head| &**head));
        let version = base.map_or(crate::ids::Version(0), |head| head.version.next());
        let state = CatalogState::apply(base.map(|head| &head.state), actions, version)?;
        let draft = Draft { txn, commit_ts_ms, body: proto::encode_commit(actions), state };
        match self.log.append(base, draft).await? {
            Appended::Landed(head) => {
                self.log.checkpoint_if_due(&head).await;
                Ok(Some(head))
            }
            Appended::Taken => Ok(None),
            Appended::Unknown(version) => Err(Error::CatalogCommitUnknown { version, txn }),
        }
    }

    /// A table that has gone without a name for a day may be on its way to be deleted.
    fn check_age(&self, base: Option<&Arc<Head<CatalogState>>>, actions: &[CatalogAction]) -> Result<()> {
        let now_ms = self.env.clock.now_ms().max(0) as u64;
        for action in actions {
            if let CatalogAction::Create { name, entry: CatalogEntry::Table { id }, .. }
            | CatalogAction::Replace { name, entry: CatalogEntry::Table { id }, .. } = action
                && now_ms.saturating_sub(id.0.timestamp_ms()) > NAMELESS_MS_MAX
                && !base.is_some_and(|head| head.state.snapshot.tables().any(|known| known == *id))
            {
                let detail =
                    format!("table \"{name}\" was created more than a day ago and may be gone; create it again");
                return Err(Error::InvalidRows { kind: crate::ErrorKind::Conflict, detail });
            }
        }
        Ok(())
    }

    /// Appends an empty change, so that every change under way is checked again; see [`crate::gc`]. False when it did
    /// not get through this time.
    pub(crate) async fn fence(&self) -> Result<bool> {
        for attempt in 1..=APPLY_TRIES {
            let head = self.head().await?;
            match self.append(Some(&head), &[]).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => self.log.files.back_off(attempt).await,
                Err(Error::CatalogCommitUnknown { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
