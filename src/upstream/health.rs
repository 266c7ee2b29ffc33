//! How each server does, as all workers together have learnt it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio::time::Instant;

use super::config::{HealthPlan, UpstreamPlan, UpstreamServer};
use super::keys;
use crate::clock::Clock;
use crate::telemetry::metrics::{Metrics, UpstreamServerMetrics};

/// What is known of every server and every key, whichever worker learnt it: copies share it. It outlasts a reading of the settings
/// for the servers that stay.
#[derive(Clone)]
pub struct Fleet(Arc<Known>);

struct Known {
    keys: keys::Known,
    servers: Mutex<HashMap<Place, Weak<Health>>>,
    metrics: Metrics,
    seed: u64,
}

/// The upstream's name, the server's, and where that is: somewhere else is somebody else.
type Place = (String, String, Scheme, Authority);

/// How one server does.
///
/// While it is well, a call costs two loads. It rests after [`HealthPlan::failures`] calls in a row that it did not answer;
/// when the rest is over, one call is let through as a trial, and its outcome ends the rest or begins a longer one.
pub(super) struct Health {
    upstream: String,
    server: String,
    calls: AtomicUsize,
    /// No trouble: nothing else needs to be looked at.
    is_well: AtomicBool,
    /// Failures in a row while it is well.
    failures: AtomicU32,
    trouble: Mutex<Trouble>,
    metrics: UpstreamServerMetrics,
}

struct Trouble {
    /// When the rest is over.
    rests_until: Option<Instant>,
    /// Rests without a success between them.
    rests: u32,
    /// Probes that failed in a row.
    failed_probes: u32,
    /// It said itself that it is not well, or nothing.
    is_down: bool,
    random: fastrand::Rng,
}

/// As what a call goes to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is well.
    Well,
    /// To see whether it is well again.
    Trial,
    /// It is not, and nor is any other.
    Anyway,
}

/// A call that a server is busy with; dropping it ends it.
pub(super) struct Busy(Arc<Health>);

impl Fleet {
    /// Nothing is known yet. `seed` is random: it keeps instances from trying a server at the same moments.
    #[must_use]
    pub fn new(metrics: Metrics, clock: Clock, seed: u64) -> Self {
        Self(Arc::new(Known {
            keys: keys::Known::new(metrics.clone(), clock),
            servers: Mutex::default(),
            metrics,
            seed,
        }))
    }

    /// What is known of every key.
    pub(super) fn keys(&self) -> &keys::Known {
        &self.0.keys
    }

    /// The key `id` of `upstream` has got another text: what was learnt of the one before says nothing of it.
    pub fn key_has_changed(&self, upstream: &str, id: &str) {
        self.0.keys.forget(upstream, id);
    }

    /// What is known of `server`, one of `upstream`.
    pub(super) fn health(&self, upstream: &UpstreamPlan, server: &UpstreamServer) -> Arc<Health> {
        let known = &*self.0;
        let mut servers = lock(&known.servers);
        servers.retain(|_, health| health.strong_count() > 0);
        let place = (
            upstream.name.clone(),
            server.name.clone(),
            server.scheme.clone(),
            server.authority.clone(),
        );
        if let Some(health) = servers.get(&place).and_then(Weak::upgrade) {
            return health;
        }
        let seed = known.seed.wrapping_add(servers.len() as u64);
        let metrics = known.metrics.upstream_server(&upstream.name, &server.name);
        let health = Arc::new(Health::new(&upstream.name, &server.name, seed, metrics));
        servers.insert(place, Arc::downgrade(&health));
        health
    }
}

impl Health {
    fn new(upstream: &str, server: &str, seed: u64, metrics: UpstreamServerMetrics) -> Self {
        metrics.healthy(true);
        Self {
            upstream: upstream.to_owned(),
            server: server.to_owned(),
            calls: AtomicUsize::new(0),
            is_well: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            trouble: Mutex::new(Trouble {
                rests_until: None,
                rests: 0,
                failed_probes: 0,
                is_down: false,
                random: fastrand::Rng::with_seed(seed),
            }),
            metrics,
        }
    }

    /// The calls it is busy with.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// It gets a call.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether it is well, or its rest is over so that a call may try.
    pub(super) fn may_be_called(&self, now: Instant) -> bool {
        self.is_well.load(Ordering::Relaxed) || lock(&self.trouble).is_due(now)
    }

    /// As what a call goes there at `now`. Of those that come when its rest is over, one is the trial; the next would be
    /// after another rest, should nothing be heard of the first.
    pub(super) fn enter(&self, plan: &HealthPlan, now: Instant) -> Entry {
        if self.is_well.load(Ordering::Relaxed) {
            return Entry::Well;
        }
        let mut trouble = lock(&self.trouble);
        if trouble.is_well() {
            return Entry::Well;
        }
        if !trouble.is_due(now) {
            return Entry::Anyway;
        }
        trouble.rests_until = Some(now + plan.rest);
        Entry::Trial
    }

    /// A call that went as `entry` was answered.
    pub(super) fn answered(&self, entry: Entry) {
        match entry {
            Entry::Well => {
                if self.failures.load(Ordering::Relaxed) > 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
            }
            Entry::Trial | Entry::Anyway => {
                let mut trouble = lock(&self.trouble);
                trouble.rests_until = None;
                trouble.rests = 0;
                self.settle(&trouble);
            }
        }
    }

    /// A call that went as `entry` was not.
    pub(super) fn failed(&self, entry: Entry, plan: &HealthPlan, now: Instant) {
        let is_enough = match entry {
            Entry::Well => self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= plan.failures,
            Entry::Trial => true,
            // Nobody thought that it would be.
            Entry::Anyway => false,
        };
        if !is_enough {
            return;
        }
        let mut trouble = lock(&self.trouble);
        // Calls that had begun before the rest say nothing new.
        if entry == Entry::Trial || trouble.rests_until.is_none() {
            let rest = trouble.next_rest(plan);
            trouble.rests_until = Some(now + rest);
            self.settle(&trouble);
        }
    }

    /// It was asked how it does; `is_good` when it said that it is well.
    pub(super) fn probed(&self, is_good: bool, plan: &HealthPlan) {
        let mut trouble = lock(&self.trouble);
        if is_good {
            trouble.failed_probes = 0;
            trouble.is_down = false;
        } else {
            trouble.failed_probes = trouble.failed_probes.saturating_add(1);
            trouble.is_down = trouble.failed_probes >= plan.failures;
        }
        self.settle(&trouble);
    }

    /// Tells everybody whether it is well, when that has changed.
    fn settle(&self, trouble: &Trouble) {
        let is_well = trouble.is_well();
        if is_well {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_well.swap(is_well, Ordering::Relaxed) == is_well {
            return;
        }
        self.metrics.healthy(is_well);
        let (upstream, server) = (&*self.upstream, &*self.server);
        if is_well {
            tracing::info!(upstream, server, "a server is called again");
        } else {
            tracing::warn!(
                upstream,
                server,
                "a server does not answer; it is left alone"
            );
        }
    }
}

impl Trouble {
    const fn is_well(&self) -> bool {
        self.rests_until.is_none() && !self.is_down
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.is_down && self.rests_until.is_none_or(|until| until <= now)
    }

    /// How long the next rest is: twice the one before, and up to a quarter more, so that not everybody tries at once.
    fn next_rest(&mut self, plan: &HealthPlan) -> Duration {
        let doubled = 1_u32.checked_shl(self.rests).unwrap_or(u32::MAX);
        self.rests = self.rests.saturating_add(1);
        let rest = plan.rest.saturating_mul(doubled).min(plan.longest_rest);
        rest.mul_f64(1.0 + self.random.f64() / 4.0)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// No one panics with a lock of this room, and what it guards is whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::{
        HostHeader, KeyRules, Provider, UpstreamCredential, UpstreamLimits, UpstreamProtocol,
    };
    use super::*;

    const PLAN: HealthPlan = HealthPlan {
        failures: 3,
        rest: Duration::from_secs(2),
        longest_rest: Duration::from_secs(5),
        probe: None,
    };

    fn health() -> Health {
        let metrics = Metrics::unrecorded().upstream_server("u", "s");
        Health::new("u", "s", 7, metrics)
    }

    /// Makes calls fail until the server rests.
    fn resting(health: &Health, now: Instant) {
        for _ in 0..PLAN.failures {
            let entry = health.enter(&PLAN, now);
            health.failed(entry, &PLAN, now);
        }
        assert!(!health.may_be_called(now));
    }

    #[test]
    fn failures_in_a_row_make_a_server_rest_and_others_do_not() {
        let (health, now) = (health(), Instant::now());
        for _ in 0..10 {
            for _ in 1..PLAN.failures {
                health.failed(Entry::Well, &PLAN, now);
            }
            health.answered(Entry::Well);
        }
        assert_eq!(health.enter(&PLAN, now), Entry::Well);
        resting(&health, now);
        assert_eq!(health.enter(&PLAN, now), Entry::Anyway);
    }

    #[test]
    fn one_call_tries_when_the_rest_is_over_and_decides() {
        let (health, now) = (health(), Instant::now());
        resting(&health, now);
        let over = now + PLAN.rest * 5 / 4;
        assert!(health.may_be_called(over));
        assert_eq!(health.enter(&PLAN, over), Entry::Trial);
        assert!(!health.may_be_called(over), "one is enough");
        // Nothing is heard of it: another tries.
        let later = over + PLAN.rest;
        assert_eq!(health.enter(&PLAN, later), Entry::Trial);
        health.answered(Entry::Trial);
        assert_eq!(health.enter(&PLAN, later), Entry::Well);
        health.failed(Entry::Well, &PLAN, later);
        assert_eq!(health.enter(&PLAN, later), Entry::Well, "it begins anew");
    }

    #[test]
    fn a_rest_grows_with_each_trial_that_fails_up_to_the_longest() {
        let (health, mut now) = (health(), Instant::now());
        resting(&health, now);
        for rest in [4, 5, 5] {
            now += PLAN.longest_rest * 2;
            assert_eq!(health.enter(&PLAN, now), Entry::Trial);
            health.failed(Entry::Trial, &PLAN, now);
            let rest = Duration::from_secs(rest);
            assert!(!health.may_be_called(now + rest.mul_f64(0.99)));
            assert!(health.may_be_called(now + rest * 5 / 4));
        }
    }

    #[test]
    fn what_had_begun_before_a_rest_does_not_change_it() {
        let (health, now) = (health(), Instant::now());
        resting(&health, now);
        let over = now + PLAN.rest * 5 / 4;
        health.failed(Entry::Well, &PLAN, over);
        health.answered(Entry::Well);
        assert!(!health.may_be_called(now));
        assert!(health.may_be_called(over));
        // But a call that is answered although nobody thought so ends it.
        health.answered(Entry::Anyway);
        assert_eq!(health.enter(&PLAN, now), Entry::Well);
    }

    #[test]
    fn a_server_that_says_it_is_not_well_is_left_alone_until_it_says_otherwise() {
        let (health, now) = (health(), Instant::now());
        for _ in 1..PLAN.failures {
            health.probed(false, &PLAN);
            assert!(health.may_be_called(now));
        }
        health.probed(false, &PLAN);
        assert!(!health.may_be_called(now + PLAN.longest_rest * 100));
        assert_eq!(health.enter(&PLAN, now), Entry::Anyway);
        health.answered(Entry::Anyway);
        assert!(!health.may_be_called(now), "its own word counts");
        health.probed(true, &PLAN);
        assert_eq!(health.enter(&PLAN, now), Entry::Well);
    }

    #[test]
    fn what_is_known_of_a_server_outlasts_other_settings() {
        let fleet = Fleet::new(Metrics::unrecorded(), Clock::system(), 7);
        let server = UpstreamServer {
            name: "a".to_owned(),
            scheme: Scheme::HTTP,
            authority: Authority::from_static("127.0.0.1:8000"),
            weight: 1,
        };
        let plan = UpstreamPlan {
            name: "u".to_owned(),
            servers: vec![server.clone()],
            tls: None,
            protocol: UpstreamProtocol::Http1,
            host: HostHeader::Upstream,
            credential: UpstreamCredential::none(),
            provider: Provider::default(),
            keys: Vec::new(),
            key_rules: KeyRules::default(),
            limits: UpstreamLimits::default(),
            health: PLAN,
        };
        let one = fleet.health(&plan, &server);
        let busy = one.begin();
        let heavier = UpstreamServer {
            weight: 2,
            ..server.clone()
        };
        assert_eq!(fleet.health(&plan, &heavier).calls(), 1);
        drop(busy);
        let elsewhere = UpstreamServer {
            authority: Authority::from_static("127.0.0.1:8001"),
            ..server.clone()
        };
        let other = fleet.health(&plan, &elsewhere);
        assert!(!Arc::ptr_eq(&one, &other));
        drop(other);
        let again = fleet.health(&plan, &elsewhere);
        assert!(Arc::ptr_eq(&again, &fleet.health(&plan, &elsewhere)));
        assert!(Arc::ptr_eq(&one, &fleet.health(&plan, &server)));
    }
}
