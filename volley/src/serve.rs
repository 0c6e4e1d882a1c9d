//! `volley serve`: one process behind its doors; and `volley config check`.

use std::sync::Arc;

use volley::Engine;
use volley_server::Server;
use volley_server::metrics::Metrics;

use crate::arguments::{Common, ServeArguments};
use crate::console::Console;
use crate::failure::Failure;
use crate::process::{self, Service, engine_config, layers};

/// Serves until a signal.
pub(crate) fn run(common: &Common, arguments: &ServeArguments, console: Console) -> Result<(), Failure> {
    let config = layers(common, arguments)?.resolve()?;
    let engine_config = engine_config(&config)?;
    process::run(config, console, async |config| {
        let scheme = if config.tls.is_some() { "grpc+tls" } else { "grpc" };
        let engine = Engine::open(engine_config).await?;
        let server = Server::start(Arc::clone(&engine), config, Metrics::new()).await?;
        Ok(Doors { engine, server, scheme })
    })
}

/// Prints the configuration and where each value comes from.
pub(crate) fn check(common: &Common, arguments: &ServeArguments, mut console: Console) -> Result<(), Failure> {
    let layers = layers(common, arguments)?;
    let config = layers.resolve()?;
    engine_config(&config)?;
    config.secret()?;
    config.cluster.secret()?;
    if let Some(tls) = &config.tls {
        volley_server::tls::Tls::load(tls)?;
    }
    console.out().write_all(layers.explain().as_bytes())?;
    Ok(console.flush()?)
}

/// An engine and its doors.
pub(crate) struct Doors {
    pub(crate) engine: Arc<Engine>,
    pub(crate) server: Server,
    /// How addresses of the Flight SQL port begin.
    pub(crate) scheme: &'static str,
}

impl Service for Doors {
    fn announcement(&self) -> String {
        let (flight, http) = (self.server.flight_address(), self.server.http_address());
        tracing::info!(%flight, %http, "ready");
        format!("Volley is listening: Flight SQL on {}://{flight}, HTTP on http://{http}", self.scheme)
    }

    async fn stop(self) {
        self.server.shutdown().await;
        self.engine.close().await;
    }
}
