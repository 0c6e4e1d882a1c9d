//! A way to an executor on which things go wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fault {
    /// Nothing: bytes pass.
    None,
    /// Bytes stop in both directions; the connection stays.
    Silence,
    /// The connection breaks at the first bytes of an answer.
    Break,
    /// The answers' bytes are others.
    Garbage,
}

impl Fault {
    const ALL: [Fault; 4] = [Fault::None, Fault::Silence, Fault::Break, Fault::Garbage];
}

/// A proxy in front of a port.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    fault: Arc<AtomicU8>,
    target: Arc<Mutex<Option<SocketAddr>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy that leads nowhere yet.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, target) = (Arc::new(AtomicU8::new(0)), Arc::new(Mutex::new(None)));
        let (faulty, to) = (Arc::clone(&fault), Arc::clone(&target));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(target): Option<SocketAddr> = *to.lock() else { continue };
                let fault = Arc::clone(&faulty);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                    let passing = pass(from, forth, Arc::clone(&fault), false);
                    tokio::select! {
                        () = passing => {}
                        () = pass(back, to, fault, true) => {}
                    }
                });
            }
        });
        Self { address, fault, target, task }
    }

    pub(super) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock() = Some(target);
    }

    pub(super) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: Arc<AtomicU8>, is_answer: bool) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        let bytes = &mut buffer[..count];
        match Fault::ALL[fault.load(Ordering::SeqCst) as usize] {
            Fault::None => {}
            Fault::Silence => std::future::pending().await,
            Fault::Break if is_answer => return,
            // The frames' heads stay, mostly, so that it is the messages that are wrong.
            Fault::Garbage if is_answer => bytes.iter_mut().skip(40).step_by(7).for_each(|byte| *byte ^= 0x55),
            Fault::Break | Fault::Garbage => {}
        }
        if count == 0 || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
