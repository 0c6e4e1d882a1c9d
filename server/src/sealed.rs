//! What clients carry for the server: bearer tokens, tickets and handles, sealed so that nobody can make or change one.
//!
//! ```text
//! ┌─────────┬───────────────────────────────┬──────────────────────────┐
//! │ version │ BLAKE3 keyed hash of the rest │ the message, as protobuf │
//! │ 1 byte  │ 32 bytes                      │                          │
//! └─────────┴───────────────────────────────┴──────────────────────────┘
//! ```
//!
//! Each sort of message has a key of its own, derived from the server's secret, so that a ticket can never be read as a token.
//! The messages are not secret, only unforgeable: they hold no credentials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;

/// The layout above.
const VERSION: u8 = 1;
const HASH: usize = 32;

/// The secret behind everything that is sealed. Never shown.
#[derive(Clone)]
pub(crate) struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A message that can be sealed.
pub(crate) trait Sealed: Message + Default {
    /// What keeps its key apart from those of other messages.
    const CONTEXT: &'static str;

    /// When it ends, in milliseconds since 1970.
    fn expires_ms(&self) -> u64;
}

/// Why something sealed was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealing {
    /// This server did not make it.
    Forged,
    /// Its time is over.
    Expired,
}

/// Proof that somebody logged in.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bearer {
    #[prost(string, tag = "1")]
    pub(crate) user: String,
    /// The user's credentials as they were: a new password makes the token void.
    #[prost(fixed64, tag = "2")]
    pub(crate) generation: u64,
    /// The session that the client began with it.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) session: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(crate) expires_ms: u64,
}

impl Sealed for Bearer {
    const CONTEXT: &'static str = "volley 2026 bearer token";

    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

/// The right to read a part of a result.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ticket {
    /// The result's number.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) result: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) part: u32,
    /// Who may read it; empty where the server has no users.
    #[prost(string, tag = "3")]
    pub(crate) user: String,
    #[prost(uint64, tag = "4")]
    pub(crate) expires_ms: u64,
}

impl Sealed for Ticket {
    const CONTEXT: &'static str = "volley 2026 ticket";

    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

/// The name of a session, as a cookie.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionCookie {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) session: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) user: String,
    #[prost(uint64, tag = "3")]
    pub(crate) expires_ms: u64,
}

impl Sealed for SessionCookie {
    const CONTEXT: &'static str = "volley 2026 session";

    fn expires_ms(&self) -> u64 {
        self.expires_ms
    }
}

impl Secret {
    /// A secret that nobody knows; what is sealed with it ends with the process.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// The secret of a file: servers with the same one accept each other's tokens.
    pub(crate) fn of_text(text: &[u8]) -> Self {
        Self(blake3::derive_key("volley 2026 server secret", text))
    }

    /// Seals a message.
    pub(crate) fn seal<M: Sealed>(&self, message: &M) -> Bytes {
        let body = message.encode_to_vec();
        let mut sealed = Vec::with_capacity(1 + HASH + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(self.hash::<M>(&body).as_bytes());
        sealed.extend_from_slice(&body);
        sealed.into()
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// It was not made with this secret, or its time is over.
    pub(crate) fn open<M: Sealed>(&self, sealed: &[u8]) -> Result<M, Unsealing> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(Unsealing::Forged) };
        let Some((hash, body)) = rest.split_first_chunk::<HASH>() else { return Err(Unsealing::Forged) };
        // Hashes compare in constant time.
        if self.hash::<M>(body) != blake3::Hash::from_bytes(*hash) {
            return Err(Unsealing::Forged);
        }
        let message = M::decode(body).map_err(|_| Unsealing::Forged)?;
        match message.expires_ms() > now_ms() {
            true => Ok(message),
            false => Err(Unsealing::Expired),
        }
    }

    fn hash<M: Sealed>(&self, body: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&blake3::derive_key(M::CONTEXT, &self.0), body)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// When something ends that lasts so long.
pub(crate) fn ends_ms(lifetime: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(expires_ms: u64) -> Ticket {
        Ticket { result: vec![7; 16], part: 3, user: "ada".into(), expires_ms }
    }

    #[test]
    fn what_is_sealed_opens_again() {
        let secret = Secret::random();
        let ticket = ticket(ends_ms(Duration::from_secs(60)));
        assert_eq!(secret.open::<Ticket>(&secret.seal(&ticket)), Ok(ticket));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let secret = Secret::of_text(b"one");
        let sealed = secret.seal(&ticket(u64::MAX));
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1 << bit;
                assert_eq!(secret.open::<Ticket>(&changed), Err(Unsealing::Forged), "byte {at}, bit {bit}");
            }
        }
        for length in 0..sealed.len() {
            assert_eq!(secret.open::<Ticket>(&sealed[..length]), Err(Unsealing::Forged));
        }
        assert_eq!(Secret::of_text(b"two").open::<Ticket>(&sealed), Err(Unsealing::Forged));
        assert_eq!(secret.open::<Bearer>(&sealed), Err(Unsealing::Forged));
    }

    #[test]
    fn time_ends_it() {
        let secret = Secret::random();
        assert_eq!(secret.open::<Ticket>(&secret.seal(&ticket(now_ms()))), Err(Unsealing::Expired));
    }
}
