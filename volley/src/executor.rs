//! `volley executor`: a process that does what coordinators ask.

use std::sync::Arc;
use std::time::Duration;

use volley::Engine;
use volley_scheduler::cluster::{ClusterRole, Executor};
use volley_server::http::HttpServer;
use volley_server::metrics::Metrics;

use crate::arguments::{Common, ServeArguments};
use crate::console::Console;
use crate::coordinator::shared_engine_config;
use crate::failure::Failure;
use crate::process::{self, Service, layers};

/// Works until a signal.
pub(crate) fn run(common: &Common, arguments: &ServeArguments, console: Console) -> Result<(), Failure> {
    let config = layers(common, arguments)?.resolve()?;
    let node_config = config.cluster.executor()?;
    let engine_config = shared_engine_config(&config, ClusterRole::Executor)?;
    process::run(config, console, async |config| {
        let engine = Engine::open(engine_config).await?;
        let http = HttpServer::start(Arc::clone(&engine), config.http, Metrics::new()).await?;
        let node = Executor::start(&engine, node_config).await?;
        http.ready();
        Ok(Executing { node, http, engine, patience: config.shutdown_timeout })
    })
}

/// An executor and its HTTP door.
struct Executing {
    node: Executor,
    http: HttpServer,
    engine: Arc<Engine>,
    /// How long what runs may take to end.
    patience: Duration,
}

impl Service for Executing {
    fn announcement(&self) -> String {
        let (name, nodes, http) = (self.node.name(), self.node.address(), self.http.address());
        tracing::info!(name, %nodes, %http, "ready");
        format!("Volley executor {name} is listening: other nodes on {nodes}, HTTP on http://{http}")
    }

    async fn stop(self) {
        self.http.draining();
        self.node.shutdown(self.patience).await;
        self.engine.close().await;
        self.http.shutdown().await;
    }
}
