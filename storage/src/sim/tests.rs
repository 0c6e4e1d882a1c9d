use super::{appends, on_one_thread, run};
use crate::planted::PlantedBug;

/// Schedules of an ordinary run; `VOLLEY_SIM_SCHEDULES` asks for another number, `VOLLEY_SIM_SEED` for one schedule.
const SCHEDULES: u64 = 2_000;
/// A planted bug must be found within so many schedules.
const SCHEDULES_PER_BUG: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_schedule_breaks_an_invariant() {
    let seeds = match number("VOLLEY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("VOLLEY_SIM_SCHEDULES").unwrap_or(SCHEDULES),
    };
    for seed in seeds {
        if let Err(wrong) = run(seed, None) {
            panic!("schedule {seed}: {wrong}");
        }
    }
}

/// Commits of an ordinary run; `VOLLEY_SIM_COMMITS=50000` is the long form.
const COMMITS: u64 = 2_000;
/// Commits of one world, by this many processes.
const COMMITS_PER_WORLD: u64 = 1_000;
const WRITERS: usize = 4;

#[test]
fn commits_are_applied_once_over_a_store_that_cannot_be_trusted() {
    let wanted = number("VOLLEY_SIM_COMMITS").unwrap_or(COMMITS);
    let mut acknowledged = 0;
    for seed in 0..wanted.div_ceil(COMMITS_PER_WORLD) {
        let each = COMMITS_PER_WORLD / WRITERS as u64;
        match on_one_thread(None, appends(seed, WRITERS, each)) {
            Ok(count) => acknowledged += count as u64,
            Err(wrong) => panic!("world {seed}: {wrong}"),
        }
    }
    println!("{acknowledged} commits were acknowledged, each applied once");
    assert!(acknowledged >= wanted, "only {acknowledged} of {wanted} commits were acknowledged");
}

#[test]
fn commits_acknowledged_and_lost_are_found_there() {
    assert!(on_one_thread(Some(PlantedBug::ExistsMeansLanded), appends(0, WRITERS, 100)).is_err());
}

fn is_found(bug: PlantedBug) {
    let found = (0..SCHEDULES_PER_BUG).find_map(|seed| Some((seed, run(seed, Some(bug)).err()?)));
    match found {
        Some((seed, wrong)) => println!("{bug:?} was found by schedule {seed}: {wrong}"),
        None => panic!("{bug:?} was not found in {SCHEDULES_PER_BUG} schedules"),
    }
}

#[test]
fn own_commit_taken_for_anothers_is_found() {
    is_found(PlantedBug::ExistsMeansLost);
}

#[test]
fn anothers_commit_taken_for_own_is_found() {
    is_found(PlantedBug::ExistsMeansLanded);
}

#[test]
fn keys_not_probed_after_a_rebase_are_found() {
    is_found(PlantedBug::KeysNotProbedAgain);
}

#[test]
fn lost_deletes_are_found() {
    is_found(PlantedBug::DeletesReplaced);
}

#[test]
fn files_deleted_after_an_unknown_commit_are_found() {
    is_found(PlantedBug::CleanUpAfterUnknown);
}

#[test]
fn orphans_aged_by_a_wrong_clock_are_found() {
    is_found(PlantedBug::OrphansByLocalClock);
}

#[test]
fn orphans_deleted_under_a_sleeping_writer_are_found() {
    is_found(PlantedBug::OrphansWithoutFence);
}

#[test]
fn commits_in_freed_slots_are_found() {
    is_found(PlantedBug::AcknowledgeBelowFloor);
}
