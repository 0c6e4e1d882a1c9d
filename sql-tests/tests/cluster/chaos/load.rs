//! Clients that ask and write all the time, and what they saw.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use volley_sql_tests::cluster::Cluster;
use volley_sql_tests::topology::Connection;

use super::super::{numbers, rows};
use super::checker::{Data, K};

const READERS: u64 = 4;
const WRITERS: u64 = 2;
/// Nothing may take longer than this, whatever happens to executors.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Throughput is back when it is this share of what it was.
const BACK_SHARE: f64 = 0.7;

/// Clients at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: JoinSet<()>,
}

/// What clients saw.
#[derive(Default)]
pub(super) struct Seen {
    begun: Option<Instant>,
    /// When each answer came.
    answers: Vec<Instant>,
    slowest: Duration,
    /// Answers that are not what they have to be.
    pub(super) wrong: Vec<String>,
    /// Statements that were refused or took too long.
    pub(super) failed: Vec<String>,
    /// Searches, and how many of the nearest rows they found.
    searches: usize,
    found: usize,
    /// Rows of each batch that was written, and whether that was acknowledged.
    batches: BTreeMap<i64, (i64, bool)>,
}

impl Load {
    /// Starts clients. As long as `drops_rows` says so, answers lose their last row on the way to the checker.
    pub(super) fn begin(cluster: &Arc<Cluster>, data: &Arc<Data>, drops_rows: Option<Arc<AtomicBool>>) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        seen.lock().begun = Some(Instant::now());
        let mut clients = JoinSet::new();
        for number in 0..READERS + WRITERS {
            let client = Client {
                cluster: Arc::clone(cluster),
                data: Arc::clone(data),
                stop: Arc::clone(&stop),
                seen: Arc::clone(&seen),
                drops_rows: drops_rows.clone(),
                rng: StdRng::seed_from_u64(number),
                number: number as i64,
            };
            match number < READERS {
                true => clients.spawn(client.read()),
                false => clients.spawn(client.write()),
            };
        }
        Self { stop, seen, clients }
    }

    pub(super) fn wrong_so_far(&self) -> usize {
        self.seen.lock().wrong.len()
    }

    /// Waits until every client has its last answer.
    pub(super) async fn end(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client");
        }
        std::mem::take(&mut *self.seen.lock())
    }
}

struct Client {
    cluster: Arc<Cluster>,
    data: Arc<Data>,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    drops_rows: Option<Arc<AtomicBool>>,
    rng: StdRng,
    number: i64,
}

impl Client {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn read(mut self) {
        let mut connection = self.cluster.connect().await.expect("the coordinator is there");
        let (sums, expected_sums) = Data::sums();
        while !self.is_over() {
            match self.rng.random_range(0..10) {
                0 => self.compare(&mut connection, sums, &expected_sums).await,
                1 | 2 => {
                    let (sql, expected) = Data::look_up(&mut self.rng);
                    self.compare(&mut connection, &sql, &expected).await;
                }
                _ => self.search(&mut connection).await,
            }
        }
    }

    async fn search(&mut self, connection: &mut Box<dyn Connection>) {
        let data = Arc::clone(&self.data);
        let question = data.question(&mut self.rng);
        let Some(rows) = self.ask(connection, &question.sql).await else { return };
        let checked = data.check_nearest(question, &rows);
        let mut seen = self.seen.lock();
        match checked {
            Ok(found) => {
                seen.searches += 1;
                seen.found += found;
            }
            Err(sentence) => seen.wrong.push(sentence),
        }
    }

    async fn compare(&mut self, connection: &mut Box<dyn Connection>, sql: &str, expected: &[Vec<i64>]) {
        let Some(rows) = self.ask(connection, sql).await else { return };
        if rows != expected {
            self.seen.lock().wrong.push(format!("{sql}: {rows:?}"));
        }
    }

    /// The rows of a query; `None` where there was an error, which is noted.
    async fn ask(&mut self, connection: &mut Box<dyn Connection>, sql: &str) -> Option<Vec<Vec<i64>>> {
        let begun = Instant::now();
        let outcome = tokio::time::timeout(ANSWER_MAX, connection.run(sql)).await;
        let mut rows = match outcome {
            Ok(Ok(answer)) => numbers(&answer.batches),
            Ok(Err(refusal)) => {
                self.failed(format!("{} ({})", refusal.sentence, refusal.sqlstate));
                return None;
            }
            Err(_) => {
                self.failed(format!("no answer within {ANSWER_MAX:?}: {sql}"));
                return None;
            }
        };
        self.answered(begun);
        if self.drops_rows.as_ref().is_some_and(|drops| drops.load(Ordering::Relaxed)) {
            rows.pop();
        }
        Some(rows)
    }

    fn answered(&self, begun: Instant) {
        let mut seen = self.seen.lock();
        seen.answers.push(Instant::now());
        seen.slowest = seen.slowest.max(begun.elapsed());
    }

    fn failed(&self, sentence: String) {
        self.seen.lock().failed.push(sentence);
    }

    /// Inserts batches: small ones, which the coordinator writes, and some that executors write.
    async fn write(mut self) {
        let mut connection = self.cluster.connect().await.expect("the coordinator is there");
        let mut batch = self.number * 1_000_000;
        while !self.is_over() {
            batch += 1;
            let count = if self.rng.random_bool(0.1) { 6_000 } else { self.rng.random_range(1..20) };
            self.seen.lock().batches.insert(batch, (count, false));
            let first = batch * 10_000;
            let last = first + count - 1;
            let sql = format!("INSERT INTO events SELECT value, {batch} FROM generate_series({first}, {last})");
            let begun = Instant::now();
            match tokio::time::timeout(ANSWER_MAX, connection.run(&sql)).await {
                Ok(Ok(_)) => {
                    self.seen.lock().batches.insert(batch, (count, true));
                    self.answered(begun);
                }
                Ok(Err(refusal)) => self.failed(format!("{} ({})", refusal.sentence, refusal.sqlstate)),
                Err(_) => self.failed(format!("no answer within {ANSWER_MAX:?}: {sql}")),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Seen {
    /// Statements that were sent.
    pub(super) fn calls(&self) -> usize {
        self.answers.len() + self.failed.len()
    }

    /// The share of them that was answered.
    pub(super) fn success(&self) -> f64 {
        self.answers.len() as f64 / self.calls().max(1) as f64
    }

    /// Answers per second between two moments.
    fn throughput(&self, from: Instant, to: Instant) -> f64 {
        let count = self.answers.iter().filter(|at| (from..to).contains(*at)).count();
        count as f64 / (to - from).as_secs_f64()
    }

    /// How long it took after a blow until throughput was what it is on average; `None` where the end came first.
    pub(super) fn recovery(&self, blow: Instant) -> Option<Duration> {
        let (begun, last) = (self.begun?, *self.answers.iter().max()?);
        let usual = self.throughput(begun, last);
        let second = Duration::from_secs(1);
        let mut at = blow;
        while at + second <= last {
            if self.throughput(at, at + second) >= BACK_SHARE * usual {
                return Some(at - blow);
            }
            at += Duration::from_millis(250);
        }
        None
    }

    /// Every batch that was acknowledged is there once and whole, every other one whole or not at all.
    pub(super) async fn check_writes(&self, cluster: &Cluster) {
        let mut client = cluster.connect().await.unwrap();
        let found = rows(&mut client, "SELECT batch, count(*), sum(id) FROM events GROUP BY batch").await;
        let found: BTreeMap<i64, (i64, i64)> = found.iter().map(|row| (row[0], (row[1], row[2]))).collect();
        for (batch, (count, is_acknowledged)) in &self.batches {
            let first = batch * 10_000;
            let whole = (*count, (first..first + count).sum());
            match found.get(batch) {
                Some(there) => assert_eq!(*there, whole, "batch {batch}"),
                None => assert!(!is_acknowledged, "batch {batch} was acknowledged and is not there"),
            }
        }
        assert!(found.keys().all(|batch| self.batches.contains_key(batch)), "rows that nobody wrote");
        assert!(self.batches.values().any(|(_, is_acknowledged)| *is_acknowledged), "nothing was written");
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recall = self.found as f64 / (self.searches.max(1) * K) as f64;
        writeln!(f, "{} statements, {:.5} answered, slowest {:?}", self.calls(), self.success(), self.slowest)?;
        writeln!(f, "{} searches with recall {recall:.4}, {} batches written", self.searches, self.batches.len())?;
        writeln!(f, "wrong: {}, failed: {:?}", self.wrong.len(), self.failed.iter().take(5).collect::<Vec<_>>())
    }
}
