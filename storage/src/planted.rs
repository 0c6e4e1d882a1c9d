//! Bugs on purpose: each is a mistake that a table format somewhere has made. Tests switch one on to show that the
//! simulation's checker finds it; outside this crate's own tests [`planted`] is always false and costs nothing.

/// One deliberate mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum PlantedBug {
    /// `AlreadyExists` is taken for another's commit although it may be one's own: applied twice.
    ExistsMeansLost,
    /// `AlreadyExists` is taken for one's own commit although it may be another's: acknowledged and gone.
    ExistsMeansLanded,
    /// Primary keys are not looked for again in what others committed meanwhile.
    KeysNotProbedAgain,
    /// Deletion vectors of a rebased transaction replace those of the commits between.
    DeletesReplaced,
    /// The files of a transaction whose outcome is unknown are deleted.
    CleanUpAfterUnknown,
    /// Orphans are aged by the local clock.
    OrphansByLocalClock,
    /// Orphans are deleted although a transaction that refers to them may be under way.
    OrphansWithoutFence,
    /// A commit is acknowledged although garbage collection had freed its slot.
    AcknowledgeBelowFloor,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<PlantedBug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for everything that runs on this thread, or takes it out again.
#[cfg(test)]
pub(crate) fn plant(bug: Option<PlantedBug>) {
    PLANTED.set(bug);
}

/// Whether this bug is switched on.
#[cfg(test)]
pub(crate) fn planted(bug: PlantedBug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is switched on: never.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn planted(_: PlantedBug) -> bool {
    false
}
