//! Users: who may log in, and what they prove it with.

use super::state::refuse;
use crate::error::{ErrorKind, Result};
use std::collections::BTreeMap;
use std::fmt;

/// Users by name.
pub(super) type Users = BTreeMap<String, User>;

/// A user of the data directory.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// What a password is checked against: an argon2id hash as a PHC string. `None`: this user cannot log in.
    pub verifier: Option<String>,
    /// Whether this user may do everything.
    pub is_superuser: bool,
}

impl User {
    /// Whether there is a password that this user can log in with.
    pub fn can_log_in(&self) -> bool {
        self.verifier.is_some()
    }
}

impl fmt::Debug for User {
    /// Without the verifier: debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("can_log_in", &self.can_log_in())
            .field("is_superuser", &self.is_superuser)
            .finish_non_exhaustive()
    }
}

pub(super) fn create(users: &mut Users, name: &str, user: &User) -> Result<()> {
    if users.contains_key(name) {
        return refuse(ErrorKind::DuplicateObject, format!("user \"{name}\" already exists"));
    }
    users.insert(name.to_owned(), user.clone());
    Ok(())
}

pub(super) fn alter(users: &mut Users, name: &str, user: &User) -> Result<()> {
    match users.get_mut(name) {
        Some(known) => *known = user.clone(),
        None => return missing(name),
    }
    Ok(())
}

pub(super) fn drop(users: &mut Users, name: &str) -> Result<()> {
    match users.remove(name) {
        Some(_) => Ok(()),
        None => missing(name),
    }
}

fn missing(name: &str) -> Result<()> {
    refuse(ErrorKind::UndefinedObject, format!("user \"{name}\" does not exist"))
}
