//! Sessions: one client's settings and prepared statements.
//!
//! A session belongs to what the client comes back with: a cookie, a bearer token, or else its connection, with which it ends.
//! A prepared statement is found by its handle over any connection of the same user while its session lasts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arrow::datatypes::FieldRef;
use parking_lot::Mutex;
use ulid::Ulid;
use volley_scheduler::{Engine, Identity, Parameters, Session};

use crate::metrics::{Held, Metrics};

/// Sessions that are kept for clients without a connection, at most.
const KEPT_MAX: usize = 10_000;
/// Names of ended sessions that are remembered, at most.
const ENDED_MAX: usize = 100_000;
/// Prepared statements of one session, at most.
pub(crate) const PREPARED_MAX: usize = 10_000;

/// What a session is known by.
pub(crate) type SessionName = [u8; 16];

/// One client's session.
#[derive(Debug)]
pub(crate) struct ClientSession {
    /// Its settings, as the engine keeps them.
    pub(crate) engine: Arc<Session>,
    /// Whose it is; nobody's where the server has no users.
    pub(crate) user: Option<Arc<Identity>>,
    prepared: Mutex<HashMap<Ulid, Arc<PreparedStatement>>>,
    used: Mutex<Instant>,
    _counted: Held,
}

/// A statement that a client prepared.
#[derive(Debug)]
pub(crate) struct PreparedStatement {
    /// Its text.
    pub(crate) sql: Arc<str>,
    /// The types of its parameters, as they were announced.
    pub(crate) parameters: Vec<FieldRef>,
    /// What the client bound last.
    pub(crate) bound: Mutex<Parameters>,
    /// Whose it is.
    pub(crate) session: Weak<ClientSession>,
}

/// The sessions of a connection, by user: they end with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionSessions(Arc<Mutex<HashMap<String, Arc<ClientSession>>>>);

/// All sessions of a server.
#[derive(Debug)]
pub(crate) struct Sessions {
    engine: Arc<Engine>,
    metrics: Metrics,
    idle_timeout: Duration,
    kept: Mutex<Kept>,
    /// Sessions that had settings of their own and ended: nobody goes on with others under their names.
    ended: Mutex<Ended>,
    prepared: Mutex<HashMap<Ulid, Weak<PreparedStatement>>>,
}

impl ClientSession {
    /// The user's name; empty where the server has no users.
    pub(crate) fn user_name(&self) -> &str {
        self.user.as_ref().map_or("", |user| &user.name)
    }
}

impl Sessions {
    pub(crate) fn new(engine: Arc<Engine>, metrics: Metrics, idle_timeout: Duration) -> Self {
        Self {
            engine,
            metrics,
            idle_timeout,
            kept: Mutex::default(),
            ended: Mutex::default(),
            prepared: Mutex::default(),
        }
    }

    /// The session of this name, begun if need be; `None` where it was begun, changed and has ended.
    pub(crate) fn named(&self, name: SessionName, user: Option<Arc<Identity>>) -> Option<Arc<ClientSession>> {
        let key = (name, user_name(&user).to_owned());
        let mut kept = self.kept.lock();
        if let Some(session) = kept.get(&key) {
            *session.used.lock() = Instant::now();
            return Some(Arc::clone(session));
        }
        if self.ended.lock().names.contains(&name) {
            return None;
        }
        let session = self.begin(user);
        self.keep(&mut kept, key, &session);
        Some(session)
    }

    /// Gives a session a name by which the client comes back.
    pub(crate) fn name(&self, name: SessionName, session: &Arc<ClientSession>) {
        self.keep(&mut self.kept.lock(), (name, session.user_name().to_owned()), session);
    }

    /// Keeps a session; where there are too many, the one that was used longest ago goes.
    fn keep(&self, kept: &mut Kept, key: (SessionName, String), session: &Arc<ClientSession>) {
        if kept.len() >= KEPT_MAX
            && let Some(oldest) =
                kept.iter().min_by_key(|(_, session)| *session.used.lock()).map(|(key, _)| key.clone())
            && let Some(removed) = kept.remove(&oldest)
        {
            self.ended.lock().add(oldest.0, &removed);
        }
        kept.insert(key, Arc::clone(session));
    }

    /// The session of a connection, begun if need be.
    pub(crate) fn of_connection(
        &self,
        connection: &ConnectionSessions,
        user: Option<Arc<Identity>>,
    ) -> Arc<ClientSession> {
        let mut sessions = connection.0.lock();
        if let Some(session) = sessions.get(user_name(&user)) {
            return Arc::clone(session);
        }
        let session = self.begin(user.clone());
        sessions.insert(user_name(&user).to_owned(), Arc::clone(&session));
        session
    }

    /// Ends a session: its settings and prepared statements are gone.
    pub(crate) fn close(&self, session: &Arc<ClientSession>, connection: &ConnectionSessions) {
        self.kept.lock().retain(|_, kept| !Arc::ptr_eq(kept, session));
        connection.0.lock().retain(|_, kept| !Arc::ptr_eq(kept, session));
        self.forget_statements(session);
    }

    fn begin(&self, user: Option<Arc<Identity>>) -> Arc<ClientSession> {
        let engine = match &user {
            Some(user) => self.engine.session_of(Arc::clone(user)),
            None => self.engine.session(),
        };
        Arc::new(ClientSession {
            engine,
            user,
            prepared: Mutex::default(),
            used: Mutex::new(Instant::now()),
            _counted: self.metrics.session(),
        })
    }

    /// Keeps a prepared statement; `None` where the session has too many.
    pub(crate) fn prepare(&self, statement: PreparedStatement) -> Option<Ulid> {
        let session = statement.session.upgrade()?;
        let mut prepared = session.prepared.lock();
        if prepared.len() >= PREPARED_MAX {
            return None;
        }
        let (handle, statement) = (Ulid::generate(), Arc::new(statement));
        self.prepared.lock().insert(handle, Arc::downgrade(&statement));
        prepared.insert(handle, statement);
        Some(handle)
    }

    /// The statement of a handle, for its user; with the session it was prepared in.
    pub(crate) fn prepared(&self, handle: &[u8], user: &str) -> Option<(Arc<PreparedStatement>, Arc<ClientSession>)> {
        let handle = Ulid::from_bytes(handle.try_into().ok()?);
        let statement = self.prepared.lock().get(&handle)?.upgrade()?;
        let session = statement.session.upgrade()?;
        *session.used.lock() = Instant::now();
        (session.user_name() == user).then_some((statement, session))
    }

    /// Forgets a prepared statement of this user; one that is not there is fine.
    pub(crate) fn close_prepared(&self, handle: &[u8], user: &str) {
        let Some((_, session)) = self.prepared(handle, user) else { return };
        if let Ok(handle) = handle.try_into().map(Ulid::from_bytes) {
            session.prepared.lock().remove(&handle);
            self.prepared.lock().remove(&handle);
        }
    }

    /// Forgets sessions that nobody uses, and what ended with them.
    pub(crate) fn sweep(&self) {
        let mut idle = Vec::new();
        self.kept.lock().retain(|(name, _), session| {
            let stays = session.used.lock().elapsed() < self.idle_timeout || Arc::strong_count(session) > 1;
            if !stays {
                self.ended.lock().add(*name, session);
                idle.push(Arc::clone(session));
            }
            stays
        });
        drop(idle);
        self.prepared.lock().retain(|_, statement| statement.strong_count() > 0);
    }

    fn forget_statements(&self, session: &ClientSession) {
        let handles: Vec<Ulid> = session.prepared.lock().drain().map(|(handle, _)| handle).collect();
        let mut prepared = self.prepared.lock();
        for handle in handles {
            prepared.remove(&handle);
        }
    }
}

type Kept = HashMap<(SessionName, String), Arc<ClientSession>>;

/// Names of sessions that ended, as many as there is room for.
#[derive(Debug, Default)]
struct Ended {
    names: HashSet<SessionName>,
    by_age: VecDeque<SessionName>,
}

impl Ended {
    /// Remembers a session whose settings would be missed.
    fn add(&mut self, name: SessionName, session: &ClientSession) {
        if !session.engine.has_settings() || !self.names.insert(name) {
            return;
        }
        self.by_age.push_back(name);
        if self.by_age.len() > ENDED_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

fn user_name(user: &Option<Arc<Identity>>) -> &str {
    user.as_ref().map_or("", |user| &user.name)
}
