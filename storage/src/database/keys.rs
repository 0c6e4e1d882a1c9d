//! Primary keys between transactions: are the keys to be added in the table already?
//!
//! The 128-bit keyed hash of a key stands for the key (see [`crate::primary_key`]). Each segment is looked through
//! once per transaction: at the first try all of them, after a rebase those that came since. A key that a segment does
//! not have it never gets.

use super::commit::DeletedBySegment;
use super::{Database, file_path};
use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::primary_key::{key_text, probe};
use crate::rewrite::bytes_of;
use crate::schema::TableSchema;
use crate::segment::{FileRef, SegmentData};
use crate::store::{FileBytes, StagedSegment, Transaction};
use crate::table::TableState;
use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::errors::ParquetError;
use std::collections::HashSet;
use std::sync::Arc;

/// Above so many keys they are sorted on a thread that may block.
const SORT_HERE_MAX: usize = 1 << 16;

/// Hashes of the keys that a transaction adds. Rewritten rows (those that bring their row ids) are not new.
pub(super) struct NewKeys {
    hashes: Vec<u128>,
    /// A hash that occurs twice.
    twice: Option<u128>,
}

impl NewKeys {
    pub(super) async fn of(txn: &Transaction) -> Result<Self> {
        let new = txn.add.iter().filter(|staged| !staged.has_row_id_column);
        let hashes: Vec<u128> = new.flat_map(|staged| staged.key_hashes.iter().copied()).collect();
        // One staging has looked for duplicates within itself; only several can have them between each other.
        if txn.add.len() < 2 || hashes.is_empty() {
            return Ok(Self { hashes, twice: None });
        }
        let find = move || {
            let mut sorted = hashes.clone();
            sorted.sort_unstable();
            let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
            Self { hashes, twice }
        };
        if txn.add.iter().map(|staged| staged.key_hashes.len()).sum::<usize>() <= SORT_HERE_MAX {
            return Ok(find());
        }
        let sorted = tokio::task::spawn_blocking(find).await;
        sorted.map_err(|gone| Error::Internal { detail: format!("sorting keys failed: {gone}") })
    }
}

impl Database {
    /// Looks for a transaction's keys in the segments of `state` that were not looked through before.
    ///
    /// # Errors
    /// [`Error::UniqueViolation`] with the key's own values.
    pub(super) async fn probe_keys(
        &self,
        txn: &Transaction,
        keys: &NewKeys,
        state: &TableState,
        deleted: &DeletedBySegment,
        probed: &mut HashSet<SegmentId>,
    ) -> Result<()> {
        if keys.hashes.is_empty() {
            return Ok(());
        }
        if let Some(hash) = keys.twice {
            return Err(self.duplicate(txn, hash).await);
        }
        let table = txn.base.table;
        let mut segments = Vec::new();
        for segment in &state.snapshot.segments {
            if probed.contains(&segment.id) || txn.remove.contains(&segment.id) {
                continue;
            }
            let gone = match deleted.get(&segment.id) {
                Some(with_mine) => Some(with_mine.clone()),
                None => self.inner.deletes.get(&self.inner.files, table, segment).await?,
            };
            segments.push((segment.clone(), gone));
        }
        let schema = &txn.base.schema;
        let path = |file: &FileRef| file_path(table, file);
        if let Some(hash) = probe(&self.inner.files, schema, path, &segments, &keys.hashes).await? {
            return Err(self.duplicate(txn, hash).await);
        }
        probed.extend(segments.iter().map(|(segment, _)| segment.id));
        Ok(())
    }

    /// The error that shows the key itself, found in the transaction's own rows.
    async fn duplicate(&self, txn: &Transaction, hash: u128) -> Error {
        let schema = &txn.base.schema;
        for staged in &txn.add {
            let Some(row) = staged.key_hashes.iter().position(|known| *known == hash) else { continue };
            match self.staged_row(txn, staged, row).await {
                Ok((rows, at)) => return Error::UniqueViolation { key: key_text(schema, &rows, at) },
                Err(error) => return error,
            }
        }
        Error::Internal { detail: "a duplicate key is not among the keys of its transaction".into() }
    }

    /// A batch that holds a staged row with the table's columns, and the row's place in it.
    async fn staged_row(&self, txn: &Transaction, staged: &StagedSegment, row: usize) -> Result<(RecordBatch, usize)> {
        let file = match &staged.data {
            SegmentData::Inline(rows) => return Ok((rows.as_ref().clone(), row)),
            SegmentData::File(file) => file,
        };
        let path = file_path(txn.base.table, file);
        let bytes = self.inner.files.open(&path, file).await?;
        let read = read_key(bytes, &txn.base.schema, row);
        let failed = |source| Error::Parquet { action: "read", path: path.to_string(), source };
        Ok((read.map_err(failed)?, 0))
    }
}

/// One row of a Parquet file.
fn read_key(file: Arc<dyn FileBytes>, schema: &TableSchema, row: usize) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes_of(file))?;
    let columns = ProjectionMask::roots(builder.parquet_schema(), 0..schema.arrow.fields().len());
    let selection = RowSelection::from(vec![RowSelector::skip(row), RowSelector::select(1)]);
    let mut reader = builder.with_projection(columns).with_row_selection(selection).build()?;
    reader.next().ok_or_else(|| ParquetError::General(format!("row {row} is missing")))?.map_err(Into::into)
}
