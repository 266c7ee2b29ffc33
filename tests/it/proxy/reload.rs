//! Settings that are read again while calls go on (SECURITY E9), with the real binary and real signals.

use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::support::keyward::{Doors, KeywardProcess, TestKey, post};
use crate::support::raw::RawConnection;
use crate::support::stream::Stream;
use crate::support::upstream::{Answer, FakeUpstream};
use crate::support::within;

const PREDICT: &str = "/models/m/predict";

/// Settings that lead to another upstream than the process's own.
fn leading_to(upstream: &FakeUpstream) -> String {
    format!("upstreams.default.url = \"{}\"\n", upstream.url())
}

/// Calls until `upstream` is who answers; every call before must succeed, too.
async fn until_served_by(upstream: &FakeUpstream, keyward: &Doors, key: &TestKey) {
    let before = upstream.requests().len();
    within("the new settings are in force", async {
        while upstream.requests().len() == before {
            assert_eq!(keyward.call(key, "m").await.status(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn new_settings_count_for_new_requests_and_leave_a_stream_alone() {
    let keyward = KeywardProcess::start("").await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut streaming = keyward.raw().await;
    streaming.write(post(PREDICT, &key, "{}")).await;
    let head = streaming.read_head().await;
    let mut kept = keyward.raw().await;
    assert_eq!(kept.call(post(PREDICT, &key, "{}")).await.status(), 200);

    let other = FakeUpstream::start();
    let routes = "[[proxy.routes]]\npath = \"/new/{model}\"\nupstream = \"default\"\n";
    keyward.write_settings(&format!("{}{routes}", leading_to(&other)));
    keyward.signal(Signal::HUP);
    let new = post("/new/m", &key, "{}");
    within("the new route is there", async {
        while keyward.raw().await.call(&new).await.status() != 200 {}
    })
    .await;
    // For connections that were there before, too.
    assert_eq!(kept.call(&new).await.status(), 200);
    assert_eq!(kept.call(post(PREDICT, &key, "{}")).await.status(), 404);
    let reached = other.requests();
    assert!(
        reached.iter().all(|seen| seen.target == "/new/m"),
        "{reached:?}"
    );

    stream.send("data: undisturbed\n\n");
    stream.finish();
    let body = streaming.read_body(&head).await;
    assert_eq!(
        (&body.bytes[..], body.is_complete),
        (&b"data: undisturbed\n\n"[..], true)
    );
    assert_eq!(keyward.upstream.requests().len(), 2);
}

#[tokio::test]
async fn reading_settings_again_under_load_fails_no_call() {
    let keyward = KeywardProcess::start("proxy.workers = 2\n").await;
    let key = keyward.key().await;
    let other = FakeUpstream::start();
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let mut caller = keyward.raw().await;
        let request = post(PREDICT, &key, "0123456789");
        callers.spawn(async move { call_forever(&mut caller, &request).await });
    }
    for _ in 0..5 {
        keyward.write_settings(&leading_to(&other));
        keyward.signal(Signal::HUP);
        until_served_by(&other, &keyward, &key).await;
        keyward.write_settings("");
        keyward.signal(Signal::HUP);
        until_served_by(&keyward.upstream, &keyward, &key).await;
    }
    // A caller ends only by failing.
    let failed = callers.try_join_next();
    assert!(failed.is_none(), "{failed:?}");
    callers.abort_all();
    while let Some(ended) = callers.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

async fn call_forever(caller: &mut RawConnection, request: &str) {
    loop {
        let answer = caller.call(request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["body"], "0123456789");
    }
}
