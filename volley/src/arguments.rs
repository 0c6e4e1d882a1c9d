//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;

/// The data directory of every command but `demo`, where `-d` does not say otherwise.
const DEFAULT_DATA: &str = "./volley-data";

/// A SQL engine in which vector search is a feature of the planner.
///
/// Without a command, an interactive shell on ./volley-data opens.
#[derive(Debug, Parser)]
#[command(name = "volley", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  volley                                   open the shell on ./volley-data
  volley -d memory://                      open the shell on data that is gone afterwards
  volley demo                              see what Volley does, on data it brings along
  volley sql -c 'SELECT 1 + 1'             run one statement
  volley verify -d /srv/volley             check every file of a data directory";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The data directory, or memory:// for data that is gone afterwards [default: ./volley-data; demo: a temporary one]
    #[arg(short = 'd', long = "data", value_name = "DIR|URL", global = true)]
    data: Option<String>,
    /// Memory for queries and caches, such as 512MB or 8GiB; queries that need more spill to disk or fail
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size)]
    pub(crate) memory_limit: Option<usize>,
    /// Threads that compute [default: one per processor]
    #[arg(long, value_name = "N", global = true, value_parser = parse_threads)]
    pub(crate) threads: Option<usize>,
}

impl Common {
    /// Where the data is.
    pub(crate) fn data(&self) -> &str {
        self.data.as_deref().unwrap_or(DEFAULT_DATA)
    }

    /// Where the data is, if the user said so.
    pub(crate) fn data_given(&self) -> Option<&str> {
        self.data.as_deref()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run SQL statements and exit
    ///
    /// Statements run one by one; each is committed, and its output flushed, before the next begins. The first error
    /// stops with exit code 1 and one line on standard error; what was committed before stays.
    #[command(after_help = SQL_EXAMPLES)]
    Sql(SqlArguments),
    /// Walk through the features on data that Volley brings along
    ///
    /// Loads about 4,800 dictionary entries with sentence embeddings and runs real queries over them. Works in a
    /// temporary directory, unless -d names one to keep.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo,
    /// Check every log, file and checksum of a data directory
    ///
    /// Prints what was checked and a line for each thing that is wrong. The exit code is 1 if anything is. Nothing is
    /// changed.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify,
}

const SQL_EXAMPLES: &str = "\
Examples:
  volley sql -c 'SELECT count(*) FROM docs'
  volley sql -d /srv/volley -f load.sql
  volley sql -c 'SELECT id, title FROM docs' --format csv > docs.csv
  generate-inserts | volley sql -f -       each statement runs as soon as its ; arrives";

const DEMO_EXAMPLES: &str = "\
Examples:
  volley demo
  volley demo -d ./demo-data               keep the tables, then look around with: volley -d ./demo-data";

const VERIFY_EXAMPLES: &str = "\
Examples:
  volley verify
  volley verify -d /srv/volley";

/// Options of `volley sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArguments {
    /// Where the statements come from.
    #[command(flatten)]
    pub(crate) source: Source,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Where the statements come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// Statements, separated by ;
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    pub(crate) command: Option<String>,
    /// A file of statements; - reads standard input and runs each statement as soon as it is complete
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Bytes, with an optional unit: `1048576`, `512MB`, `8GiB`, `2g`. Units are powers of 1024, whatever their spelling.
fn parse_size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("\"{text}\" is not a size; write one such as 512MB or 8GiB")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("\"{text}\" is not a size; write one such as 512MB or 8GiB"))?;
    let bytes = number * (1u64 << shift) as f64;
    // Below this, no query could run at all.
    const LEAST: f64 = (16u64 << 20) as f64;
    if bytes < LEAST || bytes > (1u64 << 50) as f64 {
        return Err(format!("\"{text}\" is out of range; the least is 16MB"));
    }
    Ok(bytes as usize)
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err(format!("\"{text}\" is not a number of threads from 1 to 1024")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512MB"), Ok(512 << 20));
        assert_eq!(parse_size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size("67108864"), Ok(64 << 20));
        for wrong in ["", "MB", "12 parsecs", "-1GB", "1KB", "9e9", "99999999TB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_command() {
        let given =
            Arguments::try_parse_from(["volley", "sql", "-d", "x", "-c", "-- note", "--threads", "2"]).expect("valid");
        assert_eq!(given.common.data(), "x");
        assert_eq!(given.common.threads, Some(2));
        assert!(Arguments::try_parse_from(["volley", "sql"]).is_err());
        assert!(Arguments::try_parse_from(["volley", "sql", "-c", "x", "-f", "y"]).is_err());
    }
}
