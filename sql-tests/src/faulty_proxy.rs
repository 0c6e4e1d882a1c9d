//! A proxy before an S3 server that does what networks and stores do: lose replies, refuse, contradict themselves, fall silent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What goes wrong, each in so many of a thousand requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Puts and deletes are done and their reply is lost.
    pub lost: u32,
    /// Creates are answered with a conflict although nothing was written.
    pub conflict: u32,
    /// Requests are answered with 503 and nothing else.
    pub refused: u32,
    /// Requests wait for up to a tenth of a second.
    pub slow: u32,
    /// Nothing is answered at all any more.
    pub silent: bool,
}

/// A proxy on a port of this machine. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultyProxy {
    /// `host:port`.
    pub address: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    faults: Mutex<Faults>,
    random: Mutex<StdRng>,
    /// How often something went wrong.
    done: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Lost,
    Conflict,
    Refused,
    Silent,
}

impl FaultyProxy {
    /// Starts before a server; nothing goes wrong yet.
    pub fn start(upstream: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            faults: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(1)),
            done: AtomicU64::new(0),
        });
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let address = listener.local_addr()?.to_string();
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is what this is about.
                tokio::spawn(serve(client, Arc::clone(&serving)));
            }
        });
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// From now on, this goes wrong.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock() = faults;
    }

    /// How often something has gone wrong.
    pub fn count(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn fate(&self, request: &Message) -> (Fate, Duration) {
        let faults = *self.faults.lock();
        let mut random = self.random.lock();
        let mut happens = |per_mille: u32| random.random_range(0..1000) < per_mille;
        let writes = request.starts_with("PUT") || request.starts_with("DELETE") || request.starts_with("POST");
        let fate = if faults.silent {
            Fate::Silent
        } else if happens(faults.refused) {
            Fate::Refused
        } else if request.header("if-none-match").is_some() && happens(faults.conflict) {
            Fate::Conflict
        } else if writes && happens(faults.lost) {
            Fate::Lost
        } else {
            Fate::Done
        };
        let slow_ms = if happens(faults.slow) { random.random_range(0..100) } else { 0 };
        self.done.fetch_add(u64::from(fate != Fate::Done), Ordering::Relaxed);
        (fate, Duration::from_millis(slow_ms))
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some(request) = Message::read(&mut client, false).await? {
        let (fate, delay) = shared.fate(&request);
        tokio::time::sleep(delay).await;
        match fate {
            Fate::Silent => std::future::pending().await,
            Fate::Refused => client.write_all(&answer("503 Service Unavailable", "SlowDown")).await?,
            Fate::Conflict => client.write_all(&answer("409 Conflict", "ConditionalRequestConflict")).await?,
            Fate::Done | Fate::Lost => {
                let mut store = BufReader::new(TcpStream::connect(&shared.upstream).await?);
                store.write_all(&request.bytes).await?;
                let reply = Message::read(&mut store, request.starts_with("HEAD")).await?;
                let Some(reply) = reply.filter(|_| fate == Fate::Done) else { return Ok(()) };
                client.write_all(&reply.bytes).await?;
            }
        }
    }
    Ok(())
}

fn answer(status: &str, code: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/xml\r\n\r\n{body}", body.len()).into()
}

/// A request or an answer of HTTP/1.1, as it came.
struct Message {
    bytes: Vec<u8>,
    head: String,
}

impl Message {
    /// Reads one; `None` at the end of the connection. The answer to a HEAD has no body whatever it announces.
    async fn read(stream: &mut BufReader<TcpStream>, answers_head: bool) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut bytes).await? == 0 {
                return Ok(None);
            }
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let mut message = Self { bytes, head };
        if answers_head || message.starts_with("HTTP/1.1 204") || message.starts_with("HTTP/1.1 304") {
            return Ok(Some(message));
        }
        if message.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            while message.read_chunk(stream).await? {}
        } else if let Some(length) = message.header("content-length").and_then(|value| value.parse().ok()) {
            message.read_exactly(stream, length).await?;
        }
        Ok(Some(message))
    }

    async fn read_exactly(&mut self, stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<()> {
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        stream.read_exact(&mut self.bytes[start..]).await.map(drop)
    }

    /// Reads a chunk and its line breaks; false when it was the last.
    async fn read_chunk(&mut self, stream: &mut BufReader<TcpStream>) -> io::Result<bool> {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await?;
        let size = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        self.bytes.extend_from_slice(&line);
        self.read_exactly(stream, size + 2).await?;
        Ok(size > 0)
    }

    fn starts_with(&self, text: &str) -> bool {
        self.head.starts_with(text)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}
