//! Credentials that were right before: clients send theirs with every call, and argon2 takes tens of milliseconds.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use volley_storage::env::Rng;

/// Credentials that are remembered; the oldest give way.
const KEPT_MAX: usize = 1_024;

type Digest = [u8; 32];

/// What is remembered are hashes under a key that this process made up and that nobody else knows.
///
/// They are of the user's verifier too, so that a changed password is forgotten by itself.
pub(super) struct Verified {
    key: [u8; 32],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    digests: HashSet<Digest>,
    /// The same, oldest first.
    order: VecDeque<Digest>,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl Verified {
    pub(super) fn new(rng: &dyn Rng) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&rng.random_u128().to_le_bytes());
        key[16..].copy_from_slice(&rng.random_u128().to_le_bytes());
        Self { key, known: Mutex::default() }
    }

    /// Whether these were right before.
    pub(super) fn knows(&self, user: &str, verifier: &str, password: &str) -> bool {
        let digest = self.digest([user, verifier, password]);
        self.known.lock().digests.contains(&digest)
    }

    /// Remembers that these are right.
    pub(super) fn remember(&self, user: &str, verifier: &str, password: &str) {
        let digest = self.digest([user, verifier, password]);
        let mut known = self.known.lock();
        if !known.digests.insert(digest) {
            return;
        }
        known.order.push_back(digest);
        if known.order.len() > KEPT_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.digests.remove(&oldest);
        }
    }

    fn digest(&self, parts: [&str; 3]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            // With its length, so that no two lists of parts run into the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use volley_storage::memory_env;

    use super::*;

    #[test]
    fn what_was_right_is_known_and_nothing_else() {
        let verified = Verified::new(&*memory_env().rng);
        verified.remember("anna", "hash", "secret");
        assert!(verified.knows("anna", "hash", "secret"));
        for (user, verifier, password) in [
            ("ben", "hash", "secret"),
            ("anna", "other", "secret"),
            ("anna", "hash", "secret2"),
            ("annahash", "", "secret"),
        ] {
            assert!(!verified.knows(user, verifier, password), "{user} {verifier} {password}");
        }
    }

    #[test]
    fn the_oldest_give_way() {
        let verified = Verified::new(&*memory_env().rng);
        for n in 0..=KEPT_MAX {
            verified.remember(&n.to_string(), "hash", "secret");
            verified.remember(&n.to_string(), "hash", "secret");
        }
        assert!(!verified.knows("0", "hash", "secret"));
        assert!(verified.knows("1", "hash", "secret"));
        assert_eq!(verified.known.lock().digests.len(), KEPT_MAX);
    }
}
