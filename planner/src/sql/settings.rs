//! Settings: what SET, SHOW and RESET know, checked before anything uses it.
//!
//! Three families share one namespace. `volley.*` are ours, typed and bounded. PostgreSQL's are accepted where clients set
//! them, and where they mean something they set it. `datafusion.*` are passed on to DataFusion's configuration, which checks
//! them itself.

mod apply;
mod table;
#[cfg(test)]
mod tests;
mod units;

use std::collections::BTreeMap;
use std::time::Duration;

use volley_storage::ErrorKind;
use volley_storage::store::Consistency;

use crate::error::{Error, ObjectKind, Result};

pub use table::{SETTINGS, Setting, SettingType};
pub use units::{format_bytes, parse_bytes};

/// For how long a session may miss what others committed.
const SESSION_MS: i64 = 1_000;
/// For how long anybody may.
const EVENTUAL_MS: i64 = 60_000;

/// A session's settings: those that were set, over the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    changed: BTreeMap<String, String>,
}

/// What else a change means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing else.
    None,
    /// This option of DataFusion's configuration takes this value.
    DataFusion {
        /// The option's full name, such as `datafusion.execution.batch_size`.
        name: String,
        /// Its value as text; `None` means DataFusion's default.
        value: Option<String>,
    },
}

/// A setting as SHOW ALL lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its value in this session.
    pub value: String,
    /// Its value without SET.
    pub default: String,
    /// What it does.
    pub description: &'static str,
}

impl Settings {
    /// Sets a setting and says what else that means.
    ///
    /// # Errors
    /// Unknown settings, with the nearest name; values of the wrong form or out of range.
    pub fn set(&mut self, name: &str, value: &str) -> Result<Effect> {
        let name = name.to_lowercase();
        if name.starts_with("datafusion.") {
            self.changed.insert(name.clone(), value.to_string());
            return Ok(Effect::DataFusion { name, value: Some(value.to_string()) });
        }
        let setting = find(&name)?;
        let value = setting.kind.check(setting.name, value)?;
        self.changed.insert(setting.name.to_string(), value.clone());
        Ok(setting.effect(value))
    }

    /// Sets a setting back to its default; `None` means all. Says which options of DataFusion's configuration follow.
    ///
    /// # Errors
    /// Unknown settings, with the nearest name.
    pub fn reset(&mut self, name: Option<&str>) -> Result<Vec<Effect>> {
        let names: Vec<String> = match name.map(str::to_lowercase) {
            Some(name) if name.starts_with("datafusion.") => vec![name],
            Some(name) => vec![find(&name)?.name.to_string()],
            None => self.changed.keys().cloned().collect(),
        };
        let mut effects = Vec::new();
        for name in names {
            self.changed.remove(&name);
            match SETTINGS.iter().find(|setting| setting.name == name) {
                Some(setting) => effects.push(setting.effect(setting.default.to_string())),
                None => effects.push(Effect::DataFusion { name, value: None }),
            }
        }
        effects.retain(|effect| *effect != Effect::None);
        Ok(effects)
    }

    /// The value of one of our or PostgreSQL's settings, as text; of `datafusion.*` only where it was set.
    ///
    /// # Errors
    /// Unknown settings, with the nearest name.
    pub fn get(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_lowercase();
        if name.starts_with("datafusion.") {
            return Ok(self.changed.get(&name).cloned());
        }
        Ok(Some(self.value(find(&name)?).to_string()))
    }

    /// Every setting of ours and PostgreSQL's, by name.
    pub fn list(&self) -> Vec<Listed> {
        let listed = SETTINGS.iter().map(|setting| Listed {
            name: setting.name.to_string(),
            value: self.value(setting).to_string(),
            default: setting.default.to_string(),
            description: setting.description,
        });
        listed.collect()
    }

    fn value<'a>(&'a self, setting: &'a Setting) -> &'a str {
        self.changed.get(setting.name).map_or(setting.default, String::as_str)
    }

    fn of_ours(&self, name: &'static str) -> &str {
        self.changed.get(name).map(String::as_str).unwrap_or_else(|| {
            SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.default)
        })
    }

    /// `volley.memory_limit` in bytes; `None` means the process's own limit.
    pub fn memory_limit(&self) -> Option<usize> {
        parse_bytes(self.of_ours("volley.memory_limit")).filter(|bytes| *bytes > 0)
    }

    /// `volley.batch_size`: rows a batch has at most.
    pub fn batch_size(&self) -> usize {
        self.of_ours("volley.batch_size").parse().unwrap_or(8_192)
    }

    /// `volley.target_partitions`; `None` means one for each processor.
    pub fn target_partitions(&self) -> Option<usize> {
        self.of_ours("volley.target_partitions").parse().ok().filter(|partitions| *partitions > 0)
    }

    /// `volley.statement_timeout`; `None` means no limit.
    pub fn statement_timeout(&self) -> Option<Duration> {
        units::parse_duration(self.of_ours("volley.statement_timeout")).filter(|timeout| !timeout.is_zero())
    }

    /// `volley.plan_cache`: whether searches that are asked again are kept planned.
    pub fn plan_cache(&self) -> bool {
        self.of_ours("volley.plan_cache") != "off"
    }

    /// `volley.consistency`: how fresh the versions that a query sees have to be, on a store that is behind a network or not.
    pub fn consistency(&self, is_remote: bool) -> Consistency {
        match self.of_ours("volley.consistency") {
            "session" => Consistency::Within(SESSION_MS),
            "bounded" => {
                let staleness = units::parse_duration(self.of_ours("volley.max_staleness")).unwrap_or_default();
                Consistency::Within(i64::try_from(staleness.as_millis()).unwrap_or(EVENTUAL_MS).min(EVENTUAL_MS))
            }
            "eventual" => Consistency::Within(EVENTUAL_MS),
            "auto" if is_remote => Consistency::Within(SESSION_MS),
            _ => Consistency::Strong,
        }
    }

    /// `volley.vector_topk`: whether the planner may use the vector top-k node.
    pub fn vector_topk(&self) -> bool {
        self.of_ours("volley.vector_topk") != "off"
    }

    /// `volley.recall_target`: the share of the true nearest rows that a search has to find, above 0; at 1 only an exact
    /// search will do.
    pub fn recall_target(&self) -> f32 {
        self.of_ours("volley.recall_target").parse().unwrap_or(0.95)
    }

    /// `volley.filter_strategy`: `auto`, `exact`, `in` or `post`.
    pub fn filter_strategy(&self) -> &str {
        self.of_ours("volley.filter_strategy")
    }

    /// `volley.auto_index`: whether written rows are indexed in the background.
    pub fn auto_index(&self) -> bool {
        self.of_ours("volley.auto_index") != "off"
    }

    /// `hnsw.ef_search`: how many candidates a search of an index keeps; `None` means what the recall target takes.
    pub fn ef_search(&self) -> Option<usize> {
        self.of_ours("hnsw.ef_search").parse().ok()
    }

    /// `search_path`: the schema that names without one belong to.
    pub fn search_path(&self) -> &str {
        self.of_ours("search_path")
    }
}

fn find(name: &str) -> Result<&'static Setting> {
    let found = SETTINGS.iter().find(|setting| setting.name == name || setting.aliases.contains(&name));
    found.ok_or_else(|| Error::undefined(ObjectKind::Setting, name, SETTINGS.iter().map(|setting| setting.name)))
}

impl Setting {
    fn effect(&self, value: String) -> Effect {
        match self.datafusion {
            Some(name) => Effect::DataFusion { name: name.to_string(), value: Some(value) },
            None => Effect::None,
        }
    }
}

impl SettingType {
    /// The value in its normal form.
    fn check(&self, name: &str, value: &str) -> Result<String> {
        let text = value.trim();
        let refuse =
            |expected: String| Error::invalid(ErrorKind::InvalidValue, format!("{name} is {expected}, not '{value}'"));
        match self {
            SettingType::Bytes { least } => match parse_bytes(text) {
                Some(bytes) if bytes == 0 || bytes >= *least => {
                    Ok(if bytes == 0 { "0".to_string() } else { text.to_string() })
                }
                Some(_) => Err(refuse(format!("at least {}, or 0 for no limit of its own", format_bytes(*least)))),
                None => Err(refuse("a size such as '512MB' or '4GB', or 0".to_string())),
            },
            SettingType::Integer { least, most } => match text.parse::<u64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(number.to_string()),
                _ => Err(refuse(format!("a number from {least} to {most}"))),
            },
            SettingType::IntegerOrNothing { .. } if text.is_empty() => Ok(String::new()),
            SettingType::IntegerOrNothing { least, most } => match text.parse::<u64>() {
                Ok(number) if (*least..=*most).contains(&number) => Ok(number.to_string()),
                _ => Err(refuse(format!("a number from {least} to {most}, or '' to let Volley choose"))),
            },
            SettingType::Share => match text.parse::<f32>() {
                Ok(share) if share > 0.0 && share <= 1.0 => Ok(text.to_string()),
                _ => Err(refuse("a share above 0 and at most 1, such as 0.95".to_string())),
            },
            SettingType::Duration => match units::parse_duration(text) {
                Some(_) => Ok(text.to_string()),
                None => Err(refuse("a time such as '30s' or '500ms', or 0 for no limit".to_string())),
            },
            SettingType::Boolean => match text.to_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok("on".to_string()),
                "off" | "false" | "no" | "0" => Ok("off".to_string()),
                _ => Err(refuse("on or off".to_string())),
            },
            SettingType::OneOf(values) => {
                let found = values.iter().find(|known| known.eq_ignore_ascii_case(text));
                found.map(ToString::to_string).ok_or_else(|| refuse(format!("one of {}", values.join(", "))))
            }
            SettingType::Text => Ok(value.to_string()),
            SettingType::Schema => {
                let names = text.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
                let first = names.into_iter().find(|name| !name.is_empty() && *name != "$user");
                first.map(str::to_string).ok_or_else(|| refuse("the name of a schema".to_string()))
            }
            SettingType::ReadOnly => Err(Error::invalid(ErrorKind::InvalidValue, format!("{name} cannot be changed"))),
        }
    }
}
