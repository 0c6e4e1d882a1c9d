//! Passwords as argon2id hashes.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// What OWASP's cheat sheet on password storage recommends at least: 19 MiB, two passes, one lane.
const PARAMETERS: Params = match Params::new(19_456, 2, 1, None) {
    Ok(parameters) => parameters,
    Err(_) => panic!("argon2 takes these parameters"),
};
/// Passwords that are hashed at the same time: more would let a flood of logins take memory and processors from queries.
const AT_ONCE_MAX: usize = 2;
/// Passwords that wait for their turn; who comes then is sent away, so that nobody waits for more than seconds.
const WAITING_MAX: usize = 100;
/// What the password of a user who does not exist is compared with, so that it takes the time that others take. It is the
/// hash of nothing in particular.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$FTG1FGWW0h7f20XqccnOsA$dbyYembwo+OHlnwPBAJm+1KMzOW0tRyN96Hd2qQDc1M";

/// Hashes and verifies passwords; work waits until it is its turn.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// Places for those who wait and those whose turn it is.
    room: Semaphore,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), room: Semaphore::new(WAITING_MAX + AT_ONCE_MAX) }
    }

    /// The hash of a password as a PHC string.
    pub(crate) async fn hash(&self, password: &str, salt: u128) -> Result<String> {
        let password = password.to_owned();
        self.run(move || {
            let salt = SaltString::encode_b64(&salt.to_le_bytes()).map_err(fault)?;
            Ok(argon2().hash_password(password.as_bytes(), &salt).map_err(fault)?.to_string())
        })
        .await
    }

    /// Whether the password is the one that was hashed; without a hash never, after as much work.
    pub(super) async fn verify(&self, verifier: Option<&str>, password: &str) -> Result<bool> {
        let is_known = verifier.is_some();
        let (verifier, password) = (verifier.unwrap_or(NOBODY).to_owned(), password.to_owned());
        self.run(move || {
            let hash = PasswordHash::new(&verifier).map_err(fault)?;
            // The parameters are those of the hash.
            match argon2().verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(is_known),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(fault(error)),
            }
        })
        .await
    }

    /// Runs work that keeps a processor busy for tens of milliseconds where no query waits for it.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _place = self.room.try_acquire().map_err(|_| Error::TooManyLogins)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(fault)?;
        let working = Handle::current().spawn_blocking(move || {
            // Held by the work and not by who waits for it: that one may go away.
            let _turn = turn;
            work()
        });
        working.await.map_err(fault)?
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMETERS)
}

/// Never with the verifier in it.
fn fault(error: impl std::fmt::Display) -> Error {
    Error::Internal { detail: format!("a password cannot be hashed or compared: {error}") }
}
