//! When a call is slow, and how often another executor may be asked in addition.

use std::time::Duration;

use parking_lot::Mutex;

use super::counters::Recent;

/// Calls that are answered within this are never slow.
const SLOW_MIN: Duration = Duration::from_millis(5);
/// What takes so many times as long as slow calls do is far too late.
const FAR: u32 = 4;
/// A call that is far too late is looked at so often.
const AGAIN_EVERY: Duration = Duration::from_millis(750);
/// Nobody is waited for alone when the call takes so many times as long as slow calls do ...
const OVERDUE: u32 = 10;
/// ... and at least this.
const OVERDUE_MIN: Duration = Duration::from_secs(10);
/// Before this many calls were answered, nobody knows what is slow.
const KNOWN_MIN: usize = 20;
/// What each call adds to the allowance of further calls: of a hundred, five.
const PER_CALL: f64 = 0.05;
/// No more can be saved up, so that calls that have been fast for long do not let all of a slow minute be made twice.
const SAVED_MAX: f64 = 10.0;
/// What is left for calls that are far too late: of a hundred calls five are slow by definition, and would take it all.
const RESERVE: f64 = 5.0;

/// How late a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lateness {
    /// Later than 95 of 100.
    Slow,
    /// Much later.
    Far,
    /// So late that whoever was asked may never answer.
    Overdue,
}

/// The pace of one kind of calls.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    recent: Recent,
    saved: f64,
}

impl Pace {
    /// A call begins. Returns after what time it is how late, the last time being when it is overdue.
    pub(super) fn begun(&self) -> impl Iterator<Item = (Duration, Lateness)> + use<> {
        let mut inner = self.0.lock();
        inner.saved = (inner.saved + PER_CALL).min(SAVED_MAX);
        let slow = inner.recent.p95().filter(|_| inner.recent.len() >= KNOWN_MIN).map(|slow| slow.max(SLOW_MIN));
        let overdue = slow.map_or(OVERDUE_MIN, |slow| (slow * OVERDUE).max(OVERDUE_MIN));
        let known = slow.into_iter().flat_map(|slow| {
            let far = (0..).map(move |times| (slow * FAR + AGAIN_EVERY * times, Lateness::Far));
            [(slow, Lateness::Slow)].into_iter().chain(far)
        });
        known.take_while(move |(after, _)| *after < overdue).chain([(overdue, Lateness::Overdue)])
    }

    /// A call was answered after so long.
    pub(super) fn answered(&self, took: Duration) {
        self.0.lock().recent.add(took);
    }

    /// Whether so many calls may be made in addition, because one is so late; they count as made. One that is overdue must not
    /// be waited for alone, whatever is left.
    pub(super) fn may_hedge(&self, calls: usize, lateness: Lateness) -> bool {
        let mut inner = self.0.lock();
        let left = match lateness {
            Lateness::Slow => RESERVE,
            Lateness::Far => 0.0,
            Lateness::Overdue => f64::NEG_INFINITY,
        };
        let is_enough = inner.saved >= calls as f64 + left;
        if is_enough {
            inner.saved = (inner.saved - calls as f64).max(0.0);
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_calls_five_are_made_twice() {
        let pace = Pace::default();
        let mut hedges = 0;
        for _ in 0..10_000 {
            drop(pace.begun());
            hedges += usize::from(pace.may_hedge(1, Lateness::Far));
        }
        assert!((480..=500).contains(&hedges), "{hedges}");
    }

    #[test]
    fn slow_calls_leave_something_for_those_that_are_far_too_late() {
        let pace = Pace::default();
        for _ in 0..10_000 {
            drop(pace.begun());
        }
        // After any pause there is no more than what may be saved up.
        let at_once = |lateness| (0..100).filter(|_| pace.may_hedge(1, lateness)).count();
        assert_eq!(at_once(Lateness::Slow), (SAVED_MAX - RESERVE) as usize);
        assert_eq!(at_once(Lateness::Far), RESERVE as usize);
    }

    #[test]
    fn slow_is_what_most_calls_are_not() {
        let pace = Pace::default();
        let first = || pace.begun().next();
        (0..19).for_each(|_| pace.answered(Duration::from_millis(20)));
        assert_eq!(first(), Some((OVERDUE_MIN, Lateness::Overdue)));
        pace.answered(Duration::from_millis(500));
        assert_eq!(first(), Some((Duration::from_millis(20), Lateness::Slow)));
        (0..100).for_each(|_| pace.answered(Duration::from_micros(10)));
        assert_eq!(first(), Some((SLOW_MIN, Lateness::Slow)));
    }

    #[test]
    fn a_call_that_does_not_end_is_looked_at_until_it_is_overdue() {
        for (p95, overdue) in
            [(20, OVERDUE_MIN), (3000, Duration::from_secs(30)), (3_600_000, Duration::from_secs(36_000))]
        {
            let pace = Pace::default();
            (0..KNOWN_MIN).for_each(|_| pace.answered(Duration::from_millis(p95)));
            let looks: Vec<_> = pace.begun().collect();
            assert!(
                looks.is_sorted() && looks.iter().filter(|(_, late)| *late == Lateness::Far).count() > 5,
                "{looks:?}"
            );
            assert_eq!(looks.last(), Some(&(overdue, Lateness::Overdue)));
        }
        // That it is overdue is no question of what was saved up, which it takes.
        let pace = Pace::default();
        assert!(!pace.may_hedge(1, Lateness::Far) && pace.may_hedge(3, Lateness::Overdue));
        (0..21).for_each(|_| drop(pace.begun()));
        assert!(pace.may_hedge(1, Lateness::Far));
    }
}
