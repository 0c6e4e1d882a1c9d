//! Connections of the Flight SQL port: counted, limited, and through their handshake before the server sees them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use volley_scheduler::CancellationToken;

use super::Tls;
use crate::metrics::{Held, Metrics};
use crate::sessions::ConnectionSessions;

/// Connections that are through their handshake and wait for the server to take them.
const BACKLOG: usize = 16;
/// Files that the data needs at least.
const FILES_FOR_DATA: usize = 64;
/// How long to wait where the system has no more file descriptors.
const RESPITE: Duration = Duration::from_millis(100);

/// What connections must keep to.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at the same time, those in their handshake among them.
    pub max_connections: usize,
    /// How long a client may take for its handshake or, without TLS, for its first byte.
    pub handshake_timeout: Duration,
}

impl ConnectionLimits {
    /// So many connections, and ten seconds for a handshake. Where the system allows the process fewer open files, as many
    /// connections as leave a quarter of them, and 64 at least, to the data.
    pub fn new(max_connections: usize) -> Self {
        let files = open_files_max();
        let for_data = (files / 4).max(FILES_FOR_DATA);
        let room = files.saturating_sub(for_data).max(1);
        if room < max_connections {
            tracing::warn!(
                max_connections,
                room,
                "fewer connections are taken than configured: raise the limit of open files"
            );
        }
        Self { max_connections: max_connections.min(room), handshake_timeout: Duration::from_secs(10) }
    }
}

/// How many files the process may have open, raised as far as the system lets it.
fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// A connection that was accepted, before its handshake. It belongs to no runtime yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    stream: std::net::TcpStream,
    slot: Slot,
}

/// Accepts connections and deals them to the receivers in turn, until `stop` is cancelled or nobody receives. Then the port is
/// closed: who connects is refused by the system, and does not wait in vain.
pub(crate) fn deal(
    listener: TcpListener,
    limits: ConnectionLimits,
    metrics: Metrics,
    stop: CancellationToken,
    receivers: Vec<mpsc::Sender<Accepted>>,
) {
    tokio::spawn(async move {
        let ended = receivers.clone();
        tokio::select! {
            () = async { futures::future::join_all(ended.iter().map(mpsc::Sender::closed)).await; } => {}
            () = stop.cancelled() => {}
            () = accept(listener, limits, metrics, receivers) => {}
        }
    });
}

/// The connections of a receiver, for `tonic`'s `serve_with_incoming`, on the runtime that calls this. Handshakes run side by
/// side, so that a slow client keeps nobody waiting.
pub(crate) fn connections(
    mut accepted: mpsc::Receiver<Accepted>,
    tls: Option<Tls>,
    handshake_timeout: Duration,
) -> impl Stream<Item = io::Result<Connection>> + Send + Unpin {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        loop {
            let Accepted { stream, slot } = tokio::select! {
                // The server has stopped.
                () = sender.closed() => return,
                accepted = accepted.recv() => match accepted {
                    Some(accepted) => accepted,
                    None => return,
                },
            };
            let (tls, sender) = (tls.clone(), sender.clone());
            tokio::spawn(async move {
                match timeout(handshake_timeout, open(stream, tls)).await {
                    Ok(Ok(stream)) => {
                        let sessions = ConnectionSessions::default();
                        // Nobody receives when the server has stopped.
                        let _ = sender.send(Ok(Connection { stream, sessions, _slot: slot })).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a connection failed in its handshake"),
                    Err(_) => tracing::debug!("a client was too slow with its handshake"),
                }
            });
        }
    });
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: TcpListener,
    limits: ConnectionLimits,
    metrics: Metrics,
    receivers: Vec<mpsc::Sender<Accepted>>,
) {
    let room = Arc::new(Semaphore::new(limits.max_connections));
    let mut turn = 0;
    loop {
        let stream = match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                sleep(RESPITE).await;
                continue;
            }
        };
        let Ok(room) = Arc::clone(&room).try_acquire_owned() else {
            // Dropping the stream closes it: the client learns at once, and may try another server.
            metrics.connection_refused();
            continue;
        };
        let slot = Slot { _room: room, _counted: metrics.connection() };
        turn = (turn + 1) % receivers.len();
        hand_over(Accepted { stream, slot }, &receivers, turn).await;
    }
}

/// Gives a connection to the receiver whose turn it is, or to the next that is not busy; where all are, it waits for the first.
async fn hand_over(mut accepted: Accepted, receivers: &[mpsc::Sender<Accepted>], turn: usize) {
    for receiver in receivers.iter().cycle().skip(turn).take(receivers.len()) {
        match receiver.try_send(accepted) {
            Ok(()) => return,
            Err(TrySendError::Full(back) | TrySendError::Closed(back)) => accepted = back,
        }
    }
    // A receiver is gone only when the server stops.
    let _ = receivers[turn].send(accepted).await;
}

/// Whether accepting failed because of the connection that was to be accepted; the next may be sound.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn open(stream: std::net::TcpStream, tls: Option<Tls>) -> io::Result<Transport> {
    // Its events wake the runtime it belongs to from here on.
    let stream = TcpStream::from_std(stream)?;
    // Answers are short and somebody waits for them.
    stream.set_nodelay(true)?;
    match tls {
        Some(tls) => Ok(Transport::Tls(Box::new(TlsAcceptor::from(tls.current()).accept(stream).await?))),
        None => {
            // A client that says nothing would hold its place for ever.
            match stream.peek(&mut [0]).await? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(Transport::Plain(stream)),
            }
        }
    }
}

/// The place of a connection among those that may be open.
#[derive(Debug)]
struct Slot {
    _room: OwnedSemaphorePermit,
    _counted: Held,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection, ready for HTTP/2.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    sessions: ConnectionSessions,
    _slot: Slot,
}

/// What calls know of the connection they came on.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The sessions that end with it.
    pub(crate) sessions: ConnectionSessions,
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        ConnectionInfo { sessions: self.sessions.clone() }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
