//! Which executors are there: a state machine without clock, connections or randomness of its own.
//!
//! ```text
//!                  heartbeat                hello answered
//!    (unknown) ───────────────▶ Out ────────────────────────▶ Live ───────────▶ Draining ──▶ (unknown)
//!                                ▲   hello failed: back-off     │   it says so          it leaves, or is silent
//!                                └──────────────────────────────┘
//!                                  a call failed, or 15 s of silence
//! ```
//!
//! An executor is live only as long as both hold: its heartbeats arrive, and it could be reached when it was last tried. So a
//! network that is cut in one direction makes it neither live nor flapping. Times are read from a clock that only goes
//! forward and counts from any moment: clocks of nodes are never compared.

use std::collections::BTreeMap;
use std::time::Duration;

use super::heartbeat::{Phase, Ready};
use super::member::{NodeDescription, NodeId};

/// Who is silent for longer is not there.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Who was silent for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// How long an executor is left alone after its first failure, and after many.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(8);
/// A greeting is over by then, however it went.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// Who was live for so long has made up for earlier failures.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);

/// Whether an executor is given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not, for a reason.
    Out {
        /// Why, as a clause: "it was not called yet".
        why: String,
        /// When it is called again to see whether it answers.
        retry_at: Duration,
    },
    /// It is.
    Live {
        /// Since when.
        since: Duration,
    },
    /// It ends what runs and leaves.
    Draining,
}

/// What an executor reports of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    pub(crate) memory: u64,
    pub(crate) cache: u64,
    pub(crate) ready: Ready,
}

/// An executor that was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) description: NodeDescription,
    pub(crate) state: State,
    pub(crate) report: Report,
    /// When its last heartbeat came.
    pub(crate) heard: Duration,
    /// Failures since it was last forgiven.
    failures: u32,
}

impl Known {
    /// Whether it is given work.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// Why it is given no work; `None` when it is.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        match &self.state {
            State::Out { why, .. } => Some(why),
            State::Live { .. } | State::Draining => None,
        }
    }

    fn out(&mut self, why: String, now: Duration) {
        let back_off = BACK_OFF_MIN.saturating_mul(1 << self.failures.min(8)).min(BACK_OFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Out { why, retry_at: now + back_off };
    }

    /// Whether it is to be greeted now; if so, whoever asked does it.
    fn state_asks_for_greeting(&mut self, now: Duration) -> bool {
        let heard = now.saturating_sub(self.heard) <= SILENCE_MAX;
        match &mut self.state {
            State::Out { retry_at, .. } if heard && *retry_at <= now => {
                *retry_at = now + GREETING_MAX;
                true
            }
            _ => false,
        }
    }
}

/// What a heartbeat asks of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Noted,
    /// It is to be greeted: [`Membership::greeted`] says how that went.
    Greet,
    /// Another run of that name is known. If it still answers, the one that was heard is refused, otherwise it takes the
    /// other's place: [`Membership::insert`].
    Rival(NodeDescription),
}

/// The executors that were heard of, by name.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    known: BTreeMap<String, Known>,
    /// How often somebody live was given up, by name.
    ejections: BTreeMap<String, u64>,
}

impl Membership {
    /// A heartbeat.
    ///
    /// # Errors
    /// A sentence, where two executors say that they are the same run.
    pub(crate) fn heard(
        &mut self,
        node: NodeDescription,
        phase: Phase,
        report: Report,
        now: Duration,
    ) -> Result<Heard, String> {
        let same_id = self.known.values().find(|known| known.description.id == node.id);
        if let Some(other) = same_id.filter(|known| known.description != node) {
            return Err(format!(
                "the executors {} at {} and {} at {} have the same id {}; start the second one anew",
                other.description.name, other.description.address, node.name, node.address, node.id
            ));
        }
        let Some(known) = self.known.get_mut(&node.name) else {
            if phase == Phase::Live {
                self.insert(node, report, now);
                return Ok(Heard::Greet);
            }
            return Ok(Heard::Noted);
        };
        if known.description.id != node.id {
            return Ok(Heard::Rival(known.description.clone()));
        }
        known.heard = now;
        known.report = report;
        if phase == Phase::Draining {
            known.state = State::Draining;
        }
        Ok(if known.state_asks_for_greeting(now) { Heard::Greet } else { Heard::Noted })
    }

    /// A run that nobody knew, or that takes the place of another of its name. It is being greeted.
    pub(crate) fn insert(&mut self, node: NodeDescription, report: Report, now: Duration) {
        let state = State::Out { why: "it was not reached yet".to_owned(), retry_at: now + GREETING_MAX };
        self.known.insert(node.name.clone(), Known { description: node, state, report, heard: now, failures: 0 });
    }

    /// How a greeting went. Returns whether the executor is live from now on.
    pub(crate) fn greeted(&mut self, id: NodeId, outcome: Result<(), String>, now: Duration) -> bool {
        let Some(known) = self.of(id).filter(|known| matches!(known.state, State::Out { .. })) else { return false };
        match outcome {
            Ok(()) if now.saturating_sub(known.heard) <= SILENCE_MAX => {
                known.state = State::Live { since: now };
                true
            }
            Ok(()) => {
                known.out("nothing is heard of it".to_owned(), now);
                false
            }
            Err(why) => {
                known.out(why, now);
                false
            }
        }
    }

    /// A call to it failed. Returns whether it was live until now.
    pub(crate) fn failed(&mut self, id: NodeId, why: &str, now: Duration) -> bool {
        let Some(known) = self.of(id) else { return false };
        let State::Live { since } = known.state else { return false };
        if now.saturating_sub(since) >= FORGIVEN_AFTER {
            known.failures = 0;
        }
        known.out(why.to_owned(), now);
        let name = known.description.name.clone();
        *self.ejections.entry(name).or_default() += 1;
        true
    }

    /// It says goodbye. Returns whether it was known.
    pub(crate) fn left(&mut self, id: NodeId) -> bool {
        let before = self.known.len();
        self.known.retain(|_, known| known.description.id != id);
        self.known.len() < before
    }

    /// Time has passed. Returns whom to greet, and the names of those who are no longer live.
    pub(crate) fn tick(&mut self, now: Duration) -> (Vec<NodeDescription>, Vec<String>) {
        let mut ejected = Vec::new();
        let silence = |known: &Known| now.saturating_sub(known.heard);
        // Who was leaving and is silent has left.
        self.known.retain(|_, known| match known.state {
            State::Draining => silence(known) <= SILENCE_MAX,
            _ => silence(known) <= FORGOTTEN_AFTER,
        });
        let mut greet = Vec::new();
        for known in self.known.values_mut() {
            if known.is_live() && silence(known) > SILENCE_MAX {
                known.out(format!("nothing was heard of it for {} s", SILENCE_MAX.as_secs()), now);
                ejected.push(known.description.name.clone());
            }
            if known.state_asks_for_greeting(now) {
                greet.push(known.description.clone());
            }
        }
        for name in &ejected {
            *self.ejections.entry(name.clone()).or_default() += 1;
        }
        // Counts of names that nobody has any more would only pile up.
        self.ejections.retain(|name, _| self.known.contains_key(name));
        (greet, ejected)
    }

    /// Everybody, by name.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Known> {
        self.known.values()
    }

    /// Who is given work, by name.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Known> {
        self.known().filter(|known| known.is_live())
    }

    /// The run of this id, if it is known.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Known> {
        self.known().find(|known| known.description.id == id)
    }

    /// Notes that a shard is at hand on it.
    pub(crate) fn report_mut(&mut self, id: NodeId) -> Option<&mut Report> {
        self.of(id).map(|known| &mut known.report)
    }

    /// How often the executor of this name was given up while it was live.
    pub(crate) fn ejections(&self, name: &str) -> u64 {
        self.ejections.get(name).copied().unwrap_or(0)
    }

    fn of(&mut self, id: NodeId) -> Option<&mut Known> {
        self.known.values_mut().find(|known| known.description.id == id)
    }
}

#[cfg(test)]
mod tests;
