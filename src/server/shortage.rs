//! How much memory this process takes, and that it takes few more calls when that is too much.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Group, limits};
use crate::proxy::{LimitsConfig, Shortage};
use crate::telemetry;
use crate::telemetry::metrics::{Metrics, ProxyMetrics};

/// How often the kernel is asked: a look takes tens of microseconds, and in this time no network brings what a process is
/// ended for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Begins to look, with a task of `group`, where there is a limit.
pub(super) fn begin(config: &LimitsConfig, metrics: &Metrics, group: &Group) -> Shortage {
    let shortage = Shortage::default();
    let Some(most) = limits::memory(config.memory_bytes) else {
        return shortage;
    };
    let watch = watch(most, shortage.clone(), metrics.proxy.clone());
    let stop = group.stop.clone();
    group.spawn("shortage", async move {
        stop.run_until_cancelled(watch).await;
    });
    shortage
}

async fn watch(most: u64, shortage: Shortage, metrics: ProxyMetrics) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(resident) = telemetry::resident_bytes() else {
            continue;
        };
        let is_short = resident > most;
        if !shortage.found(is_short) {
            continue;
        }
        metrics.memory_short(is_short);
        if is_short {
            tracing::warn!(
                resident_bytes = resident,
                most_bytes = most,
                "memory is short; few more calls are taken"
            );
        } else {
            tracing::info!("memory is not short any more");
        }
    }
}
