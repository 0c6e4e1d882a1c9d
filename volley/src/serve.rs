//! `volley serve`: one process behind its doors, from its configuration to its end; and `volley config check`.

mod signals;

use std::sync::Arc;

use volley::{Engine, EngineConfig};
use volley_server::Server;
use volley_server::config::{Layers, ServerConfig};
use volley_server::logging;
use volley_server::metrics::Metrics;

use crate::arguments::{Common, ServeArguments};
use crate::console::Console;
use crate::failure::Failure;
use crate::location;
use signals::Signals;

/// Serves until a signal.
pub(crate) fn run(common: &Common, arguments: &ServeArguments, console: Console) -> Result<(), Failure> {
    let config = layers(common, arguments)?.resolve()?;
    let engine_config = engine_config(&config)?;
    logging::start(config.log_format, config.log_level);
    // The doors encode and decode on threads of their own; the engine brings its own for the rest.
    let runtime = crate::built(&mut tokio::runtime::Builder::new_multi_thread())?;
    let signals = runtime.block_on(async { Signals::register() })?;
    let served = runtime.block_on(serve(config, engine_config, signals, console));
    // What still hangs somewhere below must not keep a stopped server alive.
    runtime.shutdown_background();
    served
}

/// Prints the configuration and where each value comes from.
pub(crate) fn check(common: &Common, arguments: &ServeArguments, mut console: Console) -> Result<(), Failure> {
    let layers = layers(common, arguments)?;
    let config = layers.resolve()?;
    engine_config(&config)?;
    config.secret()?;
    if let Some(tls) = &config.tls {
        volley_server::tls::Tls::load(tls)?;
    }
    console.out().write_all(layers.explain().as_bytes())?;
    Ok(console.flush()?)
}

fn layers(common: &Common, arguments: &ServeArguments) -> Result<Layers, Failure> {
    Ok(Layers::read(arguments.flags(common), std::env::vars_os(), arguments.config.as_deref())?)
}

fn engine_config(config: &ServerConfig) -> Result<EngineConfig, Failure> {
    let mut engine = EngineConfig::new(location::data(&config.data, "serve")?);
    engine.memory_limit = config.memory_limit;
    engine.threads = config.threads;
    engine.allowed_paths = Some(config.allowed_paths.clone());
    Ok(engine)
}

async fn serve(
    config: ServerConfig,
    engine_config: EngineConfig,
    mut signals: Signals,
    mut console: Console,
) -> Result<(), Failure> {
    let encrypted = config.tls.is_some();
    // Nothing is served yet, so a signal ends it at once.
    let started = tokio::select! {
        biased;
        signal = signals.next() => signal.exit(),
        started = start(config, engine_config) => started,
    };
    let (engine, server) = started?;
    let scheme = if encrypted { "grpc+tls" } else { "grpc" };
    let (flight, http) = (server.flight_address(), server.http_address());
    tracing::info!(%flight, %http, "ready");
    writeln!(console.out(), "Volley is listening: Flight SQL on {scheme}://{flight}, HTTP on http://{http}")?;
    console.flush()?;
    let signal = signals.next().await;
    tracing::info!(%signal, "stopping: no more statements are taken, those that run may end");
    let stopping = async {
        server.shutdown().await;
        engine.close().await;
    };
    tokio::select! {
        biased;
        // Whoever asks twice does not want to wait. What was committed stays committed.
        signal = signals.next() => signal.exit(),
        () = stopping => tracing::info!("stopped"),
    }
    Ok(())
}

async fn start(config: ServerConfig, engine_config: EngineConfig) -> Result<(Arc<Engine>, Server), Failure> {
    let engine = Engine::open(engine_config).await?;
    let server = Server::start(Arc::clone(&engine), config, Metrics::new()).await?;
    Ok((engine, server))
}
