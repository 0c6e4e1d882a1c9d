//! The `volley` program: a shell, a script runner, a server, a demo and a checker around the engine.
//!
//! | module | what it holds |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`location`] | what `-d` names |
//! | [`shell`] | `volley`: the interactive shell |
//! | [`sql`] | `volley sql`: statements one by one |
//! | [`serve`] | `volley serve`: the server, and `volley config check` |
//! | [`coordinator`], [`executor`] | `volley coordinator`, `volley executor`: the roles of a cluster |
//! | [`process`] | what those have in common: they run until a signal |
//! | [`demo`] | `volley demo`: the walk through the features |
//! | [`verify`] | `volley verify`: the check of a data directory |
//! | [`backend`] | where statements run: the engine of this process, or a server |
//! | [`remote`] | a server behind `grpc://` |
//! | [`run`] | one statement: its result, its spinner, Ctrl-C |
//! | [`statements`] | a stream of text cut into statements |
//! | [`output`] | result sets as table, CSV, JSON |
//! | [`console`], [`progress`] | standard output and error; the spinner |
//! | [`failure`] | why the program stops, its one line and exit code |

mod arguments;
mod backend;
mod console;
mod coordinator;
mod demo;
mod executor;
mod failure;
mod location;
mod output;
mod process;
mod progress;
mod remote;
mod run;
mod serve;
mod shell;
mod sql;
mod statements;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig};

use arguments::{Arguments, Command, Common, ConfigCommand};
use backend::Backend;
use console::Console;
use failure::Failure;
use location::Place;

/// Queries allocate little and often, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    let console = Console::stdio();
    match &arguments.command {
        None => {
            let place = location::parse(common.data())?;
            let runtime = runtime()?;
            let backend = connect(&runtime, common, place)?;
            shell::run(&backend, &runtime, console)?;
            runtime.block_on(run::settle(&backend, &Console::stdio()));
            Ok(())
        }
        Some(Command::Sql(arguments)) => {
            let place = location::parse(common.data())?;
            let script = sql::Script::open(&arguments.source)?;
            let runtime = runtime()?;
            let backend = connect(&runtime, common, place)?;
            let runner = run::Runner::new(backend.clone(), arguments.format);
            let mut console = console;
            runtime.block_on(async {
                script.run(&runner, &mut console).await?;
                run::settle(&backend, &console).await;
                Ok(())
            })
        }
        Some(Command::Serve(arguments)) => serve::run(common, arguments, console),
        Some(Command::Coordinator(arguments)) => coordinator::run(common, arguments, console),
        Some(Command::Executor(arguments)) => executor::run(common, arguments, console),
        Some(Command::Config { command: ConfigCommand::Check(arguments) }) => serve::check(common, arguments, console),
        Some(Command::Demo) => {
            let location = common.data_given().map(|data| location::data(data, "demo")).transpose()?;
            demo::run(&runtime()?, common, location, console)
        }
        Some(Command::Verify) => {
            let location = location::data(common.data(), "verify")?;
            verify::must_exist(&location)?;
            let runtime = runtime()?;
            let mut console = console;
            // An object store has no directories: one that was never opened looks like an empty one.
            let create = !matches!(location, DataLocation::Url(_));
            let config = EngineConfig { create, ..config(common, location) };
            match runtime.block_on(Engine::open(config)).map_err(Failure::from) {
                Ok(engine) => runtime.block_on(verify::run(&engine, &mut console)),
                Err(failure) => verify::unopened(failure, &mut console),
            }
        }
    }
}

/// The runtime of this program's own work: waiting for statements, Ctrl-C and the clock. The engine brings its own threads.
fn runtime() -> Result<Runtime, Failure> {
    built(tokio::runtime::Builder::new_multi_thread().worker_threads(1))
}

fn built(builder: &mut tokio::runtime::Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::Refused {
        kind: volley::ErrorKind::Io,
        sentence: format!("cannot start a thread: {error}"),
    })
}

/// Opens the data or connects to the server.
fn connect(runtime: &Runtime, common: &Common, place: Place) -> Result<Backend, Failure> {
    match place {
        Place::Data(location) => Ok(Backend::local(&open(runtime, common, location)?)),
        Place::Server(_) if common.is_about_this_process() => Err(Failure::Refused {
            kind: volley::ErrorKind::InvalidValue,
            sentence:
                "--memory-limit, --threads, --cache-dir and --cache-size are for data of this process; a server has \
                       its own"
                    .to_owned(),
        }),
        Place::Server(address) => {
            let connection = runtime.block_on(remote::Connection::open(address))?;
            Ok(Backend::Remote(Arc::new(connection)))
        }
    }
}

/// Opens the engine as the command line says.
fn open(runtime: &Runtime, common: &Common, location: DataLocation) -> Result<Arc<Engine>, Failure> {
    Ok(runtime.block_on(Engine::open(config(common, location)))?)
}

/// What the command line says about the engine.
fn config(common: &Common, location: DataLocation) -> EngineConfig {
    let mut config = EngineConfig::new(location);
    config.memory_limit = common.memory_limit.map(|memory| memory.0);
    config.threads = common.threads.map(|threads| threads.0);
    config.cache_dir = common.cache_dir.clone();
    config.cache_size = common.cache_size.map(|size| size.0 as u64);
    config
}
