//! One client's settings and prepared statements.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::config::ConfigEntry;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use volley_planner::error::{Error as PlannerError, ObjectKind};
use volley_planner::session::{SessionUser, session_state};
use volley_planner::sql::settings::{Effect, Settings};

use crate::error::{Error, Result};
use crate::statements::Prepared;
use crate::users::Identity;

/// One client's settings and prepared statements. Shared between the client's concurrent queries.
pub struct Session {
    /// `None`: the session is the process's own.
    identity: Option<Arc<Identity>>,
    base: SessionConfig,
    current: Mutex<Current>,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
}

/// What the session's next query starts from.
#[derive(Clone)]
pub(crate) struct Current {
    /// A session state without a catalog, made with the settings.
    pub(crate) template: Arc<SessionState>,
    pub(crate) settings: Arc<Settings>,
    /// A hash of everything that is set: sessions in which it is the same plan alike.
    pub(crate) fingerprint: u64,
}

/// The hash of what a session has set, and of whose it is.
pub(crate) fn fingerprint(config: &SessionConfig, settings: &Settings) -> u64 {
    let mut hasher = DefaultHasher::new();
    config.get_extension::<SessionUser>().map(|user| Arc::clone(&user.0)).hash(&mut hasher);
    for ConfigEntry { key, value, .. } in config.options().entries() {
        (key, value).hash(&mut hasher);
    }
    for setting in settings.list() {
        (setting.name, setting.value).hash(&mut hasher);
    }
    hasher.finish()
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("settings", &self.current.lock().settings).finish_non_exhaustive()
    }
}

impl Session {
    /// A session with default settings. `base` is the configuration that settings change, `fingerprint` that of the
    /// defaults.
    pub(crate) fn new(
        identity: Option<Arc<Identity>>,
        base: SessionConfig,
        template: SessionState,
        fingerprint: u64,
    ) -> Self {
        let current = Current { template: Arc::new(template), settings: Arc::default(), fingerprint };
        Self { identity, base, current: Mutex::new(current), prepared: Mutex::default() }
    }

    /// The name of the user whose session it is; `None` for the process's own.
    pub fn user(&self) -> Option<&str> {
        self.identity().map(|identity| identity.name.as_str())
    }

    pub(crate) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    pub(crate) fn current(&self) -> Current {
        self.current.lock().clone()
    }

    /// The value of a setting, as text.
    pub fn setting(&self, name: &str) -> Result<String> {
        let current = self.current();
        if let Some(value) = current.settings.get(name)? {
            return Ok(value);
        }
        // What DataFusion's configuration says, where nobody set it.
        let entries = current.template.config_options().entries();
        let entry = entries.into_iter().find(|entry| entry.key.eq_ignore_ascii_case(name));
        Ok(entry.and_then(|entry| entry.value).unwrap_or_default())
    }

    /// Whether anything was set in it or prepared.
    pub fn has_settings(&self) -> bool {
        *self.current.lock().settings != Settings::default() || !self.prepared.lock().is_empty()
    }

    /// Every setting of ours and PostgreSQL's with its value, by name.
    pub fn settings(&self) -> Vec<(String, String)> {
        let settings = Arc::clone(&self.current.lock().settings);
        settings.list().into_iter().map(|setting| (setting.name, setting.value)).collect()
    }

    /// Changes settings of the queries that start from now on.
    pub(crate) fn change_settings(
        &self,
        change: impl FnOnce(&mut Settings) -> volley_planner::error::Result<Vec<Effect>>,
    ) -> Result<Arc<Settings>> {
        let mut current = self.current.lock();
        let mut settings = current.settings.as_ref().clone();
        let effects = change(&mut settings)?;
        let mut config = current.template.config().clone();
        for effect in effects {
            if let Effect::DataFusion { name, value } = effect {
                match value {
                    Some(value) => config.options_mut().set(&name, &value)?,
                    None => config = self.without(&config, &name)?,
                }
            }
        }
        let partitions = settings.target_partitions().unwrap_or(self.base.target_partitions());
        config = config.with_target_partitions(partitions).with_batch_size(settings.batch_size());
        config.options_mut().catalog.default_schema = settings.search_path().to_owned();
        let runtime: Arc<RuntimeEnv> = Arc::clone(current.template.runtime_env());
        let settings = Arc::new(settings);
        // Planner and operators find the settings in the state they are handed.
        config.set_extension(Arc::clone(&settings));
        current.fingerprint = fingerprint(&config, &settings);
        current.template = Arc::new(session_state(config, runtime, settings.vector_topk())?);
        current.settings = settings;
        Ok(Arc::clone(&current.settings))
    }

    /// The same configuration with one option as the session had it at first. Options without a value cannot be set
    /// back to that, so the others are set again on top of the first configuration.
    fn without(&self, config: &SessionConfig, name: &str) -> Result<SessionConfig> {
        let first: HashMap<_, _> =
            self.base.options().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
        if !first.contains_key(name) {
            let known = first.keys().filter(|key| key.starts_with("datafusion."));
            return Err(PlannerError::undefined(ObjectKind::Setting, name, known).into());
        }
        let mut rebuilt = self.base.clone();
        for entry in config.options().entries() {
            if let Some(value) = entry.value.filter(|value| first.get(&entry.key) != Some(&Some(value.clone())))
                && entry.key != name
            {
                rebuilt.options_mut().set(&entry.key, &value)?;
            }
        }
        Ok(rebuilt)
    }

    pub(crate) fn prepare(&self, name: &str, statement: Prepared) -> Result<()> {
        let mut prepared = self.prepared.lock();
        if prepared.contains_key(name) {
            return Err(Error::DuplicatePrepared { name: name.to_owned() });
        }
        prepared.insert(name.to_owned(), Arc::new(statement));
        Ok(())
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<Arc<Prepared>> {
        let prepared = self.prepared.lock();
        prepared.get(name).cloned().ok_or_else(|| Error::UndefinedPrepared { name: name.to_owned() })
    }

    /// Forgets one prepared statement, or all without a name.
    pub(crate) fn deallocate(&self, name: Option<&str>) -> Result<()> {
        let mut prepared = self.prepared.lock();
        match name {
            None => prepared.clear(),
            Some(name) => {
                prepared.remove(name).ok_or_else(|| Error::UndefinedPrepared { name: name.to_owned() })?;
            }
        }
        Ok(())
    }
}
