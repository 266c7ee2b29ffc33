//! What the tests stand on: a model server of our own, callers that speak to the byte, and patience with a limit.
//!
//! * [`upstream::FakeUpstream`] answers by script and keeps everything it saw;
//! * [`raw::RawConnection`] writes and reads bytes as a caller, and as the script of a
//!   [`raw_upstream::RawUpstream`];
//! * [`http2::Http2Caller`] speaks HTTP/2 by prior knowledge, and [`frames::FrameCaller`] frame by frame, without rules;
//! * [`keyward::TestKeyward`] is the whole program between the two;
//! * [`tls`] issues certificates, shakes hands, and stands before an upstream;
//! * [`stream::Stream`] is a body that goes on when it is told to, either way;
//! * [`store::Database`] is a real key database, in SQLite or on a throw-away Postgres ([`postgres::Postgres`]);
//! * [`gated_store::GatedStore`] is a key database that stops where a test says so.

pub mod admin;
pub mod canary;
pub mod child;
pub mod counted;
pub mod frames;
pub mod gate;
pub mod gated_store;
pub mod gateway;
pub mod http2;
pub mod keys;
pub mod keyward;
pub mod nginx;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod raw;
pub mod raw_upstream;
pub mod source;
pub mod store;
pub mod stream;
pub mod tls;
pub mod tools;
pub mod upstream;
mod wire;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use ::keyward::config::environment;
use proptest::prelude::ProptestConfig;

/// How long a test waits for what must happen. Long, because it is only ever used up by a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How many cases a law is tried with: `usual`, or as many as `KEYWARD_TEST_CASES` says, for a long search.
pub fn cases(usual: u32) -> ProptestConfig {
    let wanted = environment::variable("KEYWARD_TEST_CASES");
    let cases = wanted.and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(usual))
}

/// Waits for `future`, and fails the test when it takes longer than [`PATIENCE`].
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let output = tokio::time::timeout(PATIENCE, future).await;
        output.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?} ({caller})"))
    }
}

/// Asks `check` again and again until it answers, and fails the test when that takes longer than [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    within(what, async move {
        loop {
            if let Some(answer) = check() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}
