//! The sources of a configuration: flags over the environment over the file over the defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, ServerConfig};
use crate::options::{Given, Options, PREFIX};

/// Variables that begin with `VOLLEY_` and are no options.
pub const KNOWN_VARIABLES: &[&str] = &["VOLLEY_CONFIG", "VOLLEY_PASSWORD"];

/// What each source says.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    flags: Options,
    environment: Options,
    file: Options,
    path: Option<PathBuf>,
}

impl Layers {
    /// Reads the environment and the file. Nothing unknown is passed over: a misspelt limit would be no limit. The file is
    /// `config`, or what `VOLLEY_CONFIG` names.
    pub fn read(
        flags: Options,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        config: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut path = None;
        let mut environment = Options::default();
        for (name, value) in variables {
            // Names that are not UTF-8 are nobody's options.
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            if name == "VOLLEY_CONFIG" {
                path = Some(PathBuf::from(&value));
            }
            if !KNOWN_VARIABLES.contains(&name) {
                set_variable(&mut environment, name, &value)?;
            }
        }
        let path = config.map(Path::to_owned).or(path);
        let file = path.as_deref().map(read_file).transpose()?.unwrap_or_default();
        Ok(Self { flags, environment, file, path })
    }

    /// The configuration that the layers make.
    pub fn resolve(&self) -> Result<ServerConfig, ConfigError> {
        self.merged().resolve()
    }

    /// Every option with its value and where that comes from, as a file that says the same.
    pub fn explain(&self) -> String {
        let all = self.merged().with_defaults();
        let (flags, environment, file) = (self.flags.entries(), self.environment.entries(), self.file.entries());
        let mut lines = Vec::new();
        for (index, (name, value)) in all.entries().into_iter().enumerate() {
            let origin = if flags[index].1.is_some() {
                format!("--{}", name.replace('_', "-"))
            } else if environment[index].1.is_some() {
                variable(name)
            } else if file[index].1.is_some() {
                self.path.as_deref().unwrap_or(Path::new("")).display().to_string()
            } else {
                "default".to_owned()
            };
            lines.push(match value {
                Some(value) => (format!("{name} = {value}"), origin),
                None => (format!("# {name}"), "not set".to_owned()),
            });
        }
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        lines.iter().map(|(line, origin)| format!("{line:width$}  # {origin}\n")).collect()
    }

    fn merged(&self) -> Options {
        self.flags.clone().or(self.environment.clone()).or(self.file.clone())
    }
}

/// The environment variable of an option.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

fn set_variable(options: &mut Options, name: &str, value: &std::ffi::OsStr) -> Result<(), ConfigError> {
    let wrong = |detail| ConfigError::Value { place: name.to_owned(), detail };
    let key = name[PREFIX.len()..].to_ascii_lowercase();
    let text = value.to_str().ok_or_else(|| wrong("the value is not UTF-8".to_owned()))?;
    // Variables of the environment tell upper from lower case.
    let known = Some(key).filter(|key| variable(key) == name);
    match known.and_then(|key| options.set(&key, &Given::Text(text))) {
        Some(done) => done.map_err(wrong),
        None => {
            let variables = Options::NAMES.iter().map(|name| variable(name));
            let names = variables.chain(KNOWN_VARIABLES.iter().map(|name| (*name).to_owned()));
            Err(ConfigError::UnknownVariable { name: name.to_owned(), nearest: nearest(name, names) })
        }
    }
}

fn read_file(path: &Path) -> Result<Options, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse_file(path, &text)
}

fn parse_file(path: &Path, text: &str) -> Result<Options, ConfigError> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| ConfigError::Malformed {
        path: path.to_owned(),
        line: line(error.span().map_or(0, |span| span.start)),
        detail: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
    })?;
    let mut options = Options::default();
    for (key, value) in table.get_ref() {
        let (name, line) = (key.get_ref().as_ref(), line(key.span().start));
        let place = || format!("{}: line {line}: {name}", path.display());
        let done = match &given(value.get_ref()) {
            Some(given) => options.set(name, &given.borrowed()),
            None if Options::NAMES.contains(&name) => {
                Some(Err(format!("{} is not a value of it", value.get_ref().type_str())))
            }
            None => None,
        };
        match done {
            Some(done) => done.map_err(|detail| ConfigError::Value { place: place(), detail })?,
            None => {
                let nearest = nearest(name, Options::NAMES.iter().map(|name| (*name).to_owned()));
                return Err(ConfigError::UnknownKey { path: path.to_owned(), line, key: name.to_owned(), nearest });
            }
        }
    }
    Ok(options)
}

/// A value of the file as text.
enum Written {
    Text(String),
    List(Vec<String>),
}

impl Written {
    fn borrowed(&self) -> Given<'_> {
        match self {
            Written::Text(text) => Given::Text(text),
            Written::List(items) => Given::List(items.iter().map(String::as_str).collect()),
        }
    }
}

/// What a value of the file says; `None` for those that no option has, such as tables and dates.
fn given(value: &DeValue<'_>) -> Option<Written> {
    match value {
        DeValue::Array(items) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            items.map(Written::List)
        }
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| Written::Text(n.to_string()))
        }
        DeValue::Boolean(value) => Some(Written::Text(value.to_string())),
        DeValue::String(text) => Some(Written::Text(text.to_string())),
        _ => None,
    }
}

/// The candidate that a name most resembles, if it resembles one.
fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let limit = (name.len() / 3).max(1);
    let near = candidates.map(|candidate| (strsim::damerau_levenshtein(name, &candidate), candidate));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}
