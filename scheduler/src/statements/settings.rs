//! SET and RESET.

use volley_planner::error::Error as PlannerError;
use volley_planner::sql::settings::Settings;
use volley_storage::ErrorKind;

use super::Running;
use crate::error::Result;
use crate::request::QueryResult;

impl Running {
    pub(super) async fn set(&self, name: &str, value: &str) -> Result<QueryResult> {
        self.may_change(name).await?;
        let settings =
            self.request.session.change_settings(|settings| settings.set(name, value).map(|effect| vec![effect]))?;
        self.apply_memory_limit(name, &settings);
        Ok(QueryResult::done("SET"))
    }

    pub(super) async fn reset(&self, name: Option<&str>) -> Result<QueryResult> {
        if let Some(name) = name {
            self.may_change(name).await?;
        }
        let limited = self.current.settings.memory_limit().is_some();
        let settings = self.request.session.change_settings(|settings| settings.reset(name))?;
        // RESET ALL leaves alone what another session set for the engine.
        if limited && self.is_superuser().await? {
            self.apply_memory_limit(name.unwrap_or(MEMORY_LIMIT), &settings);
        }
        Ok(QueryResult::done("RESET"))
    }

    /// Refuses what is not the session's own to change.
    async fn may_change(&self, name: &str) -> Result<()> {
        let sentence = if name.eq_ignore_ascii_case(MEMORY_LIMIT) && !self.is_superuser().await? {
            format!("only superusers may change {MEMORY_LIMIT}, which is the limit of all sessions")
        } else if self.shared.allowed_paths.is_some()
            && NAMES_FILES.iter().any(|known| known.eq_ignore_ascii_case(name))
        {
            format!("{name} cannot be changed where the setting allowed_paths limits what statements read and write")
        } else {
            return Ok(());
        };
        Err(PlannerError::invalid(ErrorKind::PermissionDenied, sentence).into())
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
/// Options of DataFusion that let it look for tables in files by itself. Nothing here asks it to; nobody shall need to know.
const NAMES_FILES: [&str; 3] = [
    "datafusion.catalog.location",
    "datafusion.catalog.format",
    "datafusion.catalog.create_default_catalog_and_schema",
];
