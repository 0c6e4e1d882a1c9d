//! A coordinator and executors as processes of this machine, that can be killed, stopped and started again.

mod node;

use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::topology::{Connection, Refusal, connect_to};
pub use node::Node;

/// A node that does not come up within this does not come up.
const START_MAX: Duration = Duration::from_secs(30);
/// A coordinator and executors may take so long until they have found each other.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The data directory or the address of the store.
    pub data: String,
    /// Where secrets, logs and caches go.
    pub directory: PathBuf,
    /// Directories that statements may read and write files in.
    pub allowed_paths: Vec<PathBuf>,
    /// How many executors there are.
    pub executors: usize,
    /// Further arguments of every node.
    pub arguments: Vec<String>,
    /// Environment of every node.
    pub environment: Vec<(String, String)>,
}

impl ClusterOptions {
    /// Three executors over a data directory below `directory`.
    pub fn below(directory: &Path) -> Self {
        Self {
            data: directory.join("data").display().to_string(),
            directory: directory.to_owned(),
            allowed_paths: vec![directory.to_owned()],
            executors: 3,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl ClusterOptions {
    /// The file of the secret that all nodes know.
    fn secret(&self) -> PathBuf {
        self.directory.join("cluster.secret")
    }

    /// What every node is told.
    fn common(&self, name: &str, listen: u16, http: u16, secret: &Path) -> Vec<String> {
        let mut arguments = vec![
            "-d".to_owned(),
            self.data.clone(),
            "--cluster-secret-file".to_owned(),
            secret.display().to_string(),
            "--cluster-listen".to_owned(),
            format!("127.0.0.1:{listen}"),
            "--name".to_owned(),
            name.to_owned(),
            "--http".to_owned(),
            format!("127.0.0.1:{http}"),
            "--cache-dir".to_owned(),
            self.directory.join(format!("{name}.copies")).display().to_string(),
        ];
        arguments.extend(self.arguments.clone());
        arguments
    }

    fn coordinator(&self, name: &str, ports: [u16; 3], secret: &Path) -> Result<Node, Refusal> {
        let [flight, http, internal] = ports;
        let allowed = std::env::join_paths(&self.allowed_paths).map_err(|error| refused(&error.to_string()))?;
        let mut arguments = self.common(name, internal, http, secret);
        arguments.extend(["--flight".to_owned(), format!("127.0.0.1:{flight}")]);
        arguments.extend(["--allowed-paths".to_owned(), allowed.to_string_lossy().into_owned()]);
        Ok(self.node(name, "coordinator", arguments))
    }

    fn node(&self, name: &str, role: &str, arguments: Vec<String>) -> Node {
        let log = self.directory.join(format!("{name}.log"));
        Node::new(name, role, arguments, self.environment.clone(), log)
    }
}

/// One coordinator and its executors. All of them are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The coordinator.
    pub coordinator: Node,
    /// The executors.
    pub executors: Vec<Node>,
    /// Where the coordinator serves Flight SQL: `http://host:port`.
    pub address: String,
    /// Where it serves metrics: `host:port`.
    pub http: String,
    options: ClusterOptions,
    /// Where it listens to executors: `host:port`.
    internal: String,
}

impl Cluster {
    /// Starts all processes and waits until every executor is given work.
    pub async fn start(options: &ClusterOptions) -> Result<Self, Refusal> {
        let cluster = Self::prepare(options)?;
        cluster.coordinator.start();
        // An executor that finds nobody tries again a second later.
        cluster.wait_for_door().await?;
        for executor in &cluster.executors {
            executor.start();
        }
        cluster.wait_for_executors(cluster.executors.len()).await?;
        Ok(cluster)
    }

    /// The processes, not started yet.
    fn prepare(options: &ClusterOptions) -> Result<Self, Refusal> {
        let io = |error: std::io::Error| refused(&error.to_string());
        std::fs::create_dir_all(&options.directory).map_err(io)?;
        let secret = options.secret();
        std::fs::write(&secret, "a secret of a cluster that only tests know, long enough").map_err(io)?;
        let [flight, http, internal] = free_ports().map_err(io)?;
        let coordinator = options.coordinator("coordinator", [flight, http, internal], &secret)?;
        let mut cluster = Self {
            coordinator,
            executors: Vec::new(),
            address: format!("http://127.0.0.1:{flight}"),
            http: format!("127.0.0.1:{http}"),
            options: options.clone(),
            internal: format!("127.0.0.1:{internal}"),
        };
        for number in 1..=options.executors {
            let executor = cluster.another_executor(&format!("e{number}"), &[])?;
            cluster.executors.push(executor);
        }
        Ok(cluster)
    }

    /// A further executor, with further options and their values; not started yet.
    pub fn another_executor(&self, name: &str, further: &[&str]) -> Result<Node, Refusal> {
        let [listen, http] = free_ports().map_err(|error| refused(&error.to_string()))?;
        let mut arguments = self.options.common(name, listen, http, &self.options.secret());
        arguments.extend(["--coordinators".to_owned(), self.internal.clone()]);
        for option in further.chunks(2) {
            // Said twice, an option is an error.
            if let Some(at) = arguments.iter().position(|argument| argument == option[0]) {
                arguments.drain(at..at + option.len());
            }
            arguments.extend(option.iter().map(|argument| (*argument).to_owned()));
        }
        Ok(self.options.node(name, "executor", arguments))
    }

    /// A further coordinator and where it will serve Flight SQL; not started yet. The executors do not know it.
    pub fn another_coordinator(&self, name: &str) -> Result<(Node, String), Refusal> {
        let ports: [u16; 3] = free_ports().map_err(|error| refused(&error.to_string()))?;
        let node = self.options.coordinator(name, ports, &self.options.secret())?;
        Ok((node, format!("http://127.0.0.1:{}", ports[0])))
    }

    /// A new client of the coordinator.
    pub async fn connect(&self) -> Result<Box<dyn Connection>, Refusal> {
        connect_to(&self.address).await
    }

    /// Waits until the coordinator answers.
    pub async fn wait_for_door(&self) -> Result<(), Refusal> {
        let begun = Instant::now();
        loop {
            let answer = match self.connect().await {
                Ok(mut client) => client.run("SELECT 1").await.map(|_| ()),
                Err(refusal) => Err(refusal),
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(refusal) if begun.elapsed() > START_MAX || !self.coordinator.is_running() => {
                    let log = self.coordinator.log();
                    return Err(refused(&format!("the coordinator does not answer: {refusal}\n{log}")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Waits until so many executors are given work.
    pub async fn wait_for_executors(&self, count: usize) -> Result<(), Refusal> {
        let begun = Instant::now();
        loop {
            let live = match self.live_executors().await {
                Ok(live) if live == count => return Ok(()),
                outcome => outcome,
            };
            if begun.elapsed() > JOIN_MAX {
                let logs: Vec<_> =
                    self.executors.iter().map(|node| format!("{}:\n{}", node.name(), node.log())).collect();
                return Err(refused(&format!("{live:?} executors instead of {count}\n{}", logs.join("\n"))));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many executors are given work.
    pub async fn live_executors(&self) -> Result<usize, Refusal> {
        let mut client = self.connect().await?;
        let answer = client.run("SELECT name FROM volley.executors WHERE state = 'live'").await?;
        Ok(answer.batches.iter().map(|batch| batch.num_rows()).sum())
    }

    /// Ends all processes in good order: executors first, so that they can say goodbye.
    pub fn stop(&self) {
        self.executors.iter().for_each(Node::terminate);
        self.executors.iter().for_each(Node::wait);
        self.coordinator.terminate();
        self.coordinator.wait();
    }
}

/// A client of the coordinator that serves at this address.
pub async fn connect(address: &str) -> Result<Box<dyn Connection>, Refusal> {
    connect_to(address).await
}

/// Ports that nobody uses at the moment. A node that is started again wants its port again, so they are none that the system
/// gives to outgoing connections, and none that this process gave out before.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    const RANGE: Range<u16> = 10_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let number = std::process::id().wrapping_mul(97).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
            let port = RANGE.start + (number % RANGE.len() as u32) as u16;
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(_) => break port,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        };
    }
    Ok(ports)
}

fn refused(sentence: &str) -> Refusal {
    Refusal { sentence: sentence.to_owned(), sqlstate: "XX000" }
}
