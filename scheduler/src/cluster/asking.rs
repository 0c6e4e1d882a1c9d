//! Asking the executors that own segments, all at once, until every segment is answered for exactly once.
//!
//! ```text
//! segments ─▶ by shard ─▶ by the best candidate of each ─▶ one call each, at the same time
//!   answered            done
//!   failed              its shards go to their next candidates; without any, this process answers
//!   slow                the next candidates are asked too, as long as few calls are; whoever answers first
//!   overdue             the next candidates, or this process, in any case; whoever answers first
//! ```
//!
//! What one call answers is taken whole or not at all, so that an executor that dies in the middle leaves nothing behind.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::{FlightData, Ticket};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, Either, select, try_join_all};
use futures::{FutureExt, StreamExt, TryStreamExt};
use prost::Message;
use tonic::Status;
use volley_executor::segment_set::SegmentSet;
use volley_storage::ids::{ShardId, TableId};

use super::calls::hello;
use super::counters::TaskKind;
use super::failure::{is_of_node, is_too_large, is_unreachable};
use super::messages::{Get, GetTask};
use super::pace::{Lateness, Pace};
use super::service::Rows;
use super::{Member, Members, NodeId, error_of, is_nodes_fault};
use crate::error::{Error, Result};

/// Bytes of HTTP/2 around a message.
const FRAME_BYTES: u64 = 5;
/// A call that takes longer than this may be one to a process that hangs: it is asked whether it is there.
const DOUBT_AFTER: Duration = Duration::from_millis(750);
/// So long it may take to say yes.
const DOUBT_TIMEOUT: Duration = Duration::from_millis(1000);

/// A question about segments of a table.
#[async_trait]
pub(super) trait Question: Send + Sync {
    /// What answers it for some segments.
    type Answer: Send;

    /// The kind of the call.
    fn kind(&self) -> TaskKind;

    /// Whether it takes as long as others of its kind.
    fn is_ordinary(&self) -> bool {
        true
    }

    /// The task for these segments.
    fn task(&self, ordinals: &[u32]) -> Get;

    /// Reads the whole answer for these segments.
    async fn read(&self, ordinals: &[u32], messages: Rows) -> Result<Self::Answer, Status>;

    /// Answers in this process.
    async fn here(&self, ordinals: &[u32]) -> Result<Self::Answer>;
}

/// The answer for some of the segments.
#[derive(Debug)]
pub(super) struct Answered<A> {
    /// Who gave it.
    pub(super) node: Arc<str>,
    /// The segments, ascending.
    pub(super) ordinals: Vec<u32>,
    pub(super) answer: A,
    pub(super) time: Duration,
}

/// Segments of one shard.
#[derive(Debug, Clone)]
struct Shard {
    shard: ShardId,
    ordinals: Vec<u32>,
}

/// Asks executors.
#[derive(Debug)]
pub(crate) struct Asker {
    members: Arc<Members>,
    searches: Pace,
    scans: Pace,
    /// The pace of what is not ordinary.
    others: Pace,
}

/// One question on its way.
struct Asking<'a, Q> {
    asker: &'a Asker,
    question: &'a Q,
    table: TableId,
}

/// Why somebody is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Because {
    First,
    AnotherFailed,
    AnotherLacksMemory,
    AnotherIsSlow,
}

impl Asker {
    /// Asks these executors.
    pub(crate) fn new(members: Arc<Members>) -> Self {
        Self { members, searches: Pace::default(), scans: Pace::default(), others: Pace::default() }
    }

    /// The executors.
    pub(super) fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Answers for all of these segments, each in exactly one of the answers.
    pub(super) async fn ask<Q: Question>(
        &self,
        question: &Q,
        segments: &SegmentSet,
        ordinals: &[u32],
    ) -> Result<Vec<Answered<Q::Answer>>> {
        let mut shards = BTreeMap::<ShardId, Vec<u32>>::new();
        for ordinal in ordinals {
            shards.entry(segments.get(*ordinal)?.segment.shard).or_default().push(*ordinal);
        }
        let shards = shards.into_iter().map(|(shard, ordinals)| Shard { shard, ordinals }).collect();
        let asking = Asking { asker: self, question, table: segments.table() };
        let answers = asking.all(shards, &[], Because::First).await?;
        let mut answered: Vec<u32> = answers.iter().flat_map(|answer| answer.ordinals.iter().copied()).collect();
        let mut asked = ordinals.to_vec();
        answered.sort_unstable();
        asked.sort_unstable();
        match answered == asked {
            true => Ok(answers),
            false => Err(Error::Internal { detail: "segments were answered for twice or not at all".into() }),
        }
    }

    fn pace(&self, question: &impl Question) -> &Pace {
        match question.kind() {
            _ if !question.is_ordinary() => &self.others,
            TaskKind::Scan => &self.scans,
            _ => &self.searches,
        }
    }
}

impl<'a, Q: Question> Asking<'a, Q> {
    /// Asks the best candidate of each shard that has not been tried.
    fn all<'f>(
        &'f self,
        shards: Vec<Shard>,
        tried: &'f [NodeId],
        because: Because,
    ) -> BoxFuture<'f, Result<Vec<Answered<Q::Answer>>>> {
        async move {
            let mut calls = BTreeMap::<NodeId, (Arc<Member>, Vec<Shard>)>::new();
            let mut left = Vec::new();
            for shard in shards {
                match self.candidate(&shard, tried) {
                    Some(member) => {
                        calls.entry(member.id()).or_insert_with(|| (member, Vec::new())).1.push(shard);
                    }
                    None => left.push(shard),
                }
            }
            let asked = calls.into_values().map(|(member, shards)| self.one(member, shards, tried, because));
            let here = self.here(left);
            let (asked, here) = futures::future::try_join(try_join_all(asked), here).await?;
            Ok(asked.into_iter().flatten().chain(here).collect())
        }
        .boxed()
    }

    fn candidate(&self, shard: &Shard, tried: &[NodeId]) -> Option<Arc<Member>> {
        let candidates = self.asker.members.candidates(self.table, shard.shard);
        candidates.into_iter().find(|member| !tried.contains(&member.id()))
    }

    /// Answers in this process.
    async fn here(&self, shards: Vec<Shard>) -> Result<Option<Answered<Q::Answer>>> {
        if shards.is_empty() {
            return Ok(None);
        }
        let (begun, ordinals) = (Instant::now(), ordinals_of(&shards));
        let answer = self.question.here(&ordinals).await?;
        Ok(Some(Answered { node: "coordinator".into(), ordinals, answer, time: begun.elapsed() }))
    }

    /// Asks one executor, and others where it fails or is slow.
    async fn one(
        &self,
        member: Arc<Member>,
        shards: Vec<Shard>,
        tried: &[NodeId],
        because: Because,
    ) -> Result<Vec<Answered<Q::Answer>>> {
        let pace = self.asker.pace(self.question);
        let ordinals = ordinals_of(&shards);
        let tried: Vec<NodeId> = tried.iter().copied().chain([member.id()]).collect();
        let begun = tokio::time::Instant::now();
        let looks = pace.begun();
        let mut call = pin!(self.call_or_gone(&member, &ordinals, because));
        for (after, lateness) in looks {
            let until = begun + after;
            if let Either::Left((outcome, _)) = select(call.as_mut(), pin!(tokio::time::sleep_until(until))).await {
                return self.settled(outcome, &member, shards, &tried, because).await;
            }
            let others = self.others(&shards, &tried);
            // Where there is no other, it is this process that is asked in the end.
            if (others > 0 || lateness == Lateness::Overdue) && pace.may_hedge(others, lateness) {
                return self.raced(call, &member, shards, &tried, because).await;
            }
        }
        let outcome = call.await;
        self.settled(outcome, &member, shards, &tried, because).await
    }

    /// The answer of a slow call, or of others who are asked too: whichever comes first.
    async fn raced(
        &self,
        call: Pin<&mut impl Future<Output = Result<Answered<Q::Answer>, Status>>>,
        member: &Arc<Member>,
        shards: Vec<Shard>,
        tried: &[NodeId],
        because: Because,
    ) -> Result<Vec<Answered<Q::Answer>>> {
        let others = self.all(shards.clone(), tried, Because::AnotherIsSlow);
        match select(call, others).await {
            Either::Left((Ok(answer), _)) => Ok(vec![answer]),
            Either::Left((Err(status), others)) if is_nodes_fault(&status) => {
                self.failed(member, &status);
                others.await
            }
            Either::Left((Err(status), _)) => Err(error_of(member.name(), &status)),
            Either::Right((Ok(answers), _)) => {
                self.doubt(member);
                Ok(answers)
            }
            Either::Right((Err(error), _)) if !is_of_node(error.kind()) => Err(error),
            // It was the others who could not: the first may still answer.
            Either::Right((Err(_), call)) => {
                let outcome = call.await;
                self.settled(outcome, member, shards, tried, because).await
            }
        }
    }

    /// One call, as long as the executor says that it is there.
    async fn call_or_gone(
        &self,
        member: &Arc<Member>,
        ordinals: &[u32],
        because: Because,
    ) -> Result<Answered<Q::Answer>, Status> {
        let call = pin!(self.call(member, ordinals, because));
        match select(call, pin!(self.gone(member))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right((status, _)) => Err(status),
        }
    }

    /// Resolves when an executor that takes long does not say any more that it is there. One that is busy says it.
    async fn gone(&self, member: &Member) -> Status {
        loop {
            tokio::time::sleep(DOUBT_AFTER).await;
            if let Err(status) = is_there(member).await {
                return status;
            }
        }
    }

    /// Finds out whether an executor is there that others were faster than, while nobody waits for it.
    fn doubt(&self, member: &Arc<Member>) {
        let (members, member) = (Arc::clone(&self.asker.members), Arc::clone(member));
        tokio::spawn(async move {
            if let Err(status) = is_there(&member).await {
                members.failed(&member, status.message());
            }
        });
    }

    /// How many executors could answer for these shards instead; 0 where some shard has no other.
    fn others(&self, shards: &[Shard], tried: &[NodeId]) -> usize {
        let others = shards.iter().map(|shard| self.candidate(shard, tried).map(|member| member.id()));
        let others: Option<std::collections::BTreeSet<NodeId>> = others.collect();
        others.map_or(0, |others| others.len())
    }

    /// The answer; where the executor is at fault, that of the next ones.
    async fn settled(
        &self,
        outcome: Result<Answered<Q::Answer>, Status>,
        member: &Member,
        shards: Vec<Shard>,
        tried: &[NodeId],
        because: Because,
    ) -> Result<Vec<Answered<Q::Answer>>> {
        match outcome {
            Ok(answer) => Ok(vec![answer]),
            Err(status) if is_too_large(&status) && because == Because::AnotherLacksMemory => {
                Err(error_of(member.name(), &status))
            }
            Err(status) if is_nodes_fault(&status) => {
                self.failed(member, &status);
                let because = match is_too_large(&status) {
                    true => Because::AnotherLacksMemory,
                    false => Because::AnotherFailed,
                };
                self.all(shards, tried, because).await
            }
            Err(status) => Err(error_of(member.name(), &status)),
        }
    }

    fn failed(&self, member: &Member, status: &Status) {
        member.counters().of(self.question.kind()).failed();
        tracing::warn!(executor = member.name(), detail = status.message(), "an executor did not answer a query");
        // One that says what is wrong with it is there; the others answer for it this time.
        if is_unreachable(status) {
            self.asker.members.failed(member, status.message());
        }
    }

    /// One call, up to the end of the answer.
    async fn call(
        &self,
        member: &Arc<Member>,
        ordinals: &[u32],
        because: Because,
    ) -> Result<Answered<Q::Answer>, Status> {
        let begun = Instant::now();
        let ticket: Bytes = GetTask { task: Some(self.question.task(ordinals)) }.encode_to_vec().into();
        let ticket = Ticket { ticket };
        let counters = member.counters().of(self.question.kind());
        counters.begun(ticket.encoded_len() as u64 + FRAME_BYTES);
        match because {
            Because::First => {}
            Because::AnotherFailed | Because::AnotherLacksMemory => counters.retried(),
            Because::AnotherIsSlow => counters.hedged(),
        }
        let messages = member.client().do_get(ticket).await?.into_inner();
        let (of, kind) = (Arc::clone(member), self.question.kind());
        let received = move |message: &FlightData| {
            of.counters().of(kind).received(message.encoded_len() as u64 + FRAME_BYTES);
        };
        let messages = messages.inspect_ok(received).boxed();
        let answer = self.question.read(ordinals, messages).await?;
        let time = begun.elapsed();
        counters.answered(time);
        self.asker.pace(self.question).answered(time);
        Ok(Answered { node: member.name().into(), ordinals: ordinals.to_vec(), answer, time })
    }
}

fn ordinals_of(shards: &[Shard]) -> Vec<u32> {
    let mut ordinals: Vec<u32> = shards.iter().flat_map(|shard| shard.ordinals.iter().copied()).collect();
    ordinals.sort_unstable();
    ordinals
}

/// Whether an executor says that it is there.
async fn is_there(member: &Member) -> Result<(), Status> {
    match tokio::time::timeout(DOUBT_TIMEOUT, hello(member.client())).await {
        Ok(said) => said.map(drop),
        Err(_) => Err(Status::unavailable("it does not answer although it is connected")),
    }
}
