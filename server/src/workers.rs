//! The threads of the Flight SQL port.
//!
//! Each has a runtime of its own, and a connection stays on one thread with all its calls: a call is a few tens of microseconds
//! of work, and waking another core for it would cost as much again. Queries compute on the engine's threads; only those that
//! take less than a few milliseconds run here.

use std::io;
use std::sync::Arc;
use std::thread;

use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use volley_scheduler::CancellationToken;

use crate::flight::Door;
use crate::metrics::Metrics;
use crate::server::router;
use crate::tls::{Accepted, ConnectionLimits, Tls, connections, deal};

/// Connections that wait for their thread to take them.
const BACKLOG: usize = 16;

/// The threads, as long as they run.
#[derive(Debug)]
pub(crate) struct Workers {
    ended: Vec<oneshot::Receiver<()>>,
    /// Ends threads whose connections do not close.
    abort: CancellationToken,
}

impl Workers {
    /// Starts the threads and deals them the connections of the port until `stop` is cancelled; then they serve what is open.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub(crate) fn start(
        (listener, tls, limits): (TcpListener, Option<Tls>, ConnectionLimits),
        door: &Arc<Door>,
        metrics: Metrics,
        stop: &CancellationToken,
    ) -> io::Result<Self> {
        let count = door.config.threads.or_else(|| thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        let abort = CancellationToken::new();
        let (mut senders, mut ended) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(BACKLOG);
            let (end, has_ended) = oneshot::channel();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (door, tls, stop, abort) = (Arc::clone(door), tls.clone(), stop.clone(), abort.clone());
            thread::Builder::new().name(format!("volley-door-{number}")).spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = abort.cancelled() => {}
                        () = serve(&door, receiver, tls, limits, stop) => {}
                    }
                });
                // Nobody may wait for it.
                let _ = end.send(());
            })?;
            senders.push(sender);
            ended.push(has_ended);
        }
        deal(listener, limits, metrics, stop.clone(), senders);
        Ok(Self { ended, abort })
    }

    /// Waits until every connection has closed.
    pub(crate) async fn end(&mut self) {
        join_all(&mut self.ended).await;
    }

    /// Closes the connections that are still open.
    pub(crate) fn abort(&self) {
        self.abort.cancel();
    }
}

async fn serve(
    door: &Arc<Door>,
    receiver: mpsc::Receiver<Accepted>,
    tls: Option<Tls>,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let connections = connections(receiver, tls, limits.handshake_timeout);
    let served = router(door).serve_with_incoming_shutdown(connections, stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the Flight SQL port failed");
    }
}
