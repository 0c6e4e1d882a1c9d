//! Checkpoints: the whole state after a commit, so that nobody reads a log from its beginning.
//!
//! A checkpoint only saves time. It is written after the commit it stands for, by whoever made that commit, and is
//! never needed as long as the log reaches down to version 0; below a floor it takes the place of the deleted commits,
//! which is why garbage collection writes and reads back the one at the floor before it publishes it.

use super::head::Head;
use super::record::{Record, RecordForm};
use super::{CHECKPOINT_EVERY, Log, LogState};
use crate::error::{Error, Result};
use crate::ids::{TxnId, Version};
use object_store::ObjectStoreExt;
use std::sync::Arc;

impl<S: LogState> Log<S> {
    /// A checkpoint as a head to continue from; `None` when there is none of this version.
    pub(crate) async fn read_checkpoint(&self, version: Version) -> Result<Option<Arc<Head<S>>>> {
        let path = self.files.checkpoint(version);
        let Some(file) = self.files.read(&path).await? else { return Ok(None) };
        let record = Record::decode(file, RecordForm::Checkpoint, S::KIND, version).map_err(|d| d.at(&path))?;
        let state = S::from_checkpoint(&self.owner, &record).map_err(|d| d.at(&path))?;
        Ok(Some(Arc::new(Head::new(&record, record.link, state, 0))))
    }

    /// Writes the checkpoint of a head.
    pub(crate) async fn write_checkpoint(&self, head: &Head<S>) -> Result<()> {
        let path = self.files.checkpoint(head.version);
        let record = Record {
            form: RecordForm::Checkpoint,
            kind: S::KIND,
            writer_features: head.writer_features,
            version: head.version,
            commit_ts_ms: head.commit_ts_ms,
            // The state of one version is the same whoever writes it down, and so are the bytes.
            txn: TxnId(ulid::Ulid::nil()),
            link: head.hash,
            body: head.state.to_checkpoint()?.into(),
        };
        let bytes = record.encode();
        match self.files.create(&path, bytes.clone()).await {
            Some(Ok(())) => {}
            reply => match (self.files.read(&path).await?, reply) {
                (Some(_), _) => {}
                (None, Some(Err(source))) => return Err(Error::store("write", &path, source)),
                (None, _) => {
                    let source = std::io::ErrorKind::TimedOut.into();
                    return Err(Error::Io { action: "write", path: path.to_string(), source });
                }
            },
        }
        Ok(())
    }

    /// Writes a checkpoint after every so many commits. Nobody waits for it to be right: a failure is only logged.
    pub(crate) async fn checkpoint_if_due(&self, head: &Head<S>) {
        if head.version.0 == 0 || !head.version.0.is_multiple_of(CHECKPOINT_EVERY) {
            return;
        }
        if let Err(error) = self.write_checkpoint(head).await {
            tracing::warn!(%error, version = head.version.0, "a checkpoint could not be written");
            return;
        }
        // Advisory: a hint that is old or missing costs a listing, so a failure is not worth an error.
        let hint = format!("{}\n", head.version);
        if let Err(error) = self.files.env.store.put(&self.files.hint(), hint.into()).await {
            tracing::debug!(%error, "the hint could not be written");
        }
    }

    /// The version of the newest checkpoint, as far as the hint knows.
    pub(super) async fn hint(&self) -> Option<Version> {
        let bytes = self.files.read(&self.files.hint()).await.ok()??;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok().map(Version)
    }
}
