use tokio::runtime::Handle;
use ulid::Ulid;
use volley_storage::ids::Version;

use super::*;

const TABLE: TableId = TableId(Ulid(77));

fn node(id: u128) -> NodeDescription {
    // Nothing listens there: connections are made when they are first used, and here they are not.
    NodeDescription { id: NodeId(Ulid(id)), name: format!("e{id}"), address: format!("127.0.0.1:{id}"), weight: 100 }
}

fn members(replicas: usize, executors: u128) -> Members {
    let secret = ClusterSecret::of_text(&[7; 32]).expect("long enough");
    let members = Members::new(secret, replicas, Handle::current());
    for id in 1..=executors {
        assert_eq!(members.heard(node(id), Phase::Live, Report::default()), Ok(Heard::Greet));
        members.greeted(&node(id), Ok(()));
    }
    members
}

fn shards(numbers: impl IntoIterator<Item = u32>) -> ReadyShards {
    ReadyShards { version: Version(3), shards: numbers.into_iter().map(ShardId).collect() }
}

fn names(members: &Members, shard: u32) -> Vec<String> {
    members.candidates(TABLE, ShardId(shard)).iter().map(|member| member.name().to_owned()).collect()
}

#[tokio::test]
async fn who_has_a_shard_at_hand_is_asked_before_its_owner_has() {
    let members = members(1, 3);
    members.set_tables(BTreeMap::from([(TABLE, shards([5]))]));
    let before = names(&members, 5);
    assert_eq!(before.len(), 3, "the owner, and everybody else after it");
    let (owner, former) = (before[0].clone(), before[2].clone());
    assert_eq!(members.placements().len(), 1);
    assert_eq!(members.placements()[0].executor, owner);
    let owed = members.owed();
    assert_eq!(owed.iter().map(|one| one.member.name()).collect::<Vec<_>>(), [&owner]);
    // Another had it until now.
    let id = |name: &str| node(name[1..].parse().expect("a number")).id;
    members.ready(id(&former), TABLE, shards([5]));
    assert_eq!(names(&members, 5)[..2], [former, owner.clone()]);
    members.ready(id(&owner), TABLE, shards([5]));
    assert_eq!(names(&members, 5)[0], owner);
    assert!(members.owed().is_empty());
    // A commit made new files: the owner is told, and is asked in the meantime.
    let newer = ReadyShards { version: Version(4), ..shards([5]) };
    members.set_tables(BTreeMap::from([(TABLE, newer)]));
    assert_eq!(members.owed().len(), 1);
    assert_eq!(names(&members, 5)[0], owner);
}

#[tokio::test]
async fn who_fails_is_nobodys_candidate() {
    let members = members(2, 3);
    members.set_tables(BTreeMap::from([(TABLE, shards(0..8))]));
    let first = members.candidates(TABLE, ShardId(0)).remove(0);
    members.failed(&first, "it broke off");
    for shard in 0..12 {
        let names = names(&members, shard);
        assert!(names.len() == 2 && !names.iter().any(|name| name == first.name()), "{names:?}");
    }
    let owned = members.placements();
    assert!(owned.len() == 16 && owned.iter().all(|placement| placement.executor != first.name()));
    let told = members.executors().into_iter().find(|report| report.name == first.name()).expect("still known");
    assert_eq!((told.state, told.obstacle.as_deref(), told.ejections), ("out", Some("it broke off"), 1));
    assert_eq!(members.live().len(), 2);
}

#[tokio::test]
async fn work_without_a_shard_goes_round() {
    let members = members(2, 3);
    let asked: Vec<String> = (0..6).filter_map(|_| Some(members.any()?.name().to_owned())).collect();
    assert_eq!(asked[..3], asked[3..]);
    assert_eq!(asked[..3].iter().collect::<BTreeSet<_>>().len(), 3);
    for id in 1..=3 {
        members.left(node(id).id);
    }
    assert!(members.any().is_none() && members.is_alone() && members.candidates(TABLE, ShardId(0)).is_empty());
}

#[tokio::test]
async fn counts_go_on_when_an_executor_is_started_again() {
    use crate::cluster::counters::TaskKind;
    let members = members(2, 1);
    members.any().expect("one").counters().of(TaskKind::Search).begun(100);
    let again = NodeDescription { id: NodeId(Ulid(9)), ..node(1) };
    assert_eq!(members.heard(again.clone(), Phase::Live, Report::default()), Ok(Heard::Rival(node(1))));
    members.replace(again.clone(), Report::default()).expect("an address");
    assert!(members.is_alone(), "it is not reached yet");
    members.greeted(&again, Ok(()));
    let calls = members.executor_calls();
    assert!(calls.iter().any(|row| row.executor == "e1" && row.task == "search" && row.bytes_sent == 100));
    let bad =
        NodeDescription { id: NodeId(Ulid(10)), name: "e10".to_owned(), address: "no address".to_owned(), weight: 1 };
    assert!(members.heard(bad, Phase::Live, Report::default()).is_err());
    assert_eq!(members.executors().len(), 1);
}
