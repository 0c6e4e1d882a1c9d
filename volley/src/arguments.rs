//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use volley_server::options::Options;
use volley_server::options::values::{self, Memory, Size, Threads};

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
  volley -d s3://bucket/docs               open the shell on data in an object store
  volley demo                              see what Volley does, on data it brings along
  volley sql -c 'SELECT 1 + 1'             run one statement
  volley serve -d /srv/volley              serve a data directory to others
  volley coordinator --help                serve it with several processes
  volley -d grpc://ann@db.example          open the shell on a server
  volley verify -d /srv/volley             check every file of a data directory";

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The data directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix for an object store, memory:// for
    /// data that is gone afterwards, or for the shell and sql a server such as grpc://ann@host:32010 (grpc+tls:// if
    /// encrypted) [default: ./volley-data; demo: a temporary one]
    #[arg(short = 'd', long = "data", value_name = "DIR|URL", global = true)]
    data: Option<String>,
    /// Memory for queries and caches, such as 512MB or 8GiB; queries that need more spill to disk or fail
    #[arg(long, value_name = "SIZE", global = true, value_parser = values::parse::<Memory>)]
    pub(crate) memory_limit: Option<Memory>,
    /// Threads that compute [default: one per processor]
    #[arg(long, value_name = "N", global = true, value_parser = values::parse::<Threads>)]
    pub(crate) threads: Option<Threads>,
    /// Where copies of an object store's files are kept on this machine [default: volley/files in the user's cache directory]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How much of them is kept, such as 50GB [default: 20GiB, or half of the disk's free space if that is less]
    #[arg(long, value_name = "SIZE", global = true, value_parser = values::parse::<Size>)]
    pub(crate) cache_size: Option<Size>,
}

impl Common {
    /// Where the data is.
    pub(crate) fn data(&self) -> &str {
        self.data.as_deref().unwrap_or(DEFAULT_DATA)
    }

    /// Whether an option was given that says how this process treats its data.
    pub(crate) fn is_about_this_process(&self) -> bool {
        let Common { data: _, memory_limit, threads, cache_dir, cache_size } = self;
        memory_limit.is_some() || threads.is_some() || cache_dir.is_some() || cache_size.is_some()
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
    /// Serve a data directory to others: Flight SQL for queries, HTTP for health and metrics
    ///
    /// Listens to this machine alone unless told otherwise. SIGTERM and SIGINT stop it: it takes no more statements, lets
    /// those that run end, and exits with 0. Every option also has a name in the environment (VOLLEY_QUEUE_TIMEOUT) and in
    /// the file (queue_timeout); the command line comes before the environment, and that before the file.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArguments>),
    /// Be the door of a cluster: plan, have executors do the work, merge, commit
    ///
    /// Serves clients like volley serve, and executors on the internal port. Without an executor it does everything by itself.
    /// Several may run over one store: all of them serve, and the one that holds the highest epoch also looks after indexes.
    /// Every node needs the same store, the same cluster_secret_file and the same version.
    #[command(after_help = COORDINATOR_EXAMPLES)]
    Coordinator(Box<ServeArguments>),
    /// Do the work of a cluster: search shards, write segments, build indexes
    ///
    /// Joins the coordinators that it is told of, and joins them again when they or it were away. SIGTERM makes it leave: it
    /// is given nothing new, ends what runs, and exits with 0.
    #[command(after_help = EXECUTOR_EXAMPLES)]
    Executor(Box<ServeArguments>),
    /// Look at the configuration of a server
    #[command(after_help = CONFIG_EXAMPLES)]
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every option with its value and where that comes from, as a file that says the same
    ///
    /// Reads what volley serve would read, and starts nothing. The exit code is 1 if a server could not start with it.
    #[command(after_help = CONFIG_EXAMPLES)]
    Check(Box<ServeArguments>),
}

/// Options of `volley serve`, `volley coordinator` and `volley executor`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// A file of options, TOML [environment: VOLLEY_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The options themselves.
    #[command(flatten)]
    pub(crate) options: Options,
}

impl ServeArguments {
    /// What the command line says about the server, the options of every command among it.
    pub(crate) fn flags(&self, common: &Common) -> Options {
        let data = common.data_given().map(str::to_owned);
        let (memory_limit, threads) = (common.memory_limit, common.threads);
        let (cache_dir, cache_size) = (common.cache_dir.clone(), common.cache_size);
        Options { data, memory_limit, threads, cache_dir, cache_size, ..self.options.clone() }
    }
}

const SQL_EXAMPLES: &str = "\
Examples:
  volley sql -c 'SELECT count(*) FROM docs'
  volley sql -d /srv/volley -f load.sql
  volley sql -c 'SELECT id, title FROM docs' --format csv > docs.csv
  volley sql -d grpc://ann@db.example -c 'SELECT 1'    on a server; the password is in VOLLEY_PASSWORD
  generate-inserts | volley sql -f -       each statement runs as soon as its ; arrives";

const DEMO_EXAMPLES: &str = "\
Examples:
  volley demo
  volley demo -d ./demo-data               keep the tables, then look around with: volley -d ./demo-data";

const VERIFY_EXAMPLES: &str = "\
Examples:
  volley verify
  volley verify -d /srv/volley
  volley verify -d s3://bucket/docs";

const SERVE_EXAMPLES: &str = "\
Examples:
  volley serve -d /srv/volley
  volley serve -d s3://bucket/docs --cache-size 50GB
  volley serve --config /etc/volley.toml --log-format json
  volley serve --flight 0.0.0.0:32010 --tls-certificate cert.pem --tls-key key.pem
  VOLLEY_SLOW_QUERY=5s volley serve";

const COORDINATOR_EXAMPLES: &str = "\
Examples:
  head -c 32 /dev/urandom | base64 > cluster.secret
  volley coordinator -d /srv/volley --cluster-secret-file cluster.secret
  volley coordinator -d s3://bucket/docs --cluster-secret-file cluster.secret --cluster-listen 10.0.0.1:32012";

const EXECUTOR_EXAMPLES: &str = "\
Examples:
  volley executor -d /srv/volley --cluster-secret-file cluster.secret --http 127.0.0.1:8081
  volley executor -d s3://bucket/docs --cluster-secret-file cluster.secret --name e1 \\
    --cluster-listen 10.0.0.2:32011 --coordinators 10.0.0.1:32012,10.0.0.9:32012";

const CONFIG_EXAMPLES: &str = "\
Examples:
  volley config check
  volley config check --config /etc/volley.toml
  volley config check > volley.toml        a file to begin with";

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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(given.common.threads, Some(Threads(2)));
        let given =
            Arguments::try_parse_from(["volley", "serve", "--threads", "2", "--max-connections", "5"]).expect("valid");
        let Some(Command::Serve(serve)) = &given.command else { panic!("{given:?}") };
        let flags = serve.flags(&given.common);
        assert_eq!((flags.threads, flags.max_connections, flags.data), (Some(Threads(2)), Some(5), None));
        assert!(Arguments::try_parse_from(["volley", "sql"]).is_err());
        assert!(Arguments::try_parse_from(["volley", "sql", "-c", "x", "-f", "y"]).is_err());
    }
}
