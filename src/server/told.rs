//! What a serving process is told, by signals and by its successor, and what it does about it.

use std::pin::pin;

use tokio::sync::mpsc;

use super::notify::Manager;
use super::shutdown::{Signals, Wish};
use super::{ServeError, Server};
use crate::config::Config;
use crate::key::NewSecret;

/// Serves until a signal says to close, and closes. `reload` reads the settings again, or says that the old ones stay;
/// `show` shows the admin token that this start has made, now or when the database can be reached.
///
/// `signals` were listened to before the server was started, so that none of them ends the process meanwhile. A second
/// signal to close cuts what still runs; last uses are written even then.
///
/// # Errors
///
/// When something ended that nothing works without.
pub async fn until_told(
    mut server: Server,
    mut signals: Signals,
    mut reload: impl FnMut() -> Option<Config>,
    mut show: impl FnMut(&NewSecret),
) -> Result<(), ServeError> {
    let (_, none) = mpsc::channel(1);
    let mut tokens = std::mem::replace(&mut server.first_token, none);
    let (_, none) = mpsc::channel(1);
    let mut successors = std::mem::replace(&mut server.successor, none);
    let mut successor = None;
    let manager = Manager::of_process();
    let readiness = server.readiness.clone();
    let mut ready = pin!(readiness.until_started());
    let mut is_ready = false;
    let ended = loop {
        let wish = tokio::select! {
            biased;
            () = &mut ready, if !is_ready => {
                is_ready = true;
                manager.ready();
                continue;
            }
            Some(token) = tokens.recv() => {
                show(&token);
                continue;
            }
            () = server.broken() => break Err(ServeError::Broken),
            Some(next) = successors.recv() => {
                successor = Some(next);
                break Ok(());
            }
            wish = signals.next() => wish,
        };
        match wish {
            Wish::Close => break Ok(()),
            Wish::Reload => {
                manager.reloading();
                if let Some(config) = reload() {
                    server.adopt(&config);
                }
                // Whatever became of the settings: certificates and the log of calls stand for themselves.
                server.certificates.look();
                if let Some(access) = &server.access {
                    access.reopen();
                }
                if is_ready {
                    manager.ready();
                }
            }
        }
    };
    manager.stopping();
    let is_relieved = successor.is_some();
    let hurry = async {
        if is_relieved {
            // It closes already, and whoever asks for that may not know: only the second time does it mean "now".
            signals.close().await;
        }
        signals.close().await;
    };
    server.close_before(hurry, successor).await;
    ended
}
