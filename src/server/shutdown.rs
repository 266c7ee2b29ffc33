//! Signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Close, letting requests finish. Asked for again, it means: now.
    Close,
    /// Read the settings again.
    Reload,
}

/// The signals this process listens to. One that comes while nobody asks is kept.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// When the system lets no handler be set.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal's meaning.
    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wish::Close,
            _ = self.interrupt.recv() => Wish::Close,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }

    /// Waits until closing is asked for, whatever else is.
    pub async fn close(&mut self) {
        while self.next().await != Wish::Close {}
    }
}
