//! Signals, in the words of what they ask for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit_code::ExitCode;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To read the rules again: SIGHUP.
    ToReload,
    /// To stop: SIGTERM, SIGINT.
    ToStop,
}

/// The signals that the process listens for.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on. Must be called on a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::ToReload,
            _ = self.terminate.recv() => Asked::ToStop,
            _ = self.interrupt.recv() => Asked::ToStop,
        }
    }
}

/// Ends the process at the next request to stop: somebody does not want to wait for the first.
pub(crate) async fn end_at_the_next(mut signals: Signals) {
    while signals.next().await != Asked::ToStop {}
    tracing::warn!("ended at the second signal; what was answered is stored");
    std::process::exit(ExitCode::Interrupted.number().into());
}
