//! Power cuts at any moment of a database's life: nothing acknowledged may be lost, nothing torn, and what was under
//! way is there completely or not at all.
//!
//! The real database runs on the durable store over a simulated disk that loses every unsynced write (or, by seed, some
//! of them). A model knows what was acknowledged. Each seed lives several lives in one directory: it works until the
//! power goes, boots, is compared with the model and verified, and works on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{max, min, take};
use arrow::datatypes::{Int64Type, UInt64Type};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use roaring::RoaringBitmap;

use crate::catalog::{CatalogAction, CatalogEntry, DEFAULT_SCHEMA};
use crate::database::Database;
use crate::disk::SimDisk;
use crate::disk::sim::{PowerCut, Sabotage};
use crate::env::{Clock, Env, Rng};
use crate::error::Error;
use crate::fixtures;
use crate::ids::{SegmentId, TableId};
use crate::local_store::DurableStore;
use crate::schema::TableSchema;
use crate::segment_writer::tests::{wordy, wordy_batch};
use crate::snapshot::TableProperties;
use crate::store::{Consistency, TableStore};

const LIVES: u64 = 3;
const DIM: usize = 4;

#[derive(Debug, Default)]
struct FastClock(AtomicI64);

#[async_trait]
impl Clock for FastClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1_700_000_000_000
    }

    async fn sleep(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as i64, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[derive(Debug)]
struct SeededRng(Mutex<StdRng>);

impl Rng for SeededRng {
    fn random_u128(&self) -> u128 {
        self.0.lock().random()
    }
}

/// Rows by table, tables by name.
type Model = BTreeMap<String, (TableId, BTreeSet<i64>)>;

/// One seed's life.
struct Life {
    database: Database,
    rng: StdRng,
    /// What was acknowledged.
    sure: Model,
    /// What holds instead if the change under way turns out to have happened.
    doubt: Option<Model>,
    next_id: i64,
    keyed: bool,
}

fn schema(keyed: bool) -> TableSchema {
    let mut schema = wordy(DIM).schema.as_ref().clone();
    if !keyed {
        schema.primary_key.clear();
    }
    schema
}

impl Life {
    /// One random change; the model follows when it is acknowledged.
    async fn step(&mut self) -> crate::Result<()> {
        let names: Vec<String> = self.sure.keys().cloned().collect();
        let name = names.get(self.rng.random_range(0..names.len().max(1))).cloned();
        match (name, self.rng.random_range(0..20)) {
            (None, _) | (Some(_), 0) if names.len() < 3 => self.create().await,
            (Some(name), 1) => self.drop_table(name).await,
            (Some(name), 2..=6) => self.delete(name).await,
            (Some(name), 7..=9) => self.insert(name, 1025..1300).await,
            (Some(name), _) => self.insert(name, 1..6).await,
            (None, _) => Ok(()),
        }
    }

    /// Acknowledges what was in doubt.
    fn acknowledge(&mut self) {
        if let Some(now) = self.doubt.take() {
            self.sure = now;
        }
    }

    async fn create(&mut self) -> crate::Result<()> {
        let id = TableId(self.database.env().new_ulid());
        let name = format!("t{}", self.next_id);
        self.next_id += 1;
        let mut after = self.sure.clone();
        after.insert(name.clone(), (id, BTreeSet::new()));
        self.doubt = Some(after);
        self.database.create_table(id, schema(self.keyed), TableProperties::default()).await?;
        let entry = CatalogEntry::Table { id };
        let action = CatalogAction::Create { schema: DEFAULT_SCHEMA.into(), name, entry };
        self.database.catalog().apply(|_| Ok(vec![action.clone()])).await?;
        self.acknowledge();
        Ok(())
    }

    async fn drop_table(&mut self, name: String) -> crate::Result<()> {
        let mut after = self.sure.clone();
        after.remove(&name);
        self.doubt = Some(after);
        let action = CatalogAction::Drop { schema: DEFAULT_SCHEMA.into(), name };
        self.database.catalog().apply(|_| Ok(vec![action.clone()])).await?;
        self.acknowledge();
        Ok(())
    }

    async fn insert(&mut self, name: String, count: std::ops::Range<i64>) -> crate::Result<()> {
        let count = self.rng.random_range(count);
        let ids = self.next_id..self.next_id + count;
        self.next_id += count;
        let mut after = self.sure.clone();
        let Some((table, rows)) = after.get_mut(&name) else { return Ok(()) };
        let table = *table;
        rows.extend(ids.clone());
        self.doubt = Some(after);
        let mut txn = fixtures::begin(&self.database, table, "INSERT").await?;
        let batch = wordy_batch(&wordy(DIM), ids, DIM);
        txn.add = self.database.stage(&txn.base, stream::iter([Ok(batch)]).boxed()).await?;
        self.database.commit(txn).await?;
        self.acknowledge();
        Ok(())
    }

    async fn delete(&mut self, name: String) -> crate::Result<()> {
        let (modulus, rest) = (self.rng.random_range(1..6), self.rng.random_range(0..6));
        let mut after = self.sure.clone();
        let Some((table, rows)) = after.get_mut(&name) else { return Ok(()) };
        let table = *table;
        let chosen = |id: i64| id % modulus == rest;
        rows.retain(|id| !chosen(*id));
        self.doubt = Some(after);
        let mut txn = fixtures::begin(&self.database, table, "DELETE").await?;
        for (segment, offset, id) in live_rows(&self.database, &txn.base).await? {
            if chosen(id) {
                txn.delete.entry(segment).or_insert_with(RoaringBitmap::new).insert(offset);
            }
        }
        if !txn.delete.is_empty() {
            self.database.commit(txn).await?;
        }
        self.acknowledge();
        Ok(())
    }
}

/// Every live row of a snapshot: segment, offset and id. Decodes every column.
async fn live_rows(
    database: &Database,
    snapshot: &Arc<crate::snapshot::Snapshot>,
) -> crate::Result<Vec<(SegmentId, u32, i64)>> {
    let mut found = Vec::new();
    for segment in &snapshot.segments {
        let deleted = database.deletes(snapshot.table, segment).await?.unwrap_or_default();
        let mut offsets = (0..segment.rows as u32).filter(|offset| !deleted.contains(*offset));
        let only = std::slice::from_ref(segment);
        let batches: Vec<_> = crate::rewrite::live_rows(database, snapshot, only).await?.try_collect().await?;
        for batch in &batches {
            let wrong = |detail: &str| Error::Internal { detail: detail.into() };
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let row_ids = batch.column(batch.num_columns() - 1).as_primitive_opt::<UInt64Type>();
            if row_ids.is_none_or(|r| r.null_count() > 0) {
                return Err(wrong("rows have no ids"));
            }
            check_values(batch).map_err(wrong)?;
            for id in ids.values() {
                let offset = offsets.next().ok_or_else(|| wrong("more rows than the segment has"))?;
                found.push((segment.id, offset, *id));
            }
        }
    }
    Ok(found)
}

/// Whether every column holds what was inserted with the rows' ids.
fn check_values(batch: &RecordBatch) -> Result<(), &'static str> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let (Some(least), Some(greatest)) = (min(ids), max(ids)) else { return Ok(()) };
    let expected = wordy_batch(&wordy(DIM), least..greatest + 1, DIM);
    let positions = UInt64Array::from_iter_values(ids.values().iter().map(|id| (id - least) as u64));
    for (column, expected) in batch.columns().iter().zip(expected.columns()) {
        let expected = take(expected, &positions, None).map_err(|_| "rows cannot be compared")?;
        if column.as_ref() != expected.as_ref() {
            return Err("a row is not what was inserted");
        }
    }
    Ok(())
}

/// What a freshly booted database holds, every file of it verified.
async fn observe(database: &Database) -> Result<Model, String> {
    let failed = |e: Error| e.to_string();
    let names = database.catalog().snapshot().await.map_err(failed)?;
    if let Some(finding) = database.verify(&|_| {}).await.findings.first() {
        return Err(finding.to_string());
    }
    let mut model = Model::new();
    for (name, entry) in names.schemas.get(DEFAULT_SCHEMA).ok_or("the schema is gone")? {
        let CatalogEntry::Table { id } = entry else { continue };
        let snapshot = database.snapshot(*id, Consistency::Strong).await.map_err(failed)?;
        let rows = live_rows(database, &snapshot).await.map_err(failed)?;
        let ids: BTreeSet<i64> = rows.iter().map(|(_, _, id)| *id).collect();
        if ids.len() != rows.len() {
            return Err(format!("rows of {name} appear twice"));
        }
        database.history(*id).await.map_err(failed)?;
        model.insert(name.clone(), (*id, ids));
    }
    Ok(model)
}

fn environment(disk: &SimDisk, seed: u64) -> Result<Env, String> {
    let store = DurableStore::open(disk.clone()).map_err(|e| e.to_string())?;
    Ok(Env {
        clock: Arc::new(FastClock::default()),
        rng: Arc::new(SeededRng(Mutex::new(StdRng::seed_from_u64(seed)))),
        store: Arc::new(store),
        local_root: None,
        disk_cache: None,
    })
}

/// Several lives of one directory; what is wrong, if anything. Counts the changes that were acknowledged.
async fn live(seed: u64, sabotage: Sabotage, acknowledged: &mut u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut disk, mut sure, mut doubt, mut next_id) = (SimDisk::new(), Model::new(), None::<Model>, 0);
    for life in 0..=LIVES {
        let env = environment(&disk, seed * 100 + life)?;
        // The first version of the catalog is written at opening, and then the power may go already.
        disk.sabotage(sabotage);
        if life < LIVES {
            disk.cut_after(rng.random_range(0..400));
        }
        let opened = match Database::open(env).await {
            Ok(database) => observe(&database).await.map(|found| (database, found)),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok((database, found)) => {
                if found != sure && doubt.as_ref() != Some(&found) {
                    return Err(format!("life {life}: found {}, sure of {}", show(&found), show(&sure)));
                }
                let keyed = seed.is_multiple_of(2);
                let rng = StdRng::seed_from_u64(rng.random());
                let mut this = Life { database, rng, sure: found, doubt: None, next_id, keyed };
                for _ in 0..60 {
                    match this.step().await {
                        Ok(()) => *acknowledged += 1,
                        Err(_) if disk.is_off() => break,
                        Err(error) => return Err(format!("life {life}: {error}")),
                    }
                }
                this.database.settle().await;
                (sure, doubt, next_id) = (this.sure, this.doubt, this.next_id);
            }
            Err(_) if disk.is_off() => {}
            Err(fault) => return Err(format!("life {life}: {fault}")),
        }
        let cut = if seed % 4 < 2 { PowerCut::DropAll } else { PowerCut::Random(rng.random()) };
        disk = disk.power_cut(cut);
    }
    Ok(())
}

fn show(model: &Model) -> String {
    let tables: Vec<String> = model.iter().map(|(name, (_, rows))| format!("{name}: {} rows", rows.len())).collect();
    format!("[{}]", tables.join(", "))
}

fn run(seed: u64, sabotage: Sabotage, acknowledged: &mut u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(live(seed, sabotage, acknowledged))
}

/// Seeds 0 to 66 with three cuts each: 201 power cuts.
#[test]
fn nothing_acknowledged_is_lost_in_200_power_cuts() {
    let mut acknowledged = 0;
    for seed in 0..67 {
        if let Err(fault) = run(seed, Sabotage::default(), &mut acknowledged) {
            panic!("seed {seed}: {fault}");
        }
    }
    assert!(acknowledged > 2000, "only {acknowledged} changes were acknowledged");
}

#[test]
fn a_removed_sync_of_files_is_found() {
    let sabotage = Sabotage { ignore_file_syncs: true, ..Default::default() };
    assert!((0..20).any(|seed| run(seed, sabotage, &mut 0).is_err()));
}

#[test]
fn a_removed_sync_of_directories_is_found() {
    let sabotage = Sabotage { ignore_dir_syncs: true, ..Default::default() };
    assert!((0..20).any(|seed| run(seed, sabotage, &mut 0).is_err()));
}
