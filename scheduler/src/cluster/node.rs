//! What both roles have in common: how a node is called and where it is found.

use std::net::SocketAddr;

use ulid::Ulid;

use super::member::{NodeDescription, NodeId};
use super::secret::ClusterSecret;

/// The share of a node that is like the others.
pub const WEIGHT: u32 = 100;

/// What an engine is for the cluster that it belongs to.
#[derive(Debug, Clone)]
pub enum ClusterRole {
    /// It plans, merges and commits, and has executors do the rest.
    Coordinator {
        /// What the nodes of the cluster have in common.
        secret: ClusterSecret,
        /// Owners of each shard.
        replicas: usize,
    },
    /// It does what coordinators ask, and nothing of its own accord.
    Executor,
}

/// How a node takes part in a cluster.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Its name; the machine's with the port when `None`. An executor that is started again under its name gets its shards
    /// back.
    pub name: Option<String>,
    /// Where its internal port listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where other nodes find that port, with or without its number; the address that is listened on when `None`.
    pub advertise: Option<String>,
    /// What the nodes of the cluster have in common.
    pub secret: ClusterSecret,
    /// Its share of the shards relative to others; [`WEIGHT`] is ordinary.
    pub weight: u32,
    /// The internal ports of the coordinators, `host:port`; for executors.
    pub coordinators: Vec<String>,
}

impl NodeConfig {
    /// The node that this makes, when its port listens here.
    pub(super) fn describe(&self, id: Ulid, listens: SocketAddr) -> NodeDescription {
        let port = listens.port();
        let address = match &self.advertise {
            Some(address) if has_port(address) => address.clone(),
            Some(host) => format!("{host}:{port}"),
            None => listens.to_string(),
        };
        let name = self.name.clone().unwrap_or_else(|| format!("{}:{port}", machine_name()));
        NodeDescription { id: NodeId(id), name, address, weight: self.weight.max(1) }
    }
}

/// Whether an address ends in a port. An IPv6 address without brackets has none.
fn has_port(address: &str) -> bool {
    let numbered = |(_, port): (&str, &str)| port.parse::<u16>().is_ok();
    address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')).is_some_and(numbered)
}

fn machine_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().map(str::to_owned).unwrap_or_else(|_| "node".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_where_it_says() {
        let config = |advertise: Option<&str>, name: Option<&str>| NodeConfig {
            name: name.map(str::to_owned),
            listen: ([0, 0, 0, 0], 0).into(),
            advertise: advertise.map(str::to_owned),
            secret: ClusterSecret::of_text(&[7; 32]).expect("long enough"),
            weight: 0,
            coordinators: Vec::new(),
        };
        let listens = SocketAddr::from(([127, 0, 0, 1], 4711));
        for (advertise, address) in [
            (None, "127.0.0.1:4711"),
            (Some("db1.example:99"), "db1.example:99"),
            (Some("db1.example"), "db1.example:4711"),
            (Some("[::1]"), "[::1]:4711"),
            (Some("[::1]:5"), "[::1]:5"),
        ] {
            let node = config(advertise, Some("e1")).describe(Ulid(1), listens);
            assert_eq!((node.name.as_str(), node.address.as_str(), node.weight), ("e1", address, 1));
        }
        let unnamed = config(None, None).describe(Ulid(1), listens);
        assert!(unnamed.name.ends_with(":4711") && unnamed.name.len() > 5, "{}", unnamed.name);
    }
}
