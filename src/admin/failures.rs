use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::clock::Clock;
use crate::key::KeyDigest;

const WINDOW: Duration = Duration::from_mins(1);
/// Addresses remembered at once; past that, rarely seen ones are forgotten.
const ADDRESSES: u64 = 4096;
/// Credentials that worked, remembered with their address.
const PROVEN: u64 = 1024;
const PROVEN_FOR: Duration = Duration::from_hours(1);

/// How often credentials failed, by the address they came from (never by key: a stranger cannot lock a key out).
///
/// An address that failed too often within a minute is told to wait, whatever it presents — except a credential that
/// has worked from there within the hour: one caller's mistakes do not stop another that shares its address, and a
/// guess gains nothing by it. Memory is bounded; nothing here waits.
pub struct Failures {
    limit: u32,
    clock: Clock,
    windows: Cache<IpAddr, Window>,
    proven: Cache<(IpAddr, KeyDigest), ()>,
}

#[derive(Clone, Copy)]
struct Window {
    ends: Duration,
    failed: u32,
}

impl Failures {
    /// At most `limit` failures a minute from one address; a limit of none is one.
    #[must_use]
    pub fn new(limit: u32, clock: Clock) -> Self {
        Self {
            limit: limit.max(1),
            clock,
            windows: Cache::builder()
                .max_capacity(ADDRESSES)
                .time_to_live(2 * WINDOW)
                .build(),
            proven: Cache::builder()
                .max_capacity(PROVEN)
                .time_to_live(PROVEN_FOR)
                .build(),
        }
    }

    /// How long `from` must wait before it may present `credential`; `None` when it may now.
    #[must_use]
    pub fn wait(&self, from: IpAddr, credential: &KeyDigest) -> Option<Duration> {
        let from = network_of(from);
        let window = self.windows.get(&from)?;
        let left = window.ends.checked_sub(self.clock.elapsed())?;
        let slowed = window.failed >= self.limit && !self.proven.contains_key(&(from, *credential));
        (slowed && !left.is_zero()).then_some(left)
    }

    /// `from` presented what is no credential of ours. Returns whether that was once too often, so that exactly one
    /// caller of a minute says so.
    pub fn failed(&self, from: IpAddr) -> bool {
        let now = self.clock.elapsed();
        let entry = self.windows.entry(network_of(from));
        let counted = entry.and_compute_with(|seen| {
            let current = seen.map(moka::Entry::into_value);
            Op::Put(match current.filter(|window| now < window.ends) {
                Some(window) => Window {
                    failed: window.failed.saturating_add(1),
                    ..window
                },
                None => Window {
                    ends: now + WINDOW,
                    failed: 1,
                },
            })
        });
        let counted = counted.into_entry();
        counted.is_some_and(|entry| entry.into_value().failed == self.limit)
    }

    /// `credential` worked from `from`.
    pub fn succeeded(&self, from: IpAddr, credential: KeyDigest) {
        let proof = (network_of(from), credential);
        if !self.proven.contains_key(&proof) {
            self.proven.insert(proof, ());
        }
    }
}

/// One sender: an IPv4 address, or the /64 that one IPv6 host may use all of.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::UnixTime;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn guess(text: &str) -> KeyDigest {
        KeyDigest::of(text.as_bytes())
    }

    fn failures(limit: u32) -> (Failures, Clock) {
        let clock = Clock::manual(UnixTime::from_secs(1));
        (Failures::new(limit, clock.clone()), clock)
    }

    #[test]
    fn an_address_that_failed_too_often_waits_for_the_rest_of_its_minute() {
        let (failures, clock) = failures(2);
        failures.failed(HERE);
        clock.advance(Duration::from_secs(20));
        assert_eq!(failures.wait(HERE, &guess("a")), None);
        failures.failed(HERE);
        assert_eq!(
            failures.wait(HERE, &guess("a")),
            Some(Duration::from_secs(40))
        );
        clock.advance(Duration::from_secs(40));
        assert_eq!(failures.wait(HERE, &guess("a")), None);
        failures.failed(HERE);
        assert_eq!(
            failures.wait(HERE, &guess("a")),
            None,
            "a new minute, one failure"
        );
    }

    #[test]
    fn the_one_failure_too_many_is_told_once() {
        let (failures, _) = failures(3);
        let told: Vec<bool> = (0..5).map(|_| failures.failed(HERE)).collect();
        assert_eq!(told, [false, false, true, false, false]);
    }

    #[test]
    fn another_address_does_not_wait() {
        let (failures, _) = failures(1);
        failures.failed(HERE);
        let elsewhere = "192.0.2.1".parse().unwrap();
        assert!(failures.wait(HERE, &guess("a")).is_some());
        assert_eq!(failures.wait(elsewhere, &guess("a")), None);
        assert!(
            failures
                .wait("::ffff:127.0.0.1".parse().unwrap(), &guess("a"))
                .is_some()
        );
    }

    #[test]
    fn one_ipv6_host_is_one_sender() {
        let (failures, _) = failures(1);
        failures.failed("2001:db8::1".parse().unwrap());
        assert!(
            failures
                .wait("2001:db8::ffff:2".parse().unwrap(), &guess("a"))
                .is_some()
        );
        assert_eq!(
            failures.wait("2001:db8:0:1::1".parse().unwrap(), &guess("a")),
            None
        );
    }

    #[test]
    fn what_has_worked_from_there_goes_on_working_and_nothing_else_does() {
        let (failures, _) = failures(1);
        failures.succeeded(HERE, guess("right"));
        failures.failed(HERE);
        assert_eq!(failures.wait(HERE, &guess("right")), None);
        assert!(failures.wait(HERE, &guess("wrong")).is_some());
        failures.failed("192.0.2.1".parse().unwrap());
        assert!(
            failures
                .wait("192.0.2.1".parse().unwrap(), &guess("right"))
                .is_some()
        );
    }
}
