//! Memory: its tasks, and what readiness is told of it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Closing, identity};
use crate::admin::probe::Readiness;
use crate::cache::{CacheState, Freshness, KeyCache};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::KeyStore;
use crate::telemetry::metrics::CacheMetrics;

/// How often readiness looks how memory is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Begins to fill memory and to keep it in step, and tells `readiness` of it. This instance is announced before memory
/// is filled.
pub(super) async fn begin(
    config: &Config,
    store: Arc<dyn KeyStore>,
    clock: Clock,
    metrics: CacheMetrics,
    readiness: &Readiness,
    closing: &Closing,
) -> KeyCache {
    let (keys, tasks) = KeyCache::new(Arc::clone(&store), &config.cache, clock, metrics);
    let identity = identity::of(&config.server);
    let mut presence = keys.presence(store, identity, &config.cache);
    presence.announce().await;
    let followers = &closing.followers;
    let stop = || followers.stop.clone();
    followers.spawn("follower", tasks.follower.run(stop()));
    followers.spawn("loader", tasks.loader.run(stop()));
    followers.spawn("presence", presence.run(stop()));
    if let Some(sealer) = tasks.sealer {
        let sealer = sealer.run(closing.writers.stop.clone());
        closing.writers.spawn("sealer", sealer);
    }
    let watch = watch(keys.clone(), readiness.clone(), stop());
    followers.spawn("watch", watch);
    keys
}

/// Tells readiness how memory is: filled once, and in trouble or not.
async fn watch(keys: KeyCache, readiness: Readiness, stop: CancellationToken) {
    let tell = || readiness.trouble("keys", trouble_of(keys.state()).as_deref());
    let fill = async {
        keys.filled().await;
        // Whoever sees that we are ready also sees what there is to be said of it.
        tell();
        readiness.started();
    };
    let watch = async {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            tell();
        }
    };
    // Stopped wherever it is: it holds nothing.
    let both = async { tokio::join!(fill, watch) };
    let _ = stop.run_until_cancelled(both).await;
}

fn trouble_of(state: CacheState) -> Option<String> {
    let age = state.age.unwrap_or_default().as_secs();
    match state.freshness {
        Freshness::Fresh | Freshness::Degraded if state.is_sealed => Some(format!(
            "the database has not answered since the start; known keys are served from the sealed set, confirmed \
             {age} s ago"
        )),
        Freshness::Fresh => None,
        Freshness::Empty => Some(
            "they could not be read from the database yet; no key is served until they are"
                .to_owned(),
        ),
        Freshness::Degraded => Some(format!(
            "the database has not answered for {age} s; known keys are served on"
        )),
        Freshness::Stale => Some(format!(
            "the database has not answered for {age} s; no key is served any more"
        )),
    }
}
