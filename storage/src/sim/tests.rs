use super::run;
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
