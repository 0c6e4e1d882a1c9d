use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use volley_scheduler::{DataLocation, EngineConfig};

use super::*;

/// A door on a free port: its address, its readiness and what stops it.
async fn door() -> (SocketAddr, Readiness, CancellationToken, tokio::task::JoinHandle<()>) {
    let config = EngineConfig { threads: Some(1), ..EngineConfig::new(DataLocation::Memory) };
    let engine = Engine::open(config).await.expect("opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (readiness, shutdown) = (Readiness::starting(), CancellationToken::new());
    let state = HttpState::new(readiness.clone(), Metrics::new(), engine);
    let serving = tokio::spawn(serve(listener, state, shutdown.clone()));
    (address, readiness, shutdown, serving)
}

/// The answer to one request, its head included.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answers");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_whether_the_server_lives_and_serves() {
    let (address, readiness, shutdown, serving) = door().await;
    assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200 "));
    let answer = ask(address, "GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("the server is starting\n"), "{answer}");
    readiness.ready();
    assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
    readiness.draining();
    readiness.ready();
    let answer = ask(address, "GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("stopping"), "{answer}");
    let answer = ask(address, "GET /").await;
    assert!(answer.contains("text/html") && answer.contains("/metrics"), "{answer}");
    assert!(ask(address, "GET /nothing").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "POST /healthz").await.starts_with("HTTP/1.1 405 "));
    shutdown.cancel();
    serving.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_metrics() {
    let (address, _, shutdown, serving) = door().await;
    let answer = ask(address, "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("application/openmetrics-text"), "{answer}");
    for name in ["volley_build_info{", "volley_memory_limit_bytes ", "volley_cache_entries{", "volley_connections 0"] {
        assert!(answer.contains(name), "{name} is missing in {answer}");
    }
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    shutdown.cancel();
    serving.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_client_does_not_keep_it_from_stopping() {
    let (address, _, shutdown, serving) = door().await;
    let mut stalled = TcpStream::connect(address).await.expect("connects");
    stalled.write_all(b"GET /healthz HTTP/1.1\r\nhost").await.expect("sends");
    assert!(ask(address, "GET /healthz").await.contains("200"));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("in time").expect("ends");
}
