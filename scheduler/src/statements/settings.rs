//! SET and RESET.

use volley_planner::sql::settings::Settings;

use super::Running;
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    pub(super) fn set(&self, name: &str, value: &str) -> Result<QueryResult> {
        let settings =
            self.request.session.change_settings(|settings| settings.set(name, value).map(|effect| vec![effect]))?;
        self.apply_memory_limit(name, &settings);
        Ok(QueryResult::done("SET"))
    }

    pub(super) fn reset(&self, name: Option<&str>) -> Result<QueryResult> {
        let limited = self.current.settings.memory_limit().is_some();
        let settings = self.request.session.change_settings(|settings| settings.reset(name))?;
        // RESET ALL leaves alone what another session set for the engine.
        if limited {
            self.apply_memory_limit(name.unwrap_or(MEMORY_LIMIT), &settings);
        }
        Ok(QueryResult::done("RESET"))
    }

    /// The ledger is the engine's, so its limit is everybody's.
    fn apply_memory_limit(&self, name: &str, settings: &Settings) {
        if name.eq_ignore_ascii_case(MEMORY_LIMIT) {
            let memory = &self.shared.memory;
            memory.set_limit(settings.memory_limit().unwrap_or(memory.initial_limit()));
        }
    }
}

const MEMORY_LIMIT: &str = "volley.memory_limit";
