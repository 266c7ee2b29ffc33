//! A terminal that does not show what is typed, for as long as a value lives.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Hides what is typed on a terminal. Dropping it shows it again, also when a wait for the typing is cancelled.
pub struct EchoOff<T: AsFd> {
    terminal: T,
    before: Termios,
}

impl<T: AsFd> EchoOff<T> {
    /// Hides what is typed on `terminal` from now on.
    ///
    /// # Errors
    ///
    /// When it is no terminal.
    pub fn new(terminal: T) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for EchoOff<T> {
    fn drop(&mut self) {
        // A terminal that has gone away has nothing to show.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
