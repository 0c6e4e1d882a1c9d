//! The statements: small and large inserts, loads from files, deletes of whole and half batches.

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

use super::model::Model;

/// One statement and what it does.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) sql: String,
    /// What the program answers.
    pub(super) tag: String,
    pub(super) table: &'static str,
    pub(super) batch: i64,
    pub(super) change: Change,
}

/// What a statement does to its batch.
#[derive(Debug)]
pub(super) enum Change {
    /// Rows with these ids come; the batch is new.
    Add(Range<i64>),
    /// The batch goes.
    Remove,
    /// Its even ids go.
    RemoveEven,
}

/// Makes statements; every batch and id is new.
#[derive(Debug)]
pub(super) struct Workload {
    batch: i64,
    id: i64,
    file: PathBuf,
}

impl Workload {
    /// Files to load are written to this directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self { batch: 0, id: 1, file: directory.join("load.csv") }
    }

    /// The next statement.
    pub(super) fn next(&mut self, model: &Model, rng: &mut StdRng) -> Step {
        let batches = model.batches();
        if !batches.is_empty() && rng.random_bool(0.35) {
            return remove(model, batches[rng.random_range(0..batches.len())], rng.random_bool(0.5));
        }
        self.batch += 1;
        let table = if rng.random_bool(0.5) { "keyed" } else { "plain" };
        let (batch, first) = (self.batch, self.id);
        let (verb, sql, count) = match rng.random_range(0..3) {
            0 => {
                let count = rng.random_range(1..12);
                let rows: Vec<String> = (first..first + count)
                    .map(|id| format!("({id}, {batch}, 'row {id}', '[{id}, 2, 3, 4]')"))
                    .collect();
                ("INSERT 0", format!("INSERT INTO {table} VALUES {}", rows.join(", ")), count)
            }
            1 => {
                let count = rng.random_range(2_000..8_000);
                let last = first + count - 1;
                let select = format!(
                    "SELECT value, {batch}, 'row ' || value, '[1, 2, 3, 4]'::vector(4) FROM generate_series({first}, {last})"
                );
                ("INSERT 0", format!("INSERT INTO {table} {select}"), count)
            }
            _ => {
                let count = rng.random_range(2_000..8_000);
                self.write(batch, first..first + count);
                ("COPY", format!("COPY {table} FROM '{}'", self.file.display()), count)
            }
        };
        self.id += count;
        Step { sql, tag: format!("{verb} {count}"), table, batch, change: Change::Add(first..first + count) }
    }

    /// A file of rows. A program that was killed reads it no more, so that one name will do.
    fn write(&self, batch: i64, ids: Range<i64>) {
        let mut csv = String::from("id,batch,body,v\n");
        for id in ids {
            writeln!(csv, "{id},{batch},row {id},\"[{id}, 2, 3, 4]\"").expect("memory");
        }
        std::fs::write(&self.file, csv).expect("writes");
    }
}

fn remove(model: &Model, batch: (&'static str, i64), only_even: bool) -> Step {
    let count = model.count(&batch, only_even);
    let (table, number) = batch;
    let condition = if only_even { " AND id % 2 = 0" } else { "" };
    Step {
        sql: format!("DELETE FROM {table} WHERE batch = {number}{condition}"),
        tag: format!("DELETE {count}"),
        table,
        batch: number,
        change: if only_even { Change::RemoveEven } else { Change::Remove },
    }
}
