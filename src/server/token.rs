//! The admin token, at a start with the database and without.

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Group;
use crate::admin::{self, EnsuredToken, TokenError, TokenInForce};
use crate::credential::SecretText;
use crate::key::NewSecret;
use crate::registry::KeyRegistry;
use crate::store::Cursor;
use crate::telemetry::chain;

/// The token in force, and where its text comes if this start makes one: at once, or, when the database is away, as
/// soon as a look at it has succeeded. `looks` tells of those; the task that waits for one joins `group`.
pub(super) async fn ensure(
    configured: Option<SecretText>,
    registry: KeyRegistry,
    looks: watch::Receiver<Cursor>,
    group: &Group,
) -> Result<(TokenInForce, mpsc::Receiver<NewSecret>), TokenError> {
    let token = TokenInForce::default();
    let (shows, texts) = mpsc::channel(1);
    match admin::ensure_token(&registry, configured).await {
        Ok(ensured) => take_over(ensured, &token, &shows),
        Err(error) if error.is_outage() => {
            let find = find(registry, token.clone(), shows, looks);
            group.spawn("token", find_until(group.stop.clone(), find));
        }
        Err(error) => return Err(error),
    }
    Ok((token, texts))
}

fn take_over(ensured: EnsuredToken, token: &TokenInForce, shows: &mpsc::Sender<NewSecret>) {
    token.set(ensured.token);
    if let Some(secret) = ensured.shown {
        // There is room for one, and there is one. Nobody who listens, nobody to show it to.
        let _ = shows.try_send(secret);
    }
}

async fn find(
    registry: KeyRegistry,
    token: TokenInForce,
    shows: mpsc::Sender<NewSecret>,
    mut looks: watch::Receiver<Cursor>,
) {
    let mut has_failed = false;
    while looks.changed().await.is_ok() {
        match admin::ensure_token(&registry, None).await {
            Ok(ensured) => return take_over(ensured, &token, &shows),
            Err(error) if !std::mem::replace(&mut has_failed, true) => {
                tracing::warn!(error = %chain(&error), "the admin token is not known yet");
            }
            Err(_) => {}
        }
    }
}

/// Ends when it is told to, the token found or not: a task that ends by itself is a mistake.
async fn find_until(stop: CancellationToken, find: impl Future<Output = ()>) {
    let _ = stop.run_until_cancelled(find).await;
    stop.cancelled().await;
}
