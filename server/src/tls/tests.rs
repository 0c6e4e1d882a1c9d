use std::io;
use std::net::SocketAddr;

use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::metrics::Metrics;

/// An authority and the files that it signed.
struct Place {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let place = Self { directory: TempDir::new().expect("a directory"), authority };
        place.write("ca.pem", &place.authority.pem());
        place.renew();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// A certificate of the authority and its key.
    fn signed(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// Gives the server a new certificate.
    fn renew(&self) {
        let (certificate, key) = self.signed();
        self.write("server.pem", &certificate);
        self.write("server.key", &key);
    }

    fn config(&self, mutual: bool) -> TlsConfig {
        TlsConfig {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: mutual.then(|| self.path("ca.pem")),
        }
    }

    /// A handshake as a client has it; with a certificate of its own if `identity`.
    async fn connect(&self, address: SocketAddr, identity: bool) -> io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = if identity {
            let (certificate, key) = self.signed();
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The certificate that the server shows.
    async fn shown(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connect(address, false).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.get_ref().1.peer_certificates().expect("certificates")[0].clone().into_owned()
    }
}

/// An echo server behind [`deal`] and [`connections`].
async fn echo(tls: Option<Tls>, limits: ConnectionLimits, metrics: Metrics, stop: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    deal(listener, limits, metrics, stop, vec![sender]);
    let mut connections = connections(receiver, tls, limits.handshake_timeout);
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = connections.next().await {
            tokio::spawn(async move {
                let mut byte = [0; 1];
                while connection.read_exact(&mut byte).await.is_ok() {
                    connection.write_all(&byte).await.expect("sent");
                    connection.flush().await.expect("sent");
                }
            });
        }
    });
    address
}

async fn echoes(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    let mut byte = [0; 1];
    stream.read_exact(&mut byte).await.map(|_| assert_eq!(&byte, b"x"))
}

fn limits() -> ConnectionLimits {
    ConnectionLimits { handshake_timeout: Duration::from_millis(500), ..ConnectionLimits::new(8) }
}

fn gauge(metrics: &Metrics, name: &str) -> String {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.expect("the metric").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_take_effect_and_bad_ones_do_not() {
    let place = Place::new();
    let tls = Tls::load(&place.config(false)).expect("loads");
    let stop = CancellationToken::new();
    tls.watch(Duration::from_millis(20), stop.clone());
    let address = echo(Some(tls.clone()), limits(), Metrics::new(), stop.clone()).await;
    let first = place.shown(address).await;
    assert_eq!(place.shown(address).await, first);
    place.renew();
    for round in 0.. {
        if place.shown(address).await != first {
            break;
        }
        assert!(round < 500, "the new certificate is never shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = place.shown(address).await;
    // A key that does not fit, as when one file of the two is replaced before the other.
    let (certificate, _) = place.signed();
    place.write("server.pem", &certificate);
    tokio::time::sleep(Duration::from_millis(200)).await;
    place.write("server.key", "nonsense");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(place.shown(address).await, second);
    stop.cancel();
}

#[test]
fn what_is_wrong_is_said_once() {
    let place = Place::new();
    let config = place.config(true);
    let tls = Tls::load(&config).expect("loads");
    assert!(!tls.reload().expect("nothing new"));
    place.write("ca.pem", "nonsense");
    let error = tls.reload().expect_err("no authority").to_string();
    assert!(error.contains("ca.pem") && error.contains("certificate"), "{error}");
    assert!(!tls.reload().expect("said already"));
    std::fs::remove_file(place.path("server.key")).expect("removed");
    assert!(tls.reload().expect_err("no key").to_string().contains("server.key"));
    assert!(Tls::load(&config).is_err());
    place.renew();
    place.write("ca.pem", &place.authority.pem());
    assert!(tls.reload().expect("whole again"));
    let (other, _) = place.signed();
    place.write("server.pem", &other);
    assert!(matches!(Tls::load(&config), Err(TlsError::Unusable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_turns_away_who_shows_no_certificate() {
    let (place, stop) = (Place::new(), CancellationToken::new());
    let tls = Tls::load(&place.config(true)).expect("loads");
    let address = echo(Some(tls), limits(), Metrics::new(), stop.clone()).await;
    let mut known = place.connect(address, true).await.expect("a handshake");
    echoes(&mut known).await.expect("served");
    // With TLS 1.3 the client hears of it when it reads.
    let refused = async { echoes(&mut place.connect(address, false).await?).await };
    assert!(refused.await.is_err());
    let stranger = Place::new();
    let refused = async {
        let (certificate, key) = stranger.signed();
        place.write("x.pem", &(certificate + &key));
        echoes(&mut stranger.connect(address, true).await?).await
    };
    assert!(refused.await.is_err());
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_handshake_keeps_nobody_waiting() {
    let (place, stop, metrics) = (Place::new(), CancellationToken::new(), Metrics::new());
    let tls = Tls::load(&place.config(false)).expect("loads");
    for tls in [Some(tls), None] {
        let encrypted = tls.is_some();
        let address = echo(tls, limits(), metrics.clone(), stop.clone()).await;
        let mut stalled = Vec::new();
        for _ in 0..7 {
            stalled.push(TcpStream::connect(address).await.expect("connects"));
        }
        if encrypted {
            echoes(&mut place.connect(address, false).await.expect("a handshake")).await.expect("served");
        } else {
            echoes(&mut TcpStream::connect(address).await.expect("connects")).await.expect("served");
        }
        // The stalled ones are closed after their time.
        for mut stream in stalled {
            let closed = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0])).await.expect("in time");
            assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        }
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_and_counted() {
    let (stop, metrics) = (CancellationToken::new(), Metrics::new());
    let address = echo(None, ConnectionLimits::new(2), metrics.clone(), stop.clone()).await;
    let mut first = TcpStream::connect(address).await.expect("connects");
    echoes(&mut first).await.expect("served");
    let mut second = TcpStream::connect(address).await.expect("connects");
    echoes(&mut second).await.expect("served");
    assert_eq!(gauge(&metrics, "volley_connections"), "2");
    let mut third = TcpStream::connect(address).await.expect("connects");
    assert!(echoes(&mut third).await.is_err());
    assert_eq!(gauge(&metrics, "volley_connections_refused_total"), "1");
    drop(first);
    for round in 0.. {
        let mut again = TcpStream::connect(address).await.expect("connects");
        if echoes(&mut again).await.is_ok() {
            break;
        }
        assert!(round < 500, "the place is never free again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // When it stops, the port is closed and those who are in stay.
    stop.cancel();
    for round in 0.. {
        if TcpStream::connect(address).await.is_err() {
            break;
        }
        assert!(round < 500, "the port stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    echoes(&mut second).await.expect("served to its end");
}
