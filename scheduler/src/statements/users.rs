//! CREATE USER, ALTER USER and DROP USER: changes of the catalog, each one commit of its log.

use std::collections::BTreeMap;

use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::sql::{AlterUser, CreateUser, DropUser, NewPassword, UserOptions};
use volley_storage::ErrorKind;
use volley_storage::catalog::{CatalogAction, CatalogSnapshot, User};

use super::Running;
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    /// Whether the session may do everything: it is the process's own, or its user is a superuser now.
    pub(super) async fn is_superuser(&self) -> Result<bool> {
        match self.request.session.user() {
            None => Ok(true),
            Some(_) => Ok(self.may_do_everything(&*self.shared.database.catalog().snapshot().await?)),
        }
    }

    fn may_do_everything(&self, names: &CatalogSnapshot) -> bool {
        let user = self.request.session.user();
        user.is_none_or(|user| names.users.get(user).is_some_and(|user| user.is_superuser))
    }

    pub(super) async fn create_user(&self, create: CreateUser) -> Result<QueryResult> {
        let CreateUser { name, if_not_exists, options } = create;
        // Whether there is something to do; asked before the password is hashed, which takes long, and again when it counts.
        let wanted = |names: &CatalogSnapshot| match names.users.contains_key(&name) {
            _ if !self.may_do_everything(names) => Err(denied("only superusers may create users")),
            true if if_not_exists => Ok(false),
            true => Err(PlannerError::invalid(ErrorKind::DuplicateObject, format!("user \"{name}\" exists already"))),
            false => Ok(true),
        };
        let catalog = self.shared.database.catalog();
        let result = QueryResult::done("CREATE USER");
        let exists = format!("user \"{name}\" exists already, skipping");
        if !wanted(&*catalog.snapshot().await?)? {
            return Ok(result.with_notice(exists));
        }
        let is_superuser = options.is_superuser.unwrap_or(false);
        let user = User { verifier: self.verifier(&options).await?.flatten(), is_superuser };
        let is_created = std::sync::atomic::AtomicBool::new(true);
        self.limits.begin_commit()?;
        let outcome = catalog.apply_with(|names| {
            let is_wanted = wanted(names)?;
            is_created.store(is_wanted, std::sync::atomic::Ordering::Relaxed);
            let create = || CatalogAction::CreateUser { name: name.clone(), user: user.clone() };
            Ok::<_, PlannerError>(is_wanted.then(create).into_iter().collect())
        });
        outcome.await?;
        Ok(match is_created.into_inner() {
            true => result,
            false => result.with_notice(exists),
        })
    }

    pub(super) async fn alter_user(&self, alter: AlterUser) -> Result<QueryResult> {
        let AlterUser { name, options } = alter;
        let allowed = |names: &CatalogSnapshot| {
            let is_own = self.request.session.user() == Some(name.as_str());
            match self.may_do_everything(names) {
                true => {}
                false if !is_own => {
                    return Err(denied("only superusers may change other users; you may change your own PASSWORD"));
                }
                false if options.is_superuser.is_some() => {
                    return Err(denied("only superusers may say who is a superuser; you may change your own PASSWORD"));
                }
                false => {}
            }
            let user = names.users.get(&name);
            user.cloned().ok_or_else(|| PlannerError::undefined(ObjectKind::User, &name, names.users.keys()))
        };
        let catalog = self.shared.database.catalog();
        allowed(&*catalog.snapshot().await?)?;
        let verifier = self.verifier(&options).await?;
        self.limits.begin_commit()?;
        let outcome = catalog.apply_with(|names| {
            let mut user = allowed(names)?;
            if let Some(verifier) = &verifier {
                user.verifier.clone_from(verifier);
            }
            user.is_superuser = options.is_superuser.unwrap_or(user.is_superuser);
            let mut left = names.users.clone();
            left.insert(name.clone(), user.clone());
            // Whoever is alone may do without.
            if left.len() > 1 {
                keeps_a_superuser(&names.users, &left)?;
            }
            Ok::<_, PlannerError>(vec![CatalogAction::AlterUser { name: name.clone(), user }])
        });
        outcome.await?;
        Ok(QueryResult::done("ALTER USER"))
    }

    /// DROP USER: all or none.
    pub(super) async fn drop_users(&self, drop: DropUser) -> Result<QueryResult> {
        let missing = parking_lot::Mutex::new(Vec::new());
        self.limits.begin_commit()?;
        let outcome = self.shared.database.catalog().apply_with(|names| {
            if !self.may_do_everything(names) {
                return Err(denied("only superusers may drop users"));
            }
            let mut missing = missing.lock();
            missing.clear();
            let mut left = names.users.clone();
            let mut actions = Vec::new();
            for name in &drop.names {
                if self.request.session.user() == Some(name) {
                    let sentence = "the user of this session cannot be dropped; let another superuser do it";
                    return Err(PlannerError::invalid(ErrorKind::InvalidState, sentence));
                }
                if left.remove(name).is_some() {
                    actions.push(CatalogAction::DropUser { name: name.clone() });
                } else if !names.users.contains_key(name) {
                    if !drop.if_exists {
                        return Err(PlannerError::undefined(ObjectKind::User, name, names.users.keys()));
                    }
                    missing.push(name.clone());
                }
            }
            if !left.is_empty() {
                keeps_a_superuser(&names.users, &left)?;
            }
            Ok(actions)
        });
        outcome.await?;
        let mut result = QueryResult::done("DROP USER");
        let notice = |name| format!("user \"{name}\" does not exist, skipping");
        result.notices.extend(missing.into_inner().into_iter().map(notice));
        Ok(result)
    }

    /// What the password of a statement is checked against from now on; the outer `None`: it says nothing about it.
    async fn verifier(&self, options: &UserOptions) -> Result<Option<Option<String>>> {
        match &options.password {
            None => Ok(None),
            Some(NewPassword::Null) => Ok(Some(None)),
            Some(NewPassword::Text(password)) => {
                let salt = self.shared.database.env().rng.random_u128();
                let passwords = &self.shared.authenticator.passwords;
                Ok(Some(Some(passwords.hash(password.reveal(), salt).await?)))
            }
        }
    }
}

/// Refuses to leave users behind whom nobody could manage.
fn keeps_a_superuser(before: &BTreeMap<String, User>, after: &BTreeMap<String, User>) -> Result<(), PlannerError> {
    let has_one = |users: &BTreeMap<String, User>| users.values().any(|user| user.is_superuser && user.can_log_in());
    match has_one(before) && !has_one(after) {
        true => Err(PlannerError::invalid(
            ErrorKind::InvalidState,
            "this is the last superuser who can log in; make another user one first, with ALTER USER … SUPERUSER",
        )),
        false => Ok(()),
    }
}

fn denied(sentence: &str) -> PlannerError {
    PlannerError::invalid(ErrorKind::PermissionDenied, sentence)
}
