//! Compaction: small Parquet segments become larger ones, and segments with many deleted rows lose them.
//!
//! Size-tiered: segments of about the same size are merged when there are several of them, so that a row is rewritten
//! a logarithmic number of times. Rows keep their ids. A commit that deletes from a segment meanwhile wins; the
//! compaction of that group gives up.

use crate::database::Database;
use crate::error::{Error, Result};
use crate::ids::TableId;
use crate::segment::{SEGMENT_ROWS_MAX, Segment, SegmentData};
use crate::snapshot::Snapshot;
use crate::store::{Consistency, TableStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Segments with fewer live rows than this are merged.
const SMALL_ROWS: u64 = 65_536;
/// A merge waits for so many segments of one size.
const TIER_SEGMENTS_MIN: usize = 4;
/// A merge holds its rows in memory, so it takes no more bytes of files than this.
const MERGE_BYTES_MAX: u64 = 128 << 20;
/// A segment is rewritten when more than one row in so many is deleted.
const DELETED_ONE_IN: u64 = 5;

impl Database {
    /// Compacts a table where that is worth it, each group of segments in a commit of its own. Returns how many
    /// segments were replaced.
    pub async fn compact(&self, table: TableId) -> Result<usize> {
        let base = self.snapshot(table, Consistency::Strong).await?;
        let mut replaced = 0;
        for group in groups(&base) {
            let count = group.len();
            match self.rewrite(base.clone(), group, "COMPACT").await {
                Ok(_) => replaced += count,
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(replaced)
    }
}

/// Which segments to rewrite together.
fn groups(snapshot: &Snapshot) -> Vec<Vec<Arc<Segment>>> {
    let mut tiers: BTreeMap<u32, Vec<Arc<Segment>>> = BTreeMap::new();
    let mut groups = Vec::new();
    for segment in snapshot.segments.iter().filter(|segment| matches!(segment.data, SegmentData::File(_))) {
        if segment.live_rows() < SMALL_ROWS && file_bytes(segment) < MERGE_BYTES_MAX {
            // Powers of four: 1–3 rows, 4–15, 16–63 …
            tiers.entry(segment.live_rows().max(1).ilog2() / 2).or_default().push(segment.clone());
        } else if is_sparse(segment) {
            groups.push(vec![segment.clone()]);
        }
    }
    for tier in tiers.into_values() {
        if tier.len() < TIER_SEGMENTS_MIN {
            groups.extend(tier.into_iter().filter(|segment| is_sparse(segment)).map(|segment| vec![segment]));
            continue;
        }
        let (mut group, mut rows, mut bytes) = (Vec::new(), 0, 0);
        for segment in tier {
            if rows + segment.live_rows() > SEGMENT_ROWS_MAX as u64 || bytes + file_bytes(&segment) > MERGE_BYTES_MAX {
                groups.push(std::mem::take(&mut group));
                (rows, bytes) = (0, 0);
            }
            rows += segment.live_rows();
            bytes += file_bytes(&segment);
            group.push(segment);
        }
        // What is left over may be one segment that fits its size already.
        if group.len() > 1 || group.first().is_some_and(|segment| is_sparse(segment)) {
            groups.push(group);
        }
    }
    groups
}

fn is_sparse(segment: &Segment) -> bool {
    segment.deletes.count() * DELETED_ONE_IN > segment.rows
}

fn file_bytes(segment: &Segment) -> u64 {
    match &segment.data {
        SegmentData::File(file) => file.length,
        SegmentData::Inline(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environments::memory_env;
    use crate::fixtures::{delete, ids, insert, read, table};

    async fn load(database: &Database, table: TableId, from: i64, count: i64) {
        let rows: Vec<i64> = (from..from + count).collect();
        database.commit(insert(database, table, &rows).await.unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn small_segments_are_merged_and_keep_their_rows() {
        let database = Database::open(memory_env()).await.unwrap();
        let t = table(&database, true).await;
        for n in 0..5 {
            load(&database, t, n * 2000, 2000).await;
        }
        database.commit(delete(&database, t, &[5, 4500]).await.unwrap()).await.unwrap();
        let before = ids(&database, t).await;
        assert_eq!(database.compact(t).await.unwrap(), 5);
        let snapshot = database.snapshot(t, Consistency::Strong).await.unwrap();
        assert_eq!((snapshot.segments.len(), snapshot.live_rows()), (1, 9998));
        assert_eq!(ids(&database, t).await, before);
        let rows = read(&database, &snapshot).await.unwrap();
        assert!(rows.iter().all(|row| row.row_id == row.id as u64));
        assert_eq!(database.compact(t).await.unwrap(), 0);
        // Keys are still known, and rows are still deleted by the rewritten segment's offsets.
        assert!(database.commit(insert(&database, t, &[9999]).await.unwrap()).await.is_err());
        database.commit(delete(&database, t, &[9999]).await.unwrap()).await.unwrap();
        assert_eq!(ids(&database, t).await.len(), 9997);
    }

    #[tokio::test]
    async fn segments_with_many_deleted_rows_are_rewritten() {
        let database = Database::open(memory_env()).await.unwrap();
        let t = table(&database, false).await;
        load(&database, t, 0, 3000).await;
        let some: Vec<i64> = (0..500).collect();
        database.commit(delete(&database, t, &some).await.unwrap()).await.unwrap();
        assert_eq!(database.compact(t).await.unwrap(), 0);
        let more: Vec<i64> = (500..700).collect();
        database.commit(delete(&database, t, &more).await.unwrap()).await.unwrap();
        assert_eq!(database.compact(t).await.unwrap(), 1);
        let snapshot = database.snapshot(t, Consistency::Strong).await.unwrap();
        assert_eq!(snapshot.segments[0].rows, 2300);
        assert_eq!(ids(&database, t).await, (700..3000).collect::<Vec<_>>());
    }
}
