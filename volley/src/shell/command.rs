//! Backslash commands: a small part of psql's.

use std::path::PathBuf;

use crate::output::Format;

/// What `\?` prints.
pub(super) const HELP: &str = r"Statements end with ; and may take several lines.
  \d              tables and views
  \d NAME         columns and indexes of a table or view
  \dt, \dv, \di   tables only, views only, indexes
  \format FORMAT  write results as table, csv or json
  \x [on|off]     one value per line
  \timing [on|off]  show how long each statement takes
  \i FILE         run the statements of a file
  \?              this list
  \q              leave (also Ctrl-D)
Ctrl-C cancels the running statement, or clears the line.
";

/// The commands, for completion.
pub(super) const NAMES: &[&str] = &["\\?", "\\d", "\\di", "\\dt", "\\dv", "\\format", "\\i", "\\q", "\\timing", "\\x"];

/// What a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Tables and views.
    All,
    /// Tables.
    Tables,
    /// Views.
    Views,
    /// Indexes.
    Indexes,
}

/// A backslash command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// `\d`, `\dt`, `\dv`, `\di`.
    List(ListKind),
    /// `\d NAME`.
    Describe(Vec<String>),
    /// `\timing`; `None` toggles.
    Timing(Option<bool>),
    /// `\x`; `None` toggles.
    Expanded(Option<bool>),
    /// `\format`; `None` tells.
    Format(Option<Format>),
    /// `\i FILE`.
    Include(PathBuf),
    /// `\?`.
    Help,
    /// `\q`.
    Quit,
}

/// Reads a command; the error is a sentence for the user.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    let none = |command: Command| match argument {
        "" => Ok(command),
        _ => Err(format!("{name} takes no argument")),
    };
    match name {
        "\\?" | "\\h" | "\\help" => none(Command::Help),
        "\\q" | "\\quit" => none(Command::Quit),
        "\\dt" => none(Command::List(ListKind::Tables)),
        "\\di" => none(Command::List(ListKind::Indexes)),
        "\\dv" => none(Command::List(ListKind::Views)),
        "\\d" if argument.is_empty() => Ok(Command::List(ListKind::All)),
        "\\d" => parse_name(argument).map(Command::Describe),
        "\\timing" => switch(name, argument).map(Command::Timing),
        "\\x" => switch(name, argument).map(Command::Expanded),
        "\\format" if argument.is_empty() => Ok(Command::Format(None)),
        "\\format" => match Format::named(argument) {
            Some(format) => Ok(Command::Format(Some(format))),
            None => Err(format!("\"{argument}\" is no format; choose table, csv or json")),
        },
        "\\i" if argument.is_empty() => Err("\\i needs a file".to_owned()),
        "\\i" => Ok(Command::Include(argument.trim_matches('\'').into())),
        _ => Err(format!("{name} is no command; \\? lists them")),
    }
}

fn switch(name: &str, argument: &str) -> Result<Option<bool>, String> {
    match argument.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(format!("{name} takes on or off, not \"{argument}\"")),
    }
}

/// The parts of a name as SQL writes it: `docs`, `Docs` (the same), `"Docs"`, `app.docs`.
fn parse_name(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut end = 0;
            loop {
                let at = quoted[end..].find('"').ok_or_else(|| format!("{text} has a quote that does not end"))? + end;
                if !quoted[at + 1..].starts_with('"') {
                    end = at;
                    break;
                }
                end = at + 2;
            }
            part = quoted[..end].replace("\"\"", "\"");
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(['.', '"']).unwrap_or(rest.len());
            part = rest[..end].to_lowercase();
            rest = &rest[end..];
        }
        if part.is_empty() || part.contains(char::is_whitespace) && !text.contains('"') {
            return Err(format!("{text} is not a name"));
        }
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() && parts.len() <= 3 => return Ok(parts),
            None => return Err(format!("{text} is not a name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("\\q"), Ok(Command::Quit));
        assert_eq!(parse("\\d ;"), Ok(Command::List(ListKind::All)));
        assert_eq!(parse("\\timing"), Ok(Command::Timing(None)));
        assert_eq!(parse("\\timing ON"), Ok(Command::Timing(Some(true))));
        assert_eq!(parse("\\x off"), Ok(Command::Expanded(Some(false))));
        assert_eq!(parse("\\format CSV"), Ok(Command::Format(Some(Format::Csv))));
        assert_eq!(parse("\\i 'a b.sql'"), Ok(Command::Include("a b.sql".into())));
        assert_eq!(parse("\\di"), Ok(Command::List(ListKind::Indexes)));
        assert_eq!(parse("\\dt"), Ok(Command::List(ListKind::Tables)));
    }

    #[test]
    fn wrong_commands_are_answered() {
        for wrong in
            ["\\nope", "\\", "\\q now", "\\timing maybe", "\\format xml", "\\i", "\\d \"a", "\\d a b", "\\d a..b"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_fold_and_quote_as_in_sql() {
        let name = |text: &str| match parse(&format!("\\d {text}")) {
            Ok(Command::Describe(parts)) => parts,
            other => panic!("{other:?}"),
        };
        assert_eq!(name("Docs"), ["docs"]);
        assert_eq!(name("App.Docs"), ["app", "docs"]);
        assert_eq!(name("\"My Docs\""), ["My Docs"]);
        assert_eq!(name("a.\"x\"\"y.z\""), ["a", "x\"y.z"]);
        assert_eq!(name("größe"), ["größe"]);
    }
}
