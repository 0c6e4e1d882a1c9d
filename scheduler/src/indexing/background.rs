//! Indexing what was written, after it was acknowledged.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use volley_storage::ErrorKind;
use volley_storage::ids::TableId;
use volley_storage::index_definition::IndexDefinition;

use super::build::Terms;
use super::{Indexer, Work, Working};
use crate::error::{Error, Result};

/// Segments with fewer live rows are compared row by row as fast as through an index.
const INDEXED_ROWS_MIN: u64 = 1_000;

impl Indexer {
    /// A session of this process has written a table: what it left without an index is looked for, if it wants that, and left
    /// alone otherwise, by the coordinator that looks after the tables too.
    pub(crate) fn written(self: &Arc<Self>, table: TableId, index: bool) {
        if index {
            self.left.lock().remove(&table);
            self.look_after(table);
        } else if self.helpers.is_some() {
            self.left.lock().insert(table);
        }
    }

    /// Looks after tables that have changed, whoever changed them, except those that a session wants left alone. Tables that
    /// are gone are forgotten.
    pub(crate) fn look_after_all(self: &Arc<Self>, changed: &[TableId], gone: &[TableId]) {
        let left = {
            let mut left = self.left.lock();
            gone.iter().for_each(|table| {
                left.remove(table);
            });
            left.clone()
        };
        changed.iter().filter(|table| !left.contains(table)).for_each(|table| self.look_after(*table));
    }

    /// Looks, in the background, for segments of a table that lack an index of it, and builds what is missing. One job
    /// for each table: where one runs already, it looks once more when it is done.
    pub(crate) fn look_after(self: &Arc<Self>, table: TableId) {
        if self.stop.is_cancelled() || !self.active.load(Ordering::Acquire) {
            return;
        }
        let mut jobs = self.jobs.lock();
        if let Some(again) = jobs.get_mut(&table) {
            *again = true;
            return;
        }
        jobs.insert(table, false);
        let job = Job { indexer: Arc::clone(self), table, ended: false, _working: self.working() };
        self.cpu.spawn(job.run());
    }

    async fn index_table(&self, table: TableId) -> Result<()> {
        let names = self.database.catalog().snapshot().await?;
        let indexes: Vec<IndexDefinition> = names.indexes(table).map(|(_, _, index)| index.clone()).collect();
        if indexes.is_empty() {
            return Ok(());
        }
        // Folds that the commits left behind make segments too. They go on when this job is stopped.
        let database = self.database.clone();
        let settling = self.cpu.spawn(async move { database.settle().await });
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Error::Cancelled),
            // A fault there is no reason not to index what there is.
            _ = settling => {}
        }
        let threads = self.threads_in_background();
        let terms = Terms { least_rows: INDEXED_ROWS_MIN, anew: HashSet::new(), threads, lenient: true };
        for definition in indexes {
            let stopped = self.stop.clone();
            let work = Work { table, definition, operation: "INDEX", stopped, progress: None };
            match self.build_missing(&work, &terms).await {
                // Dropped meanwhile.
                Err(error) if error.kind() == ErrorKind::InvalidState => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

/// The job of one table. Whatever ends it, the table may have another.
struct Job {
    indexer: Arc<Indexer>,
    table: TableId,
    /// Whether it took itself off the list.
    ended: bool,
    _working: Working,
}

impl Job {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.indexer.index_table(self.table).await
                && error.kind() != ErrorKind::Cancelled
            {
                // The rows are found all the same, by exact search; the next write or REINDEX tries again.
                tracing::warn!(%error, table = %self.table, "new rows are not indexed this time");
            }
            if !self.looks_again() {
                return;
            }
        }
    }

    /// Whether another commit came since the job looked; if not, it is off the list.
    fn looks_again(&mut self) -> bool {
        let mut jobs = self.indexer.jobs.lock();
        match jobs.get_mut(&self.table) {
            Some(again) if *again && !self.indexer.stop.is_cancelled() => *again = false,
            _ => {
                jobs.remove(&self.table);
                self.ended = true;
            }
        }
        !self.ended
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Off the list already, the table may have another job by now.
        if !self.ended {
            self.indexer.jobs.lock().remove(&self.table);
        }
    }
}
