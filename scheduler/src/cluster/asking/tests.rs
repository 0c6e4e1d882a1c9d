use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream;
use tokio::runtime::Handle;
use ulid::Ulid;
use volley_storage::ErrorKind;

use super::*;
use crate::cluster::calls::introduced;
use crate::cluster::heartbeat::Phase;
use crate::cluster::listener::{Listener, Port};
use crate::cluster::membership::Report;
use crate::cluster::messages::PutTask;
use crate::cluster::{ClusterSecret, NodeDescription, Tasks, status_of};

const TABLE: TableId = TableId(Ulid(77));

/// An executor that is there, and answers every question in one way.
struct Executor {
    node: NodeDescription,
    /// Never, where it does not fail.
    fails: Option<ErrorKind>,
    asked: AtomicUsize,
}

#[async_trait]
impl Tasks for Executor {
    async fn get(&self, _task: GetTask) -> Result<Rows, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let failed = |kind| Err(status_of(&Error::Remote { kind, sentence: "it did not work".to_owned() }));
        self.fails.map_or_else(|| Ok(stream::pending().boxed()), failed)
    }

    async fn put(&self, _task: PutTask, _rows: Rows) -> Result<Bytes, Status> {
        Err(Status::unimplemented("it takes no rows"))
    }

    async fn act(&self, _kind: &str, _body: Bytes) -> Result<Bytes, Status> {
        Ok(introduced(&self.node))
    }
}

/// A question whose answer is nothing.
struct Nothing;

#[async_trait]
impl Question for Nothing {
    type Answer = ();

    fn kind(&self) -> TaskKind {
        TaskKind::Search
    }

    fn task(&self, _ordinals: &[u32]) -> Get {
        Get::Search(Bytes::new())
    }

    async fn read(&self, _ordinals: &[u32], mut messages: Rows) -> Result<(), Status> {
        while messages.try_next().await?.is_some() {}
        Ok(())
    }

    async fn here(&self, _ordinals: &[u32]) -> Result<()> {
        Ok(())
    }
}

struct Cluster {
    executors: Vec<Arc<Executor>>,
    asker: Asker,
    _ports: Vec<Port>,
}

impl Cluster {
    async fn start(fails: &[Option<ErrorKind>]) -> Self {
        let secret = ClusterSecret::of_text(&[7; 32]).unwrap();
        let members = Arc::new(Members::new(secret.clone(), 2, Handle::current()));
        let (mut executors, mut ports) = (Vec::new(), Vec::new());
        for (number, fails) in fails.iter().enumerate() {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            let address = listener.address().to_string();
            let id = NodeId(Ulid(number as u128 + 1));
            let node = NodeDescription { id, name: format!("e{number}"), address, weight: 100 };
            members.heard(node.clone(), Phase::Live, Report::default()).unwrap();
            members.greeted(&node, Ok(()));
            let executor = Arc::new(Executor { node, fails: *fails, asked: AtomicUsize::new(0) });
            ports.push(listener.serve(Arc::clone(&executor) as Arc<dyn Tasks>, &secret, &Handle::current()).unwrap());
            executors.push(executor);
        }
        Self { executors, asker: Asker::new(members), _ports: ports }
    }

    /// Asks for segments of a shard that the first executor is the best candidate for; the answer is who gave it.
    async fn ask(&self) -> Result<Arc<str>> {
        let is_firsts = |shard: &u32| self.asker.members.candidates(TABLE, ShardId(*shard))[0].name() == "e0";
        let shard = Shard { shard: ShardId((0..1000).find(is_firsts).unwrap()), ordinals: vec![0, 3] };
        let asking = Asking { asker: &self.asker, question: &Nothing, table: TABLE };
        let answers = asking.all(vec![shard], &[], Because::First).await?;
        assert!(answers.len() == 1 && answers[0].ordinals == [0, 3]);
        Ok(Arc::clone(&answers[0].node))
    }

    fn asked(&self) -> usize {
        self.executors.iter().map(|executor| executor.asked.load(Ordering::Relaxed)).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_after_a_failure_depends_on_what_it_was() {
    for (kind, asked) in [(ErrorKind::Io, 3), (ErrorKind::OutOfMemory, 2), (ErrorKind::DivisionByZero, 1)] {
        let cluster = Cluster::start(&[Some(kind); 3]).await;
        match cluster.ask().await {
            Ok(node) => assert!(kind == ErrorKind::Io && *node == *"coordinator"),
            Err(error) => assert!(kind != ErrorKind::Io && error.kind() == kind, "{error}"),
        }
        assert_eq!(cluster.asked(), asked, "{kind:?}");
        assert_eq!(cluster.asker.members.live().len(), 3, "all of them are there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_is_there_and_never_answers_holds_nothing_up() {
    let (alone, with_another) =
        (Cluster::start(&[None]).await, Cluster::start(&[None, Some(ErrorKind::DivisionByZero)]).await);
    let begun = Instant::now();
    let (here, failed) = futures::join!(alone.ask(), with_another.ask());
    assert_eq!(*here.unwrap(), *"coordinator");
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::DivisionByZero, "what another says of the query is said at once");
    assert_eq!((alone.asked(), with_another.asked()), (1, 2));
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    assert_eq!(alone.asker.members.live().len(), 1, "one that is busy is no one that is gone");
}
