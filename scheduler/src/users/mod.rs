//! Users: who they are, and how they prove it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`passwords`] | argon2id, off the threads that serve queries, few at a time |
//! | [`verified`] | passwords that were right before, so that clients may send theirs with every call |

mod passwords;
#[cfg(test)]
mod tests;
mod verified;

use volley_storage::catalog::User;
use volley_storage::env::Rng;

pub(crate) use passwords::Passwords;
use verified::Verified;

use crate::error::{Error, Result};

/// A user as a front door knows them after they proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub name: String,
    /// Whether the user may do everything. Statements look it up again, because it may change while a session lasts.
    pub is_superuser: bool,
    /// Another number after each change of the password: what was given out for an earlier one is void.
    pub generation: u64,
}

impl Identity {
    /// A user of the catalog as an identity.
    pub(crate) fn of(name: &str, user: &User) -> Self {
        let generation = user.verifier.as_deref().map_or(0, generation);
        Identity { name: name.to_owned(), is_superuser: user.is_superuser, generation }
    }
}

/// Every verifier has a salt of its own, so no two are alike, not even of the same password.
fn generation(verifier: &str) -> u64 {
    let hash = blake3::derive_key("volley generation of a user's verifier", verifier.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

/// What an engine needs to check passwords.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) passwords: Passwords,
    verified: Verified,
}

impl Authenticator {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        Self { passwords: Passwords::new(), verified: Verified::new(rng) }
    }

    /// Whether this is the user's password. Takes the same time whether there is such a user or not.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], which does not say what was wrong.
    pub(crate) async fn check(&self, name: &str, user: Option<&User>, password: &str) -> Result<Identity> {
        let verifier = user.and_then(|user| user.verifier.as_deref());
        if let (Some(user), Some(verifier)) = (user, verifier)
            && self.verified.knows(name, verifier, password)
        {
            return Ok(Identity::of(name, user));
        }
        let is_right = self.passwords.verify(verifier, password).await?;
        match (user, verifier) {
            (Some(user), Some(verifier)) if is_right => {
                self.verified.remember(name, verifier, password);
                Ok(Identity::of(name, user))
            }
            _ => Err(Error::WrongPassword),
        }
    }
}
