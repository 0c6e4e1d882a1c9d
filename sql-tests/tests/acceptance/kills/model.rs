//! What the tables must hold.

use std::collections::BTreeMap;

use super::workload::{Change, Step};

/// One row per table and batch, as [`Model::rows`] has them.
pub(super) const QUERY: &str = "\
    SELECT 'keyed' AS t, batch, count(*), sum(id), bool_and(body = 'row ' || id), sum(vector_dims(v)) FROM keyed GROUP BY batch \
    UNION ALL \
    SELECT 'plain', batch, count(*), sum(id), bool_and(body = 'row ' || id), sum(vector_dims(v)) FROM plain GROUP BY batch \
    ORDER BY 1, 2";

/// Ids by table and batch.
#[derive(Debug, Default)]
pub(super) struct Model {
    batches: BTreeMap<(&'static str, i64), Vec<i64>>,
}

impl Model {
    /// Does what a statement does.
    pub(super) fn apply(&mut self, step: &Step) {
        let key = (step.table, step.batch);
        match &step.change {
            Change::Add(ids) => {
                self.batches.insert(key, ids.clone().collect());
            }
            Change::Remove => {
                self.batches.remove(&key);
            }
            Change::RemoveEven => {
                let ids = self.batches.entry(key).or_default();
                ids.retain(|id| id % 2 != 0);
                if ids.is_empty() {
                    self.batches.remove(&key);
                }
            }
        }
    }

    /// Batches there are.
    pub(super) fn batches(&self) -> Vec<(&'static str, i64)> {
        self.batches.keys().copied().collect()
    }

    /// Rows of a batch that a DELETE of all or of the even ids removes.
    pub(super) fn count(&self, batch: &(&'static str, i64), only_even: bool) -> usize {
        let ids = self.batches.get(batch).map_or(&[][..], Vec::as_slice);
        ids.iter().filter(|id| !only_even || *id % 2 == 0).count()
    }

    /// What [`QUERY`] must return.
    pub(super) fn rows(&self) -> Vec<String> {
        let row = |((table, batch), ids): (&(&str, i64), &Vec<i64>)| {
            format!("{table},{batch},{},{},true,{}", ids.len(), ids.iter().sum::<i64>(), 4 * ids.len())
        };
        self.batches.iter().map(row).collect()
    }

    /// The first row in which the tables are not as they must be.
    pub(super) fn difference(&self, found: &[String]) -> String {
        let expected = self.rows();
        let longer = found.len().max(expected.len());
        let row = (0..longer).find(|row| found.get(*row) != expected.get(*row)).unwrap_or_default();
        format!("found {:?}, expected {:?}", found.get(row), expected.get(row))
    }
}
