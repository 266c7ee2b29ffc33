//! The threads that serve calls: how many there are, who gets a connection, and what a call asks of the clock.

mod readings;

use std::fs;

use http::Request;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::support::http2::Http2Caller;
use crate::support::keyward::{KeywardProcess, TestKey, TestKeyward, post};
use crate::support::stream::whole;

const PREDICT: &str = "/models/m/predict";

/// How many threads of this process serve calls.
fn workers(keyward: &KeywardProcess) -> usize {
    let threads = format!("/proc/{}/task", keyward.pid().as_raw_nonzero());
    let threads = fs::read_dir(threads).expect("it runs");
    let names = threads.map(|thread| {
        let name = thread.expect("it runs").path().join("comm");
        // One that has just ended has no name.
        fs::read_to_string(name).unwrap_or_default()
    });
    names
        .filter(|name| name.starts_with("keyward-call-"))
        .count()
}

#[tokio::test]
async fn there_are_as_many_as_the_settings_say_or_as_there_are_cores_for_us() {
    let three = KeywardProcess::start("proxy.workers = 3\n").await;
    assert_eq!(workers(&three), 3);
    let by_itself = "proxy.workers = 0\n";
    let cores = std::thread::available_parallelism().expect("the system says it");
    let all = KeywardProcess::start(by_itself).await;
    assert_eq!(workers(&all), cores.get());

    // Whatever is started from here has one core.
    let ours = sched_getaffinity(None).expect("the system says it");
    let one = (0..CpuSet::MAX_CPU).find(|core| ours.is_set(*core));
    let mut alone = CpuSet::new();
    alone.set(one.expect("we run on one"));
    sched_setaffinity(None, &alone).expect("fewer may be asked for");
    let pinned = KeywardProcess::start(by_itself).await;
    assert_eq!(workers(&pinned), 1);
    sched_setaffinity(None, &ours).expect("as it was");
}

/// A connection that stays open.
async fn call(caller: &Http2Caller, key: &TestKey) {
    let request = Request::post(format!("http://h{PREDICT}"))
        .header("authorization", format!("Bearer {}", key.text))
        .body(whole("{}"));
    assert_eq!(caller.call(request.expect("a request")).await.status, 200);
}

/// Calls that come one after the other take one connection to the upstream on each worker that serves one of them.
#[tokio::test]
async fn long_connections_are_spread_and_each_worker_has_its_own_to_the_upstream() {
    let keyward = TestKeyward::with("proxy.workers = 3\n").await;
    let key = keyward.key().await;
    let mut callers = Vec::new();
    for number in 1..=3 {
        let caller = keyward.http2().await;
        call(&caller, &key).await;
        assert_eq!(keyward.upstream.connections(), number);
        callers.push(caller);
    }
    for caller in callers.iter().chain(&callers) {
        call(caller, &key).await;
    }
    assert_eq!(keyward.upstream.connections(), 3);
    let on = |number: usize| keyward.upstream.requests()[number].connection;
    for number in 0..9 {
        assert_eq!(on(number), number % 3, "call {number}");
    }
}

/// It is not their turn that counts but how many connections each has.
#[tokio::test]
async fn whoever_has_fewest_connections_gets_the_next() {
    let keyward = TestKeyward::with("proxy.workers = 2\n").await;
    let key = keyward.key().await;
    let first = keyward.http2().await;
    call(&first, &key).await;
    let mut serving = Vec::new();
    // Each of these is over when the next begins: all are the other worker's.
    for _ in 0..4 {
        let mut caller = keyward.raw().await;
        let request = post(PREDICT, &key, "{}");
        assert_eq!(caller.call(request).await.status(), 200);
        drop(caller);
        crate::support::eventually("the connection is over", || {
            (keyward.counted.connections() == 1).then_some(())
        })
        .await;
        let requests = keyward.upstream.requests();
        serving.extend(requests.last().map(|seen| seen.connection));
    }
    assert_eq!(serving, [1; 4]);
    assert_eq!(keyward.upstream.requests()[0].connection, 0);
}
