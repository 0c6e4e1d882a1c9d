//! Settings that DataFusion's configuration follows.

use datafusion::config::{ConfigField, ConfigOptions};
use volley_storage::ErrorKind;

use super::{Effect, Settings};
use crate::error::{Error, ObjectKind, Result};

impl Settings {
    /// SET: changes a setting and the option of DataFusion's configuration that follows it, or neither.
    ///
    /// # Errors
    /// Unknown settings, with the nearest name; values of the wrong form or out of range.
    pub fn set_in(&mut self, options: &mut ConfigOptions, name: &str, value: &str) -> Result<()> {
        let mut changed = self.clone();
        changed.set(name, value)?.apply(options)?;
        *self = changed;
        Ok(())
    }

    /// RESET: sets one setting, or all, back to the default, and DataFusion's configuration with it.
    ///
    /// # Errors
    /// Unknown settings, with the nearest name.
    pub fn reset_in(&mut self, options: &mut ConfigOptions, name: Option<&str>) -> Result<()> {
        let mut changed = self.clone();
        for effect in changed.reset(name)? {
            effect.apply(options)?;
        }
        *self = changed;
        Ok(())
    }
}

impl Effect {
    /// Carries the effect out.
    ///
    /// # Errors
    /// Options that DataFusion does not know, with the nearest name; values it refuses.
    pub fn apply(&self, options: &mut ConfigOptions) -> Result<()> {
        let Effect::DataFusion { name, value } = self else { return Ok(()) };
        if !options.entries().iter().any(|entry| entry.key == *name) {
            let known = options.entries().into_iter().map(|entry| entry.key);
            return Err(Error::undefined(ObjectKind::Setting, name, known));
        }
        let changed = match value {
            Some(value) => options.set(name, value),
            None => options.reset(name),
        };
        changed.map_err(|error| {
            let value = value.as_deref().unwrap_or("its default");
            let reason = Error::from(error);
            Error::invalid(ErrorKind::InvalidValue, format!("{name} cannot be set to {value}: {reason}"))
        })
    }
}
