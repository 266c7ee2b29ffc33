//! Where a change is in force: here before it is answered, and everywhere for whoever wants to wait for that.

use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::KeyRegistry;
use crate::store::{Cursor, Instance};
use crate::telemetry::{self, chain};

/// How long an answer waits for its own change to be in force.
pub(super) const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);

/// How often whoever waits looks how far the instances are: one small query, far below the time a change takes.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// For which instances an answer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wait {
    /// For the one that answers.
    #[default]
    Instance,
    /// For all that run.
    All,
}

/// The text names nobody to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`wait` is `instance` or `all`")]
pub struct InvalidWait;

impl FromStr for Wait {
    type Err = InvalidWait;

    fn from_str(word: &str) -> Result<Self, InvalidWait> {
        match word {
            "instance" => Ok(Self::Instance),
            "all" => Ok(Self::All),
            _ => Err(InvalidWait),
        }
    }
}

/// Where a change is in force, as far as that came to be known in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Whether every instance that is heard has it. With nobody behind, `false` says that the database could not be
    /// asked.
    pub everywhere: bool,
    /// The names of the instances that are heard and did not have it yet.
    pub behind: Vec<String>,
    /// The names of the instances that are not heard any more, and never said that they ended: gone, or cut off from
    /// the database and serving what they remember until their `cache.max_stale` is over.
    pub silent: Vec<String>,
    /// How long the answer waited.
    pub after: Duration,
}

/// What one look at the instances says about a change.
struct Look {
    behind: Vec<String>,
    silent: Vec<String>,
}

impl Look {
    fn at(instances: Vec<Instance>, written: Cursor) -> Self {
        let (heard, silent): (Vec<_>, Vec<_>) = instances
            .into_iter()
            // Whatever has applied it has applied it, heard or not.
            .filter(|instance| instance.applied < written)
            .partition(|instance| instance.is_heard);
        let names = |instances: Vec<Instance>| {
            instances
                .into_iter()
                .map(|instance| instance.name)
                .collect()
        };
        Self {
            behind: names(heard),
            silent: names(silent),
        }
    }
}

impl KeyRegistry {
    /// ARCHITECTURE 4: a deletion that has been answered is in force here.
    pub(super) async fn in_force_here(&self, written: Cursor, deadline: Instant) {
        let Some(mut applied) = self.applied.clone() else {
            return;
        };
        let followed = applied.wait_for(|&at| at >= written);
        if !matches!(timeout_at(deadline, followed).await, Ok(Ok(_))) {
            tracing::warn!(
                change.seq = written.seq(),
                wait_ms = telemetry::millis(IN_FORCE_WITHIN),
                "a change was answered before it was in force here: the change log is not being followed"
            );
        }
    }

    /// Waits until every instance that is heard has applied the log up to `written`, until `deadline` at the longest.
    pub(super) async fn in_force_everywhere(&self, written: Cursor, deadline: Instant) -> InForce {
        let began = self.clock.elapsed();
        let look = self.look_until_nobody_is_behind(written, deadline).await;
        let after = self.clock.elapsed().saturating_sub(began);
        let is_known = look.is_some();
        let Look { behind, silent } = look.unwrap_or(Look {
            behind: Vec::new(),
            silent: Vec::new(),
        });
        let everywhere = is_known && behind.is_empty();
        if !everywhere {
            tracing::warn!(
                change.seq = written.seq(),
                instances.behind = behind.len(),
                wait_ms = telemetry::millis(after),
                "a change was answered before it was in force everywhere"
            );
        }
        InForce {
            everywhere,
            behind,
            silent,
            after,
        }
    }

    /// The last look that succeeded. Where nobody is behind at the first, nothing is written.
    async fn look_until_nobody_is_behind(
        &self,
        written: Cursor,
        deadline: Instant,
    ) -> Option<Look> {
        let mut last = None;
        let mut is_asked = false;
        loop {
            match timeout_at(deadline, self.store.instances()).await {
                Ok(Ok(instances)) => {
                    let look = last.insert(Look::at(instances, written));
                    if look.behind.is_empty() {
                        return last;
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = %chain(&error), "the instances could not be asked for");
                }
                Err(_) => return last,
            }
            if !is_asked {
                let asked = timeout_at(deadline, self.store.want_positions(IN_FORCE_WITHIN)).await;
                is_asked = matches!(asked, Ok(Ok(())));
            }
            if timeout_at(deadline, sleep(LOOK_EVERY)).await.is_err() {
                return last;
            }
        }
    }
}
