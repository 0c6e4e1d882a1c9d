//! The `volley` program: a shell, a script runner, a demo and a checker around the engine.
//!
//! | module | what it holds |
//! |---|---|
//! | [`arguments`] | the command line |
//! | [`location`] | what `-d` names |
//! | [`shell`] | `volley`: the interactive shell |
//! | [`sql`] | `volley sql`: statements one by one |
//! | [`demo`] | `volley demo`: the walk through the features |
//! | [`verify`] | `volley verify`: the check of a data directory |
//! | [`run`] | one statement: its result, its spinner, Ctrl-C |
//! | [`statements`] | a stream of text cut into statements |
//! | [`output`] | result sets as table, CSV, JSON |
//! | [`console`], [`progress`] | standard output and error; the spinner |
//! | [`failure`] | why the program stops, its one line and exit code |

mod arguments;
mod console;
mod demo;
mod failure;
mod location;
mod output;
mod progress;
mod run;
mod shell;
mod sql;
mod statements;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, EngineConfig};

use arguments::{Arguments, Command, Common};
use console::Console;
use failure::Failure;

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
            let location = location::parse(common.data())?;
            let runtime = runtime()?;
            let engine = open(&runtime, common, location)?;
            shell::run(&engine, &runtime, console)?;
            runtime.block_on(run::settle(&engine, &Console::stdio()));
            Ok(())
        }
        Some(Command::Sql(arguments)) => {
            let location = location::parse(common.data())?;
            let script = sql::Script::open(&arguments.source)?;
            let runtime = runtime()?;
            let engine = open(&runtime, common, location)?;
            let runner = run::Runner::new(&engine, arguments.format);
            let mut console = console;
            runtime.block_on(async {
                script.run(&runner, &mut console).await?;
                run::settle(&engine, &console).await;
                Ok(())
            })
        }
        Some(Command::Demo) => {
            let location = common.data_given().map(location::parse).transpose()?;
            demo::run(&runtime()?, common, location, console)
        }
        Some(Command::Verify) => {
            let location = location::parse(common.data())?;
            verify::must_exist(&location)?;
            let runtime = runtime()?;
            let mut console = console;
            match open(&runtime, common, location) {
                Ok(engine) => runtime.block_on(verify::run(&engine, &mut console)),
                Err(failure) => verify::unopened(failure, &mut console),
            }
        }
    }
}

/// The runtime of this program's own work: waiting for statements, Ctrl-C and the clock. The engine brings its own threads.
fn runtime() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|error| Failure::Refused {
        kind: volley::ErrorKind::Io,
        sentence: format!("cannot start a thread: {error}"),
    })
}

/// Opens the engine as the command line says.
fn open(runtime: &Runtime, common: &Common, location: DataLocation) -> Result<Arc<Engine>, Failure> {
    let mut config = EngineConfig::new(location);
    config.memory_limit = common.memory_limit;
    config.threads = common.threads;
    Ok(runtime.block_on(Engine::open(config))?)
}
