//! The signals that stop a server.

use std::fmt;

use tokio::signal::unix::{self, SignalKind};

use crate::failure::Failure;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers send.
    Terminate,
}

impl StopSignal {
    /// Ends the process at once, with the exit code of one that the signal ended.
    pub(super) fn exit(self) -> ! {
        std::process::exit(match self {
            StopSignal::Interrupt => 130,
            StopSignal::Terminate => 143,
        })
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopSignal::Interrupt => "SIGINT",
            StopSignal::Terminate => "SIGTERM",
        })
    }
}

/// The signals as they come.
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// From now on signals no longer end the process by themselves. Must be called inside a runtime.
    pub(super) fn register() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => StopSignal::Interrupt,
            Some(()) = self.terminate.recv() => StopSignal::Terminate,
            // Their streams do not end as long as there is a runtime.
            else => std::future::pending().await,
        }
    }
}
