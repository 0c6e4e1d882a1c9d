//! A process that serves until a signal: what `serve`, `coordinator` and `executor` have in common.

mod signals;

use volley::EngineConfig;
use volley_server::config::{Layers, ServerConfig};
use volley_server::logging;

use crate::arguments::{Common, ServeArguments};
use crate::console::Console;
use crate::failure::Failure;
use crate::location;
use signals::Signals;

/// What runs in such a process.
pub(crate) trait Service: Sized {
    /// The line that says where it listens.
    fn announcement(&self) -> String;

    /// Ends it in good order.
    async fn stop(self);
}

/// What was said on the command line, in the environment and in the file.
pub(crate) fn layers(common: &Common, arguments: &ServeArguments) -> Result<Layers, Failure> {
    Ok(Layers::read(arguments.flags(common), std::env::vars_os(), arguments.config.as_deref())?)
}

/// The engine of a configuration.
pub(crate) fn engine_config(config: &ServerConfig) -> Result<EngineConfig, Failure> {
    let mut engine = EngineConfig::new(location::data(&config.data, "serve")?);
    engine.memory_limit = config.memory_limit;
    engine.threads = config.threads;
    engine.cache_dir = config.cache_dir.clone();
    engine.cache_size = config.cache_size;
    engine.allowed_paths = Some(config.allowed_paths.clone());
    Ok(engine)
}

/// Runs what `start` makes of the configuration, until a signal.
pub(crate) fn run<S: Service>(
    config: ServerConfig,
    console: Console,
    start: impl AsyncFnOnce(ServerConfig) -> Result<S, Failure>,
) -> Result<(), Failure> {
    logging::start(config.log_format, config.log_level);
    // The doors encode and decode on threads of their own; the engine brings its own for the rest.
    let runtime = crate::built(&mut tokio::runtime::Builder::new_multi_thread())?;
    let signals = runtime.block_on(async { Signals::register() })?;
    let served = runtime.block_on(serve(start(config), signals, console));
    // What still hangs somewhere below must not keep a stopped process alive.
    runtime.shutdown_background();
    served
}

async fn serve<S: Service>(
    starting: impl Future<Output = Result<S, Failure>>,
    mut signals: Signals,
    mut console: Console,
) -> Result<(), Failure> {
    // Nothing is served yet, so a signal ends it at once.
    let started = tokio::select! {
        biased;
        signal = signals.next() => signal.exit(),
        started = starting => started,
    };
    let service = started?;
    writeln!(console.out(), "{}", service.announcement())?;
    console.flush()?;
    let signal = signals.next().await;
    tracing::info!(%signal, "stopping: nothing new is taken, what runs may end");
    tokio::select! {
        biased;
        // Whoever asks twice does not want to wait. What was committed stays committed.
        signal = signals.next() => signal.exit(),
        () = service.stop() => tracing::info!("stopped"),
    }
    Ok(())
}
