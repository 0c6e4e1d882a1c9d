//! Every RPC of both roles' internal ports without the cluster's secret, with another one, and from another version.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket};
use futures::{StreamExt, stream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use volley_scheduler::cluster::messages::actions;
use volley_scheduler::cluster::{
    ClusterRole, ClusterSecret, ClusterTls, Coordinator, Credentials, Executor, NodeConfig,
};
use volley_scheduler::{DataLocation, Engine, EngineConfig};

use super::runtime;

/// A refusal that takes longer waits for something that the caller should not be able to make it wait for.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

fn secret(text: &str) -> ClusterSecret {
    ClusterSecret::of_text(text.as_bytes()).expect("long enough")
}

fn node(coordinator: Option<SocketAddr>) -> NodeConfig {
    NodeConfig {
        name: None,
        listen: ([127, 0, 0, 1], 0).into(),
        advertise: None,
        secret: secret("the secret that the nodes of this test know"),
        weight: 100,
        coordinators: coordinator.iter().map(SocketAddr::to_string).collect(),
    }
}

async fn engine(directory: &Path, role: ClusterRole) -> Arc<Engine> {
    let data = DataLocation::Local(directory.to_owned());
    let config = EngineConfig { threads: Some(1), cluster: Some(role), ..EngineConfig::new(data) };
    Engine::open(config).await.expect("an engine")
}

/// What a caller shows.
#[derive(Clone)]
enum Shown {
    Nothing,
    Cluster(Credentials),
    Version(Credentials, &'static str),
}

impl Interceptor for Shown {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match self {
            Shown::Nothing => Ok(request),
            Shown::Cluster(credentials) => credentials.call(request),
            Shown::Version(credentials, version) => {
                let mut request = credentials.call(request)?;
                request.metadata_mut().insert("volley-version", MetadataValue::from_static(version));
                Ok(request)
            }
        }
    }
}

/// Calls each of Flight's ten methods; how each was refused.
async fn refusals(address: SocketAddr, shown: Shown) -> Vec<(&'static str, Status)> {
    let channel: Channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
    let mut client = FlightServiceClient::with_interceptor(channel, shown);
    // A client that streams and never ends is refused before it has ended.
    let endless = || stream::iter([FlightData::default()]).chain(stream::pending());
    let shakes = stream::iter([HandshakeRequest::default()]).chain(stream::pending());
    let action = |kind: &str| Action { r#type: kind.to_owned(), ..Action::default() };
    let mut refused = vec![
        ("Handshake", client.handshake(shakes).await.map(drop)),
        ("ListFlights", client.list_flights(Criteria::default()).await.map(drop)),
        ("GetFlightInfo", client.get_flight_info(FlightDescriptor::default()).await.map(drop)),
        ("PollFlightInfo", client.poll_flight_info(FlightDescriptor::default()).await.map(drop)),
        ("GetSchema", client.get_schema(FlightDescriptor::default()).await.map(drop)),
        ("DoGet", client.do_get(Ticket::default()).await.map(drop)),
        ("DoPut", client.do_put(endless()).await.map(drop)),
        ("DoExchange", client.do_exchange(endless()).await.map(drop)),
        ("ListActions", client.list_actions(Empty {}).await.map(drop)),
    ];
    for kind in [
        actions::HELLO,
        actions::HEARTBEAT,
        actions::LEAVE,
        actions::WARM,
        actions::BUILD_INDEX,
        actions::CALIBRATE,
        "anything",
    ] {
        refused.push(("DoAction", client.do_action(action(kind)).await.map(drop)));
    }
    refused.into_iter().map(|(rpc, outcome)| (rpc, outcome.expect_err(rpc))).collect()
}

/// An authority that signs certificates of this machine's nodes.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("an authority"))
    }

    /// What a node with a certificate of this authority has, where it trusts those of another.
    fn node(&self, trusts: &Authority) -> ClusterTls {
        let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.0).expect("signed").pem();
        ClusterTls::of_pem(certificate.as_bytes(), key.serialize_pem().as_bytes(), trusts.0.pem().as_bytes())
    }
}

/// Waits until the coordinator knows so many executors that it gives work.
async fn live(engine: &Engine, count: usize) {
    let members = engine.members().expect("a coordinator's");
    for _ in 0..200 {
        if members.live().len() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} executors instead of {count}", members.live().len());
}

#[test]
fn with_certificates_a_node_needs_one_of_the_clusters_authority() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = (Authority::new(), Authority::new());
        let plain = node(None).secret;
        let known = plain.clone().with_tls(ours.node(&ours));
        let role = ClusterRole::Coordinator { secret: known.clone(), replicas: 2 };
        let coordinating = engine(directory.path(), role).await;
        let with = |coordinator: Option<SocketAddr>, name: &str, secret: &ClusterSecret| NodeConfig {
            name: Some(name.to_owned()),
            secret: secret.clone(),
            ..node(coordinator)
        };
        let coordinator = Coordinator::start(&coordinating, with(None, "c", &known)).await.expect("a coordinator");
        let at = coordinator.address();
        let executing = engine(directory.path(), ClusterRole::Executor).await;
        let secrets = [
            ("member", &known),
            // The right secret, and no certificate, or one that somebody else signed.
            ("plain", &plain),
            ("stranger", &plain.clone().with_tls(theirs.node(&ours))),
            ("believer", &plain.clone().with_tls(ours.node(&theirs))),
        ];
        let mut executors = Vec::new();
        for (name, secret) in secrets {
            executors.push(Executor::start(&executing, with(Some(at), name, secret)).await.expect("an executor"));
        }
        live(&coordinating, 1).await;
        // The others would have come by now: they try every second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let names: Vec<String> =
            coordinating.members().expect("some").live().iter().map(|member| member.name().to_owned()).collect();
        assert_eq!(names, ["member"]);
        let channel = Endpoint::from_shared(format!("http://{at}")).expect("an address").connect_lazy();
        let mut client = FlightServiceClient::with_interceptor(channel, Shown::Cluster(plain.credentials()));
        assert!(client.list_actions(Empty {}).await.is_err(), "plain text is not understood");
        let broken = plain.with_tls(ClusterTls::of_pem(b"no certificate", b"no key", b"no authority"));
        let refused = Executor::start(&executing, with(None, "broken", &broken)).await.map(drop).expect_err("unusable");
        assert!(refused.to_string().contains("cluster_tls files cannot be used"), "{refused}");
        for executor in executors {
            executor.shutdown(Duration::from_secs(1)).await;
        }
        coordinator.shutdown().await;
    });
}

#[test]
fn internal_ports_answer_nobody_without_the_secret() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let known = node(None).secret;
        let role = ClusterRole::Coordinator { secret: known.clone(), replicas: 2 };
        let coordinating = engine(directory.path(), role).await;
        let coordinator = Coordinator::start(&coordinating, node(None)).await.expect("a coordinator");
        let executing = engine(directory.path(), ClusterRole::Executor).await;
        let executor = Executor::start(&executing, node(Some(coordinator.address()))).await.expect("an executor");
        let wrong = secret("the secret of another cluster, and no less long");
        for address in [coordinator.address(), executor.address()] {
            for (shown, code, part) in [
                (Shown::Nothing, Code::Unauthenticated, "cluster_secret_file"),
                (Shown::Cluster(wrong.credentials()), Code::Unauthenticated, "cluster_secret_file"),
                (Shown::Version(wrong.credentials(), "0.0.1"), Code::Unauthenticated, "cluster_secret_file"),
                (Shown::Version(known.credentials(), "0.0.1"), Code::FailedPrecondition, "0.0.1"),
            ] {
                let refused = tokio::time::timeout(REFUSED_WITHIN, refusals(address, shown)).await.expect("at once");
                for (rpc, status) in refused {
                    assert_eq!(status.code(), code, "{rpc} at {address}: {status}");
                    assert!(status.message().contains(part), "{rpc} at {address}: {status}");
                }
            }
        }
        // With the secret the same calls are answered, if only by "that is no task": the refusals were about the secret.
        for address in [coordinator.address(), executor.address()] {
            let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
            let mut client = FlightServiceClient::with_interceptor(channel, Shown::Cluster(known.credentials()));
            let hello = Action { r#type: actions::HELLO.to_owned(), ..Action::default() };
            let answer = client.do_action(hello).await.expect("it says hello").into_inner().next().await;
            assert!(answer.is_some_and(|answer| answer.is_ok()));
            let status = client.list_flights(Criteria::default()).await.map(drop).expect_err("not between nodes");
            assert_eq!(status.code(), Code::Unimplemented);
        }
        executor.shutdown(Duration::from_secs(1)).await;
        coordinator.shutdown().await;
    });
}
