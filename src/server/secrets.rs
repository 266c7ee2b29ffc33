//! Looking at the files that hold keys of upstreams, every few seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::credential::LiveSecret;
use crate::upstream::{Fleet, UpstreamPlan};

/// Looks at every file that the keys of `plans` were read from, again and again, and takes over what it holds when that is
/// new and good. Never ends; dropping the future leaves what was read.
pub(super) async fn look(
    fleet: Fleet,
    plans: watch::Receiver<Arc<[UpstreamPlan]>>,
    every: Duration,
) {
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was wrong with a key when it was looked at last: told once.
    let mut told: HashMap<(String, String), String> = HashMap::new();
    loop {
        looks.tick().await;
        let plans = Arc::clone(&plans.borrow());
        for upstream in &*plans {
            for key in &upstream.keys {
                let (name, id) = (&upstream.name, &key.id);
                let place = (name.clone(), id.clone());
                match look_at(key.values().map(|value| value.secret.clone())).await {
                    Ok(is_another) => {
                        told.remove(&place);
                        if is_another {
                            fleet.key_has_changed(name, id);
                            tracing::info!(upstream = name, upstream.key = id, "key read again");
                        }
                    }
                    Err(why) if told.get(&place) == Some(&why) => {}
                    Err(why) => {
                        tracing::error!(
                            upstream = name,
                            upstream.key = id,
                            error = why,
                            "a key cannot be read again; the old one stays in force"
                        );
                        told.insert(place, why);
                    }
                }
            }
        }
    }
}

/// Whether one of `secrets` has become another.
async fn look_at(secrets: impl Iterator<Item = LiveSecret>) -> Result<bool, String> {
    let in_files: Vec<_> = secrets.filter(LiveSecret::may_change).collect();
    if in_files.is_empty() {
        return Ok(false);
    }
    // A file system may take its time.
    let looked = tokio::task::spawn_blocking(move || {
        let looks = in_files.iter().map(LiveSecret::look);
        let looks: Result<Vec<bool>, String> = looks.collect();
        looks.map(|looks| looks.contains(&true))
    });
    // Stopped in the middle, with the process.
    looked.await.unwrap_or(Ok(false))
}
