use ulid::Ulid;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn node(id: u128, name: &str) -> NodeDescription {
    NodeDescription { id: NodeId(Ulid(id)), name: name.to_owned(), address: format!("{name}:{id}"), weight: 100 }
}

/// A cluster under a clock that stands still unless it is moved.
#[derive(Default)]
struct World {
    membership: Membership,
    now: Duration,
}

impl World {
    fn beat(&mut self, node: &NodeDescription) -> Heard {
        self.membership.heard(node.clone(), Phase::Live, Report::default(), self.now).expect("no double id")
    }

    /// A node that is live.
    fn join(&mut self, node: &NodeDescription) {
        assert_eq!(self.beat(node), Heard::Greet);
        assert!(self.membership.greeted(node.id, Ok(()), self.now));
    }

    fn live(&self) -> Vec<&str> {
        self.membership.live().map(|known| known.description.name.as_str()).collect()
    }

    /// Time passes; returns who is to be greeted.
    fn pass(&mut self, time: Duration) -> Vec<NodeDescription> {
        self.now += time;
        self.membership.tick(self.now).0
    }
}

#[test]
fn who_is_heard_and_reached_is_live() {
    let mut world = World::default();
    let a = node(1, "a");
    assert_eq!(world.beat(&a), Heard::Greet);
    assert!(world.live().is_empty(), "a heartbeat alone is not enough");
    assert_eq!(world.beat(&a), Heard::Noted, "one greeting at a time");
    world.membership.greeted(a.id, Ok(()), world.now);
    assert_eq!(world.live(), ["a"]);
    assert_eq!(world.beat(&a), Heard::Noted);
}

#[test]
fn who_is_silent_is_ejected_and_comes_back() {
    let mut world = World::default();
    let a = node(1, "a");
    world.join(&a);
    assert!(world.pass(SILENCE_MAX).is_empty());
    assert_eq!(world.live(), ["a"]);
    assert!(world.pass(SECOND).is_empty(), "nobody greets who is silent");
    assert!(world.live().is_empty());
    assert_eq!(world.membership.ejections("a"), 1);
    world.pass(60 * SECOND);
    world.join(&a);
    assert_eq!(world.live(), ["a"]);
    world.pass(SECOND + FORGOTTEN_AFTER);
    assert_eq!(world.membership.known().count(), 0, "who is away for long is forgotten");
}

#[test]
fn who_fails_a_call_is_asked_no_more_until_it_answers() {
    let mut world = World::default();
    let a = node(1, "a");
    world.join(&a);
    assert!(world.membership.failed(a.id, "it broke off", world.now));
    assert!(world.live().is_empty());
    assert!(!world.membership.failed(a.id, "it broke off", world.now), "once for each time");
    assert_eq!(world.membership.get(a.id).and_then(Known::obstacle), Some("it broke off"));
    assert_eq!(world.pass(BACK_OFF_MIN), std::slice::from_ref(&a));
    assert!(world.membership.greeted(a.id, Ok(()), world.now));
    assert_eq!(world.live(), ["a"]);
}

#[test]
fn failures_make_patient_and_are_forgiven() {
    let mut world = World::default();
    let a = node(1, "a");
    world.join(&a);
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.membership.failed(a.id, "it broke off", world.now);
        let failed = world.now;
        while world.pass(BACK_OFF_MIN).is_empty() {
            world.beat(&a);
        }
        waits.push(world.now - failed);
        world.membership.greeted(a.id, Ok(()), world.now);
    }
    assert!(waits.is_sorted() && waits[0] == BACK_OFF_MIN && waits[7] == BACK_OFF_MAX, "{waits:?}");
    for _ in 0..7 {
        world.pass(5 * SECOND);
        world.beat(&a);
    }
    world.membership.failed(a.id, "it broke off", world.now);
    assert_eq!(world.pass(BACK_OFF_MIN), [a]);
}

#[test]
fn a_cut_in_one_direction_makes_neither_live_nor_flapping() {
    let mut world = World::default();
    let (a, b) = (node(1, "a"), node(2, "b"));
    // Heartbeats of a arrive, but nobody gets through to it.
    let mut greetings = 0;
    assert_eq!(world.beat(&a), Heard::Greet);
    world.membership.greeted(a.id, Err("it cannot be reached".to_owned()), world.now);
    // The way to b is open, but its heartbeats get lost after the first.
    world.join(&b);
    for second in 1..=120 {
        for node in world.pass(SECOND) {
            assert_eq!(node, a, "who is not heard is not greeted");
            greetings += 1;
            world.membership.greeted(a.id, Err("it cannot be reached".to_owned()), world.now);
        }
        if second % 5 == 0 && world.beat(&a) == Heard::Greet {
            greetings += 1;
            world.membership.greeted(a.id, Err("it cannot be reached".to_owned()), world.now);
        }
        assert_eq!(world.live().is_empty(), second > SILENCE_MAX.as_secs(), "{second} s");
    }
    assert!((10..=25).contains(&greetings), "{greetings} greetings in two minutes");
    assert_eq!((world.membership.ejections("a"), world.membership.ejections("b")), (0, 1));
}

#[test]
fn a_greeting_that_nobody_answers_for_is_tried_again() {
    let mut world = World::default();
    let a = node(1, "a");
    assert_eq!(world.beat(&a), Heard::Greet);
    world.now += GREETING_MAX;
    assert_eq!(world.beat(&a), Heard::Greet);
}

#[test]
fn a_name_belongs_to_one_run() {
    let mut world = World::default();
    let (first, second) = (node(1, "a"), node(2, "a"));
    world.join(&first);
    assert_eq!(world.beat(&second), Heard::Rival(first.clone()));
    assert_eq!(world.live(), ["a"]);
    assert!(world.membership.get(second.id).is_none(), "whoever comes second has to wait");
    // The first one turns out to be gone.
    world.membership.insert(second.clone(), Report::default(), world.now);
    assert!(world.live().is_empty());
    world.membership.greeted(second.id, Ok(()), world.now);
    assert_eq!(world.live(), ["a"]);
    assert_eq!(world.beat(&first), Heard::Rival(second.clone()), "now the first is the second");
    assert!(!world.membership.failed(first.id, "late news", world.now));
    assert_eq!(world.live(), ["a"]);
}

#[test]
fn an_id_belongs_to_one_executor() {
    let mut world = World::default();
    world.join(&node(1, "a"));
    let copied = NodeDescription { name: "b".to_owned(), ..node(1, "a") };
    let refused = world.membership.heard(copied, Phase::Live, Report::default(), world.now).expect_err("a double id");
    assert!(refused.contains("a at a:1") && refused.contains("b at a:1"), "{refused}");
    assert_eq!(world.live(), ["a"]);
}

#[test]
fn who_drains_is_given_no_work_and_leaves() {
    let mut world = World::default();
    let (a, b) = (node(1, "a"), node(2, "b"));
    world.join(&a);
    world.join(&b);
    let heard = world.membership.heard(a.clone(), Phase::Draining, Report::default(), world.now);
    assert_eq!(heard, Ok(Heard::Noted));
    assert_eq!(world.live(), ["b"]);
    assert_eq!(world.beat(&a), Heard::Noted, "a heartbeat that was overtaken changes nothing");
    assert_eq!(world.live(), ["b"]);
    assert!(world.membership.left(a.id));
    assert!(!world.membership.left(a.id));
    assert_eq!(world.membership.known().count(), 1);
    let heard = world.membership.heard(b.clone(), Phase::Draining, Report::default(), world.now);
    assert_eq!(heard, Ok(Heard::Noted));
    world.pass(SILENCE_MAX + SECOND);
    assert_eq!(world.membership.known().count(), 0, "who drains and falls silent has left");
    assert_eq!((world.membership.ejections("a"), world.membership.ejections("b")), (0, 0));
}
