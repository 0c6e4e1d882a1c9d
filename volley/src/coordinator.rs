//! `volley coordinator`: the doors of a cluster.

use std::sync::Arc;

use volley::{DataLocation, Engine, EngineConfig, ErrorKind};
use volley_scheduler::cluster::{ClusterRole, Coordinator};
use volley_server::Server;
use volley_server::config::ServerConfig;
use volley_server::metrics::Metrics;

use crate::arguments::{Common, ServeArguments};
use crate::console::Console;
use crate::failure::Failure;
use crate::process::{self, Service, engine_config, layers};
use crate::serve::Doors;

/// Coordinates until a signal.
pub(crate) fn run(common: &Common, arguments: &ServeArguments, console: Console) -> Result<(), Failure> {
    let mut config = layers(common, arguments)?.resolve()?;
    if config.secret_file.is_none() {
        // Who has logged in at one coordinator is known at the others. The keys for that are derived for another purpose.
        config.secret_file.clone_from(&config.cluster.secret_file);
    }
    let node_config = config.cluster.coordinator()?;
    let role = ClusterRole::Coordinator { secret: node_config.secret.clone(), replicas: config.cluster.replicas };
    let engine_config = shared_engine_config(&config, role)?;
    process::run(config, console, async |config| {
        let scheme = if config.tls.is_some() { "grpc+tls" } else { "grpc" };
        let engine = Engine::open(engine_config).await?;
        // Executors may join before clients come.
        let node = Coordinator::start(&engine, node_config).await?;
        let server = Server::start(Arc::clone(&engine), config, Metrics::new()).await?;
        Ok(Coordinating { node, doors: Doors { engine, server, scheme } })
    })
}

/// The engine of a node. Its data must be where other nodes find it.
pub(crate) fn shared_engine_config(config: &ServerConfig, role: ClusterRole) -> Result<EngineConfig, Failure> {
    let mut engine = engine_config(config)?;
    if engine.data == DataLocation::Memory {
        return Err(Failure::Refused {
            kind: ErrorKind::InvalidValue,
            sentence: "the nodes of a cluster share their data, and memory:// is one process's alone; use a directory that all \
                       of them see, or an object store"
                .to_owned(),
        });
    }
    engine.cluster = Some(role);
    Ok(engine)
}

/// A coordinator and its doors.
struct Coordinating {
    node: Coordinator,
    doors: Doors,
}

impl Service for Coordinating {
    fn announcement(&self) -> String {
        let doors = self.doors.announcement();
        format!("{doors}, other nodes on {}", self.node.address())
    }

    async fn stop(self) {
        // Executors are needed up to the last statement.
        self.doors.stop().await;
        self.node.shutdown().await;
    }
}
