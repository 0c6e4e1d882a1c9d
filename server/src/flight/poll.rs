//! `PollFlightInfo`: a statement that takes long goes on by itself, and the client asks how far it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::{FlightDescriptor, FlightInfo, PollInfo};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::task::JoinHandle;
use tonic::Status;
use ulid::Ulid;

use super::Door;
use super::caller::Caller;
use super::query::Asked;
use crate::sealed::{Sealed, ends_ms};

/// How long one poll waits for the statement to be done.
const WAIT: Duration = Duration::from_secs(2);
/// Statements that clients poll for, at most.
const POLLS_MAX: usize = 10_000;

/// The statements that clients poll for.
#[derive(Debug, Default)]
pub(crate) struct Polls(Mutex<HashMap<Ulid, Polled>>);

#[derive(Debug)]
struct Polled {
    task: JoinHandle<Result<FlightInfo, Status>>,
    user: String,
    expires: Instant,
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The name of a statement that is polled for.
#[derive(Clone, PartialEq, Message)]
struct PollTicket {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    expires_ms: u64,
}

impl Sealed for PollTicket {
    const CONTEXT: &'static str = "volley 2026 poll";

    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

impl Polls {
    /// Forgets statements that nobody came back for.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let over: Vec<Polled> = self.0.lock().extract_if(|_, polled| polled.expires <= now).map(|(_, p)| p).collect();
        drop(over);
    }
}

impl Door {
    /// The state of the statement that a descriptor names, if it is one that was polled for before.
    pub(crate) async fn poll_again(&self, caller: &Caller, command: &[u8]) -> Option<Result<PollInfo, Status>> {
        let ticket: PollTicket = self.secret.open(command).ok()?;
        let gone = || Err(Status::not_found("there is no such statement any more; run it again"));
        let Ok(id) = ticket.id.try_into().map(Ulid::from_bytes) else { return Some(gone()) };
        let polled = self.polls.0.lock().extract_if(|key, polled| *key == id && polled.user == caller.user()).next();
        match polled {
            None => Some(gone()),
            Some((_, polled)) => Some(self.wait_for(id, polled).await),
        }
    }

    /// Stops the statement that an info of this user's stands for; `false` where it stands for none that runs.
    pub(crate) fn stop_polled(&self, info: &FlightInfo, user: &str) -> bool {
        let Ok(ticket) = self.secret.open::<PollTicket>(&info.app_metadata) else { return false };
        let Ok(id) = ticket.id.try_into().map(Ulid::from_bytes) else { return false };
        let stopped = self.polls.0.lock().extract_if(|key, polled| *key == id && polled.user == user).next();
        stopped.is_some()
    }

    /// Begins a statement and waits for it a little.
    pub(crate) async fn poll(self: &Arc<Self>, caller: &Caller, asked: Asked) -> Result<PollInfo, Status> {
        if self.polls.0.lock().len() >= POLLS_MAX {
            return Err(Status::resource_exhausted("too many statements are polled for; try again later"));
        }
        let user = caller.user().to_owned();
        let door = Arc::clone(self);
        let task = tokio::spawn(async move { door.flight_info(asked, FlightDescriptor::default(), None).await });
        let expires = Instant::now() + self.config.ticket_lifetime;
        self.wait_for(Ulid::generate(), Polled { task, user, expires }).await
    }

    async fn wait_for(&self, id: Ulid, mut polled: Polled) -> Result<PollInfo, Status> {
        let expires_ms = ends_ms(self.config.ticket_lifetime);
        match tokio::time::timeout(WAIT, &mut polled.task).await {
            Ok(Ok(info)) => {
                Ok(PollInfo { info: Some(info?), flight_descriptor: None, progress: Some(1.0), ..PollInfo::default() })
            }
            Ok(Err(_)) => Err(Status::internal("internal error: the statement's task failed")),
            Err(_) => {
                polled.expires = Instant::now() + self.config.ticket_lifetime;
                self.polls.0.lock().insert(id, polled);
                let ticket = PollTicket { id: id.to_bytes().to_vec(), expires_ms };
                let command: Bytes = self.secret.seal(&ticket);
                // Nothing can be fetched yet; clients want an info all the same, and cancel by it.
                let app_metadata = command.clone();
                Ok(PollInfo {
                    info: Some(FlightInfo {
                        total_records: -1,
                        total_bytes: -1,
                        app_metadata,
                        ..FlightInfo::default()
                    }),
                    flight_descriptor: Some(FlightDescriptor::new_cmd(command)),
                    progress: None,
                    expiration_time: Some(super::query::timestamp(expires_ms)),
                })
            }
        }
    }
}
