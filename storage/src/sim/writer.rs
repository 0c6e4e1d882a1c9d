//! What a process does: appends, deletes, updates, folds, collections, reads, sleeps, crashes.

use super::world::World;
use super::{Tables, fixtures};
use crate::database::Database;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::{TableId, TxnId, Version};
use crate::schema::TableSchema;
use crate::segment_writer::{StageOptions, stage};
use crate::store::{Consistency, StagedSegment, TableStore, Transaction};
use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use fixtures::Row;
use futures::future::{Either, select};
use futures::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: u64 = 3600 * 1000;
/// Commits of one change by a process that wants to know what became of it.
const TRIES_UNTIL_KNOWN: usize = 20;

/// What became of an attempt, as its process knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Acknowledged,
    /// An error that says that nothing was applied.
    Refused,
    /// No answer, or the process died.
    Unknown,
}

/// One change that a process wants, whatever number of transactions it takes.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) table: TableId,
    pub(super) operation: &'static str,
    pub(super) txns: Vec<TxnId>,
    /// Notes of the rows added; no two attempts share one.
    pub(super) adds: Vec<String>,
    /// Notes of the rows deleted.
    pub(super) deletes: Vec<String>,
    pub(super) outcome: Outcome,
    /// Whether a try of it may have landed without anybody being told.
    doubtful: bool,
}

/// What a process did and what struck it as wrong.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) attempts: Vec<Attempt>,
    pub(super) complaints: Vec<String>,
}

struct Process {
    world: Arc<World>,
    index: usize,
    tables: Tables,
    database: Database,
    journal: Journal,
    notes: u64,
    /// The newest version of each table that this opening of the database has shown.
    seen: BTreeMap<TableId, Version>,
}

/// One process from beginning to end.
pub(super) async fn work(world: Arc<World>, index: usize, tables: Tables) -> Journal {
    // The first clock is right; others are wrong by hours or by days.
    let skews_ms = [0, 2 * HOUR_MS as i64, 6 * 24 * HOUR_MS as i64, -(5 * 24 * HOUR_MS as i64)];
    let skew_ms = if index == 0 { 0 } else { skews_ms[world.random(4) as usize] };
    let env = world.env(index, skew_ms);
    let mut process = Process::begin(&world, env.clone(), index, tables).await;
    for _ in 0..6 + world.random(10) {
        let crashes = world.chance(60);
        let dies_ms = if crashes { world.random(400) } else { 400 * 24 * HOUR_MS };
        let died = {
            let step = pin!(process.step());
            matches!(select(step, world.sleep(None, dies_ms)).await, Either::Right(_))
        };
        if died {
            process.database = open(&env).await;
            process.seen.clear();
        }
    }
    process.journal
}

/// One process that appends, folds and collects, and asks again until it knows what became of a change.
pub(super) async fn append(world: Arc<World>, index: usize, tables: Tables, count: u64) -> Journal {
    const PHASES: u64 = 4;
    let mut process = Process::begin(&world, world.env(index, 0), index, tables).await;
    for phase in 0..PHASES {
        for number in phase * count / PHASES..(phase + 1) * count / PHASES {
            let table = if number % 2 == 0 { tables.plain } else { tables.keyed };
            // Keys of its own, so that only the store can stand in the way.
            let key = index as i64 * 1_000_000 + number as i64;
            process.append_one(table, key).await;
            if world.chance(20) {
                drop(process.database.fold_inline(table).await);
            }
        }
        // Days later much may be deleted, while others still write.
        world.sleep(Some(index), 80 * HOUR_MS + world.random(20 * HOUR_MS)).await;
        drop(process.database.collect_garbage(Duration::ZERO).await);
    }
    process.journal
}

async fn open(env: &Env) -> Database {
    loop {
        if let Ok(database) = Database::open(env.clone()).await {
            return database;
        }
    }
}

impl Process {
    async fn begin(world: &Arc<World>, env: Env, index: usize, tables: Tables) -> Self {
        let (database, world) = (open(&env).await, world.clone());
        Process { world, index, tables, database, journal: Journal::default(), notes: 0, seen: BTreeMap::new() }
    }

    /// Appends a row, beginning anew where that is refused.
    async fn append_one(&mut self, table: TableId, key: i64) {
        while self.try_to_append(table, key).await == Outcome::Refused {}
    }

    async fn try_to_append(&mut self, table: TableId, key: i64) -> Outcome {
        let notes = vec![self.note()];
        let mut txn = loop {
            if let Ok(txn) = fixtures::begin(&self.database, table, "INSERT").await {
                break txn;
            }
        };
        txn.add = loop {
            if let Ok(add) = self.stage(&txn, &[key], &notes).await {
                break add;
            }
        };
        let attempt = self.open_attempt(&txn, notes, Vec::new());
        for _ in 0..TRIES_UNTIL_KNOWN {
            self.commit(attempt, txn.clone()).await;
            if self.journal.attempts[attempt].outcome != Outcome::Unknown {
                break;
            }
        }
        self.journal.attempts[attempt].outcome
    }

    async fn step(&mut self) {
        let table = if self.world.chance(500) { self.tables.plain } else { self.tables.keyed };
        match self.world.random(100) {
            0..35 => self.insert(table).await,
            35..55 => self.delete(table).await,
            55..65 => self.update().await,
            65..72 => drop(self.database.fold_inline(table).await),
            72..82 => drop(self.database.collect_garbage(Duration::ZERO).await),
            82..90 => {
                let ms = self.world.random(40 * HOUR_MS);
                self.world.sleep(Some(self.index), ms).await;
            }
            _ => drop(self.read(table).await),
        }
    }

    async fn insert(&mut self, table: TableId) {
        let count = 1 + self.world.random(3);
        let keys: BTreeSet<i64> = (0..count).map(|_| self.world.random(40) as i64).collect();
        let keys: Vec<i64> = keys.into_iter().collect();
        let notes: Vec<String> = keys.iter().map(|_| self.note()).collect();
        let began_ms = self.world.now_ms();
        let client = self.world.chance(200).then(|| (format!("client {}", self.index), self.notes));
        let Ok(mut txn) = fixtures::begin(&self.database, table, "INSERT").await else { return };
        let Ok(add) = self.stage(&txn, &keys, &notes).await else { return };
        txn.add = add;
        txn.idempotency = client.clone();
        let attempt = self.open_attempt(&txn, notes.clone(), Vec::new());
        self.commit(attempt, txn).await;
        // A client that got no answer may send the same change again, as a new transaction, while its key is remembered
        // (seven days after the first landed).
        let soon = self.world.now_ms() - began_ms < HOUR_MS as i64;
        if soon && client.is_some() && self.journal.attempts[attempt].outcome == Outcome::Unknown {
            let Ok(mut again) = fixtures::begin(&self.database, table, "INSERT").await else { return };
            let Ok(add) = self.stage(&again, &keys, &notes).await else { return };
            again.add = add;
            again.idempotency = client;
            self.journal.attempts[attempt].txns.push(again.id);
            self.commit(attempt, again).await;
        }
    }

    async fn delete(&mut self, table: TableId) {
        let Ok((mut txn, rows)) = self.begin_with_rows(table, "DELETE").await else { return };
        let mut notes = Vec::new();
        for _ in 0..1 + self.world.random(3) {
            let Some(row) = self.pick(&rows) else { return };
            if txn.delete.entry(row.segment).or_default().insert(row.offset) {
                notes.push(row.note.clone());
            }
        }
        let attempt = self.open_attempt(&txn, Vec::new(), notes);
        self.commit(attempt, txn).await;
    }

    async fn update(&mut self) {
        let Ok((mut txn, rows)) = self.begin_with_rows(self.tables.keyed, "UPDATE").await else { return };
        let Some(row) = self.pick(&rows) else { return };
        let (id, old) = (row.id, row.note.clone());
        txn.delete.entry(row.segment).or_default().insert(row.offset);
        let notes = vec![self.note()];
        let Ok(add) = self.stage(&txn, &[id], &notes).await else { return };
        txn.add = add;
        let attempt = self.open_attempt(&txn, notes, vec![old]);
        self.commit(attempt, txn).await;
    }

    /// Looks at the table as a query would: newest version or not, all rows.
    async fn read(&mut self, table: TableId) -> Result<Vec<Row>> {
        let acknowledged = self.world.acknowledged(table);
        let snapshot = self.database.snapshot(table, Consistency::Strong).await?;
        let seen = self.seen.entry(table).or_default();
        if snapshot.version < acknowledged.max(*seen) {
            let known = acknowledged.max(*seen);
            self.journal.complaints.push(format!("saw version {} after {known}", snapshot.version));
        }
        *seen = snapshot.version;
        let began_ms = self.world.now_ms();
        let rows = fixtures::read(&self.database, &snapshot).await;
        self.judge(table, began_ms, rows)
    }

    fn judge(&mut self, table: TableId, began_ms: i64, rows: Result<Vec<Row>>) -> Result<Vec<Row>> {
        // A reader that fell asleep over its snapshot for more than the retention has no claim on its files.
        let awake = self.world.now_ms() - began_ms < 23 * HOUR_MS as i64;
        match &rows {
            Err(error) if awake && format!("{error:?}").contains("NotFound") => {
                self.journal.complaints.push(format!("a live file is missing: {error}"));
            }
            Ok(rows) if table == self.tables.keyed => {
                let keys: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
                if keys.len() < rows.len() {
                    self.journal.complaints.push("saw a primary key twice".into());
                }
            }
            _ => {}
        }
        rows
    }

    async fn begin_with_rows(&mut self, table: TableId, operation: &str) -> Result<(Transaction, Vec<Row>)> {
        let txn = fixtures::begin(&self.database, table, operation).await?;
        let began_ms = self.world.now_ms();
        let rows = fixtures::read(&self.database, &txn.base).await;
        Ok((txn, self.judge(table, began_ms, rows)?))
    }

    fn pick<'a>(&self, rows: &'a [Row]) -> Option<&'a Row> {
        rows.get(self.world.random(rows.len() as u64) as usize)
    }

    fn note(&mut self) -> String {
        self.notes += 1;
        format!("{}.{}", self.index, self.notes)
    }

    /// Writes rows, sometimes as a file however few they are.
    async fn stage(&self, txn: &Transaction, keys: &[i64], notes: &[String]) -> Result<Vec<StagedSegment>> {
        let rows = batch(&txn.base.schema, keys, notes);
        let inline_bytes_max = if self.world.chance(400) { 0 } else { 64 << 10 };
        let options = StageOptions { row_ids: false, inline_bytes_max };
        stage(self.database.env(), txn.base.table, &txn.base, stream::iter([Ok(rows)]).boxed(), options).await
    }

    /// Notes an attempt before it is made: a process that dies leaves it unknown.
    fn open_attempt(&mut self, txn: &Transaction, adds: Vec<String>, deletes: Vec<String>) -> usize {
        let operation = if deletes.is_empty() {
            "INSERT"
        } else if adds.is_empty() {
            "DELETE"
        } else {
            "UPDATE"
        };
        let (table, txns) = (txn.base.table, vec![txn.id]);
        let outcome = Outcome::Unknown;
        self.journal.attempts.push(Attempt { table, operation, txns, adds, deletes, outcome, doubtful: false });
        self.journal.attempts.len() - 1
    }

    async fn commit(&mut self, attempt: usize, txn: Transaction) {
        let table = txn.base.table;
        let mut tries = 1 + self.world.random(2);
        self.journal.attempts[attempt].doubtful |= self.journal.attempts[attempt].txns.len() > 1;
        loop {
            tries -= 1;
            let reply = self.database.commit(txn.clone()).await;
            self.world.trace(|| {
                let told = reply.as_ref().map(|done| done.snapshot.version).map_err(ToString::to_string);
                format!("{} {} {:?}: {told:?}", self.index, txn.operation, self.journal.attempts[attempt])
            });
            match reply {
                Ok(done) => {
                    self.journal.attempts[attempt].outcome = Outcome::Acknowledged;
                    self.world.acknowledge(table, done.snapshot.version);
                    return;
                }
                Err(Error::CommitUnknown { .. }) => self.journal.attempts[attempt].doubtful = true,
                // After a doubtful try nothing but success tells what became of it.
                Err(_) if self.journal.attempts[attempt].doubtful => {}
                Err(_) => {
                    self.journal.attempts[attempt].outcome = Outcome::Refused;
                    return;
                }
            }
            if tries == 0 {
                return;
            }
        }
    }
}

fn batch(schema: &TableSchema, keys: &[i64], notes: &[String]) -> RecordBatch {
    let notes = StringViewArray::from_iter_values(notes);
    let keys = Int64Array::from(keys.to_vec());
    match RecordBatch::try_new(schema.arrow.clone(), vec![Arc::new(keys), Arc::new(notes)]) {
        Ok(batch) => batch,
        Err(error) => panic!("the simulation's own rows: {error}"),
    }
}
