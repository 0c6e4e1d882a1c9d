//! A simulation of several processes on one store that fails in every way a store may fail.
//!
//! One thread, a clock that only moves when everybody waits, and one seed that decides everything: a schedule that
//! finds a fault finds it again. The code under test is the real one; only clock, randomness and store are replaced.
//!
//! The long forms: `VOLLEY_SIM_SCHEDULES=100000 cargo test --release --workspace no_schedule_breaks`, and for commits over a store
//! that loses every fifth reply, `VOLLEY_SIM_COMMITS=50000 cargo test --release --workspace commits_are_applied_once`.
//!
//! | file | what it holds |
//! |---|---|
//! | `world.rs` | time, timers, randomness, the objects, who is frozen or cut off |
//! | `store.rs` | the object store: lost replies, `AlreadyExists` for nothing, puts that land much later, slow lists |
//! | `writer.rs` | what a process does: appends, deletes, updates, folds, collections, reads, sleeps, crashes |
//! | `checker.rs` | what must hold at the end |

mod checker;
mod store;
#[cfg(test)]
mod tests;
mod world;
mod writer;

use crate::database::Database;
use crate::fixtures;
use crate::ids::TableId;
use crate::planted::{PlantedBug, plant};
use crate::snapshot::TableProperties;
use crate::store::TableStore;
use std::sync::Arc;
use tokio::task::JoinHandle;
use world::{Weather, World};
use writer::Journal;

/// Processes of a schedule whose faults never end would never end either.
const EVENTS_MAX: u64 = 2_000_000;

/// The two tables of a schedule.
#[derive(Debug, Clone, Copy)]
struct Tables {
    plain: TableId,
    keyed: TableId,
}

/// Runs one schedule and checks it; what is wrong, if anything.
fn run(seed: u64, bug: Option<PlantedBug>) -> Result<(), String> {
    on_one_thread(bug, schedule(seed))
}

fn on_one_thread<T>(bug: Option<PlantedBug>, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    plant(bug);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    let outcome = runtime.block_on(work);
    plant(None);
    outcome
}

async fn schedule(seed: u64) -> Result<(), String> {
    let world = Arc::new(World::new(seed));
    let tables = prepared(&world).await?;
    world.set_weather(Weather::Anything);
    let writers = 2 + world.random(2) as usize;
    let tasks = (0..writers).map(|index| tokio::spawn(writer::work(world.clone(), index, tables))).collect();
    judged(&world, tables, tasks).await.map(drop)
}

/// Several processes append so many rows each through a store whose replies cannot be trusted; how many were acknowledged.
async fn appends(seed: u64, writers: usize, each: u64) -> Result<usize, String> {
    let world = Arc::new(World::new(seed));
    let tables = prepared(&world).await?;
    world.set_weather(Weather::Unreliable);
    let tasks = (0..writers).map(|index| tokio::spawn(writer::append(world.clone(), index, tables, each))).collect();
    let journals = judged(&world, tables, tasks).await?;
    let attempts = journals.iter().flat_map(|journal| &journal.attempts);
    Ok(attempts.filter(|attempt| attempt.outcome == writer::Outcome::Acknowledged).count())
}

async fn prepared(world: &Arc<World>) -> Result<Tables, String> {
    let setup = tokio::spawn(set_up(world.clone()));
    drive(world, || setup.is_finished()).await?;
    setup.await.map_err(|e| e.to_string())?
}

/// Lets the processes come to their end, looks at what they left behind, and hands out what they noted.
async fn judged(
    world: &Arc<World>,
    tables: Tables,
    tasks: Vec<JoinHandle<Journal>>,
) -> Result<Vec<Arc<Journal>>, String> {
    drive(world, || tasks.iter().all(|task| task.is_finished())).await?;
    let mut journals = Vec::new();
    for task in tasks {
        journals.push(Arc::new(task.await.map_err(|e| format!("a writer panicked: {e}"))?));
    }
    // Requests still under way land before the end is looked at.
    world.set_weather(Weather::Calm);
    drive(world, || world.is_quiet()).await?;
    let check = tokio::spawn(checker::check(world.clone(), tables, journals.clone()));
    drive(world, || check.is_finished()).await?;
    check.await.map_err(|e| format!("the checker panicked: {e}"))??;
    Ok(journals)
}

async fn set_up(world: Arc<World>) -> Result<Tables, String> {
    let database = Database::open(world.env(0, 0)).await.map_err(|e| e.to_string())?;
    let mut ids = Vec::new();
    for primary_key in [false, true] {
        let id = TableId(database.env().new_ulid());
        let schema = fixtures::schema(primary_key);
        database.create_table(id, schema, TableProperties { shards: 4 }).await.map_err(|e| e.to_string())?;
        let entry = crate::catalog::CatalogEntry::Table { id };
        let name = format!("t{primary_key}");
        let create = crate::catalog::CatalogAction::Create { schema: "public".into(), name, entry };
        database.catalog().apply(|_| Ok(vec![create.clone()])).await.map_err(|e| e.to_string())?;
        ids.push(id);
    }
    Ok(Tables { plain: ids[0], keyed: ids[1] })
}

/// Lets everything run that can, then moves the clock to the next timer, until `done`.
async fn drive(world: &Arc<World>, done: impl Fn() -> bool) -> Result<(), String> {
    for _ in 0..EVENTS_MAX {
        // A yield on this runtime returns when the queue of ready tasks is empty; tasks woken meanwhile show as
        // activity.
        let mut idle = 0;
        while idle < 2 {
            let before = world.activity();
            tokio::task::yield_now().await;
            idle = if world.activity() == before { idle + 1 } else { 0 };
        }
        if done() {
            return Ok(());
        }
        if !world.fire_next_timer() {
            // Nothing to wait for and not done: a task that was just finishing, or a deadlock.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            return if done() { Ok(()) } else { Err("everybody waits for ever".into()) };
        }
    }
    Err("the schedule does not end".into())
}
