//! What must hold at the end of a schedule.

use super::world::World;
use super::writer::{Attempt, Journal, Outcome};
use super::{Tables, fixtures};
use crate::database::{Database, file_path};
use crate::gc::segment_files;
use crate::ids::{TableId, TxnId, Version};
use crate::log::hash_of;
use crate::store::{Consistency, TableStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Versions of each table that are read completely, besides the newest.
const OLD_VERSIONS_READ: u64 = 3;

/// Checks everything; the first thing that is wrong.
pub(super) async fn check(world: Arc<World>, tables: Tables, journals: Vec<Arc<Journal>>) -> Result<(), String> {
    if let Some(complaint) = journals.iter().flat_map(|journal| &journal.complaints).next() {
        return Err(complaint.clone());
    }
    // A process that knows nothing, on a store that has stopped failing.
    let database = Database::open(world.env(99, 0)).await.map_err(|e| format!("cannot be opened: {e}"))?;
    for table in [tables.plain, tables.keyed] {
        let attempts: Vec<&Attempt> =
            journals.iter().flat_map(|journal| &journal.attempts).filter(|a| a.table == table).collect();
        let versions = check_log(&world, &database, table, &attempts).await?;
        check_rows(&database, table, &attempts).await?;
        for _ in 0..OLD_VERSIONS_READ {
            let version = versions[world.random(versions.len() as u64) as usize];
            let ids = ids_at(&database, table, version).await?;
            if table == tables.keyed && ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
                return Err(format!("version {version} has a primary key twice: {ids:?}"));
            }
        }
    }
    Ok(())
}

async fn ids_at(database: &Database, table: TableId, version: Version) -> Result<Vec<i64>, String> {
    let at = Consistency::Exactly(version);
    let snapshot = database.snapshot(table, at).await.map_err(|e| format!("version {version} is gone: {e}"))?;
    let rows = fixtures::read(database, &snapshot).await.map_err(|e| format!("version {version}: {e}"))?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The chain is whole from the floor to the newest version, every file of every version is there, and no transaction
/// is in the log twice. Returns the versions.
async fn check_log(
    world: &World,
    database: &Database,
    table: TableId,
    attempts: &[&Attempt],
) -> Result<Vec<Version>, String> {
    let handle = database.table(table);
    let floor = handle.log.floor().await.map_err(|e| e.to_string())?;
    let mut missing = None;
    let newest = handle
        .log
        .walk(floor, |head| {
            for file in head.state.snapshot.segments.iter().flat_map(|segment| segment_files(segment)) {
                let object = world.with(|state| state.objects.get(&file_path(table, &file)).cloned());
                let whole =
                    object.is_some_and(|o| o.bytes.len() as u64 == file.length && hash_of(&o.bytes) == file.blake3);
                if !whole {
                    missing = Some(format!("version {} refers to {}, which is gone", head.version, file.path));
                }
            }
        })
        .await
        .map_err(|e| format!("the log is broken: {e}"))?;
    if let Some(missing) = missing {
        return Err(missing);
    }
    if newest < world.acknowledged(table) {
        return Err(format!("version {} was acknowledged, the log ends at {newest}", world.acknowledged(table)));
    }
    let mut times: BTreeMap<TxnId, u64> = BTreeMap::new();
    for version in floor.0 + 1..=newest.0 {
        let record = handle.log.record(Version(version)).await.map_err(|e| e.to_string())?;
        *times.entry(record.ok_or(format!("commit {version} is missing"))?.txn).or_default() += 1;
    }
    for attempt in attempts {
        let count: u64 = attempt.txns.iter().filter_map(|txn| times.get(txn)).sum();
        let fits = match attempt.outcome {
            // Below the floor the rows have to tell.
            Outcome::Acknowledged => count == 1 || count == 0 && floor > Version(0),
            Outcome::Refused => count == 0,
            Outcome::Unknown => count <= 1,
        };
        if !fits {
            return Err(format!("{:?} {} is in the log {count} times", attempt.outcome, attempt.operation));
        }
    }
    Ok((floor.0..=newest.0).map(Version).collect())
}

/// Every acknowledged change shows, every refused one does not, unknown ones show whole or not at all.
async fn check_rows(database: &Database, table: TableId, attempts: &[&Attempt]) -> Result<(), String> {
    let snapshot = database.snapshot(table, Consistency::Strong).await.map_err(|e| e.to_string())?;
    let rows = fixtures::read(database, &snapshot).await.map_err(|e| format!("the newest version: {e}"))?;
    let present: BTreeSet<&str> = rows.iter().map(|row| &row.note[..]).collect();
    if present.len() < rows.len() {
        return Err("a row is there twice".into());
    }
    let row_ids: BTreeSet<u64> = rows.iter().map(|row| row.row_id).collect();
    if row_ids.len() < rows.len() {
        return Err("two rows share a row id".into());
    }
    if !snapshot.schema.primary_key.is_empty() {
        let keys: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        if keys.len() < rows.len() {
            return Err("a primary key is there twice".into());
        }
    }
    let mut maybe_deleted = BTreeSet::new();
    let mut deleted = BTreeSet::new();
    for attempt in attempts {
        for note in &attempt.deletes {
            match attempt.outcome {
                Outcome::Acknowledged if !deleted.insert(&note[..]) => {
                    return Err(format!("row {note} was deleted by two acknowledged transactions"));
                }
                Outcome::Acknowledged | Outcome::Unknown => drop(maybe_deleted.insert(&note[..])),
                Outcome::Refused => {}
            }
        }
    }
    if let Some(note) = deleted.iter().find(|note| present.contains(*note)) {
        return Err(format!("row {note} is there although its deletion was acknowledged"));
    }
    for attempt in attempts {
        let accounted = |note: &String| present.contains(&note[..]) || maybe_deleted.contains(&note[..]);
        let shown = attempt.adds.iter().filter(|note| present.contains(&note[..])).count();
        match attempt.outcome {
            Outcome::Acknowledged if !attempt.adds.iter().all(accounted) => {
                return Err(format!("rows {:?} were acknowledged and are gone", attempt.adds));
            }
            Outcome::Refused if shown > 0 => {
                return Err(format!("rows {:?} are there although their {} failed", attempt.adds, attempt.operation));
            }
            Outcome::Unknown if shown > 0 && !attempt.adds.iter().all(accounted) => {
                return Err(format!("only a part of rows {:?} is there", attempt.adds));
            }
            _ => {}
        }
    }
    Ok(())
}
