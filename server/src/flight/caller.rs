//! Who calls, and in which session.
//!
//! Credentials come with every call: a bearer token from a handshake, or user and password. A server without users asks for
//! none. The session is that of the cookie, else of the token, else of the connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Extensions, Request, Status};
use volley_scheduler::Identity;
use volley_storage::ErrorKind;

use super::{Door, status};
use crate::sealed::{Bearer, Sealed, SessionCookie, Unsealing, ends_ms};
use crate::sessions::{ClientSession, ConnectionSessions, SessionName};

/// The cookie that names a session.
const COOKIE: &str = "volley_session";
/// As clients write it: Go's leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest time a client may give a call; what is longer means no limit.
const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who calls.
pub(crate) struct Caller {
    pub(crate) session: Arc<ClientSession>,
    pub(crate) connection: ConnectionSessions,
    /// Whether the client comes back with the session's name, over whichever connection.
    pub(crate) is_named: bool,
    /// When the client stops waiting.
    pub(crate) deadline: Option<Instant>,
}

impl Caller {
    /// The user's name; empty where the server has no users.
    pub(crate) fn user(&self) -> &str {
        self.session.user_name()
    }
}

impl Door {
    /// Who makes this call.
    ///
    /// # Errors
    /// Credentials that are missing, wrong or over.
    pub(crate) async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let metadata = request.metadata();
        let (user, token) = match authorization(metadata)? {
            Some(Authorization::Basic { user, password }) => (self.log_in(&user, &password).await?, None),
            Some(Authorization::Bearer(token)) => {
                let token: Bearer = self.unseal(&token)?;
                (self.of_token(&token).await?, Some(token))
            }
            None => (self.nobody().await?, None),
        };
        let connection = connection(request.extensions());
        let cookie = cookie(metadata).and_then(|sealed| self.secret.open::<SessionCookie>(&sealed).ok());
        let cookie = cookie.filter(|cookie| cookie.user == user.as_ref().map_or("", |user| &user.name));
        let name = cookie.map(|cookie| cookie.session).or(token.map(|token| token.session));
        let name = name.and_then(|name| SessionName::try_from(name).ok());
        let session = match name {
            Some(name) => self.sessions.named(name, user).ok_or_else(|| {
                unauthenticated("the session and its settings ended because nobody used them for long; log in again")
            })?,
            None => self.sessions.of_connection(&connection, user),
        };
        Ok(Caller { session, connection, is_named: name.is_some(), deadline: deadline(metadata) })
    }

    /// Whether a call may bring long messages: by a look at its head, before its body is read. Passwords take long to check, and are
    /// checked when the call is answered.
    pub(crate) fn trusts(&self, path: &str, headers: &http::HeaderMap) -> bool {
        if path.ends_with("/Handshake") || path.starts_with("/grpc.health") {
            return false;
        }
        let Some(value) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
            return !self.wants_log_in.load(Ordering::Relaxed);
        };
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                self.unseal::<Bearer>(token.trim()).is_ok()
            }
            _ => true,
        }
    }

    /// Checks a user and a password. A server without users lets everybody in.
    pub(crate) async fn log_in(&self, user: &str, password: &str) -> Result<Option<Arc<Identity>>, Status> {
        if !self.has_users().await? {
            return Ok(None);
        }
        let checked = self.engine.authenticate(user, password).await;
        self.metrics.login(checked.is_ok());
        match checked {
            Ok(user) => Ok(Some(user)),
            Err(error) => {
                tracing::warn!(?user, "login failed");
                Err(status::of_kind(error.kind(), error.to_string()))
            }
        }
    }

    async fn of_token(&self, token: &Bearer) -> Result<Option<Arc<Identity>>, Status> {
        if token.user.is_empty() {
            return self.nobody().await;
        }
        let identity = self.engine.identity(&token.user).await;
        let identity = identity.map_err(|error| status::of_kind(error.kind(), error.to_string()))?;
        match identity.filter(|identity| identity.generation == token.generation) {
            Some(identity) => Ok(Some(identity)),
            None => Err(unauthenticated("the user or the password has changed; log in again")),
        }
    }

    /// A caller without credentials.
    async fn nobody(&self) -> Result<Option<Arc<Identity>>, Status> {
        match self.has_users().await? {
            false => Ok(None),
            true => Err(unauthenticated("this server wants a user name and a password")),
        }
    }

    async fn has_users(&self) -> Result<bool, Status> {
        let has_users = self.engine.has_users().await;
        let has_users = has_users.map_err(|error| status::of_kind(error.kind(), error.to_string()))?;
        if !has_users && self.wants_log_in.load(Ordering::Relaxed) {
            // Doors that were closed do not open by themselves.
            return Err(unauthenticated(
                "the server's users were dropped while it ran; restart it to serve without users",
            ));
        }
        self.wants_log_in.store(has_users, Ordering::Relaxed);
        Ok(has_users)
    }

    fn unseal<M: Sealed>(&self, token: &str) -> Result<M, Status> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| Unsealing::Forged);
        sealed.and_then(|sealed| self.secret.open(&sealed)).map_err(|unsealing| match unsealing {
            Unsealing::Forged => unauthenticated("the bearer token was not made by this server; log in again"),
            Unsealing::Expired => unauthenticated("the bearer token has expired; log in again"),
        })
    }

    /// A bearer token for a user who has logged in, with a session of its own.
    pub(crate) fn bearer(&self, user: Option<&Identity>) -> String {
        let token = Bearer {
            user: user.map_or_else(String::new, |user| user.name.clone()),
            generation: user.map_or(0, |user| user.generation),
            session: rand::random::<SessionName>().to_vec(),
            expires_ms: ends_ms(self.config.token_lifetime),
        };
        BASE64_URL_SAFE_NO_PAD.encode(self.secret.seal(&token))
    }

    /// A cookie by which the caller's session goes on over any connection.
    pub(crate) fn cookie_of(&self, caller: &Caller) -> String {
        let name: SessionName = rand::random();
        self.sessions.name(name, &caller.session);
        let expires_ms = ends_ms(self.config.token_lifetime);
        let cookie = SessionCookie { session: name.to_vec(), user: caller.user().to_owned(), expires_ms };
        let sealed = BASE64_URL_SAFE_NO_PAD.encode(self.secret.seal(&cookie));
        format!("{COOKIE}={sealed}; Path=/; HttpOnly; SameSite=Strict")
    }
}

fn unauthenticated(sentence: &str) -> Status {
    status::of_kind(ErrorKind::InvalidPassword, sentence)
}

/// What a client says who it is.
pub(crate) enum Authorization {
    /// User and password.
    Basic { user: String, password: String },
    /// A token of an earlier handshake.
    Bearer(String),
}

/// What the header `authorization` says.
pub(crate) fn authorization(metadata: &MetadataMap) -> Result<Option<Authorization>, Status> {
    let wrong = || unauthenticated("the authorization header is neither \"Basic …\" nor \"Bearer …\"");
    let Some(value) = metadata.get("authorization") else { return Ok(None) };
    let (scheme, rest) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(wrong)?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Ok(Some(Authorization::Bearer(rest.trim().to_owned()))),
        "basic" => {
            let decoded = BASE64.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let (user, password) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(wrong)?;
            Ok(Some(Authorization::Basic { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Err(wrong()),
    }
}

/// The sealed session of the cookie, if there is one.
fn cookie(metadata: &MetadataMap) -> Option<Vec<u8>> {
    let headers = metadata.get_all("cookie");
    let mut cookies =
        headers.iter().filter_map(|header: &AsciiMetadataValue| header.to_str().ok()).flat_map(|c| c.split(';'));
    let value = cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    BASE64_URL_SAFE_NO_PAD.decode(value.trim_matches('"')).ok()
}

/// The sessions of the connection on which a call came.
fn connection(extensions: &Extensions) -> ConnectionSessions {
    extensions.get::<crate::tls::ConnectionInfo>().map(|info| info.sessions.clone()).unwrap_or_default()
}

/// When the client stops waiting, by the header `grpc-timeout`: up to eight digits and a unit.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    (timeout <= TIMEOUT_MAX).then(|| Instant::now() + timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().unwrap());
        metadata
    }

    #[test]
    fn credentials_are_read() {
        let basic = authorization(&with("authorization", "Basic YWRhOnM6Y3JldA=="));
        assert!(
            matches!(basic, Ok(Some(Authorization::Basic { user, password })) if user == "ada" && password == "s:cret")
        );
        let bearer = authorization(&with("authorization", "bearer abc"));
        assert!(matches!(bearer, Ok(Some(Authorization::Bearer(token))) if token == "abc"));
        assert!(matches!(authorization(&MetadataMap::new()), Ok(None)));
        for wrong in ["Basic", "Basic !!!", "Basic YWRh", "Digest x", ""] {
            assert!(authorization(&with("authorization", wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn timeouts_have_units() {
        let seconds =
            |text| deadline(&with("grpc-timeout", text)).map(|at| (at - Instant::now()).as_secs_f64().round());
        assert_eq!(seconds("10S"), Some(10.0));
        assert_eq!(seconds("2M"), Some(120.0));
        assert_eq!(seconds("3000m"), Some(3.0));
        for none in ["", "S", "123456789S", "1x", "99999999H", "-1S"] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let value = BASE64_URL_SAFE_NO_PAD.encode(b"sealed");
        assert_eq!(cookie(&with("cookie", &format!("a=b; {COOKIE}={value}"))), Some(b"sealed".to_vec()));
        assert_eq!(cookie(&with("cookie", "volley_session_x=1")), None);
    }
}
