//! More than there is room for: an answer at once that says when to come again, and what is under way goes on
//! (SECURITY 4). What each single limit is, `limits.rs` and `body_model/limits.rs` show.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use http::Request;
use rstest::rstest;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::support::keyward::{KeywardProcess, TestKey, TestKeyward, post};
use crate::support::raw::{Head, RawConnection};
use crate::support::stream::{Stream, empty};
use crate::support::upstream::Answer;
use crate::support::{eventually, within};

const PREDICT: &str = "/models/m/predict";

/// Callers in the middle of streams of events.
async fn in_streams(
    count: usize,
    keyward: &TestKeyward,
    key: &TestKey,
) -> Vec<(RawConnection, Head, Stream)> {
    let mut callers = Vec::new();
    for _ in 0..count {
        let stream = Stream::new();
        keyward.upstream.next(Answer::events(&stream));
        let mut caller = keyward.raw().await;
        caller.write(post(PREDICT, key, "{}")).await;
        let head = caller.read_head().await;
        assert_eq!(head.status(), 200);
        callers.push((caller, head, stream));
    }
    callers
}

/// Each of them goes on to its end.
async fn go_on(callers: Vec<(RawConnection, Head, Stream)>) {
    for (mut caller, head, stream) in callers {
        stream.send("data: on\n\n");
        stream.finish();
        let body = caller.read_body(&head).await;
        assert_eq!(
            (&*body.bytes, body.is_complete),
            (&b"data: on\n\n"[..], true)
        );
    }
}

#[rstest]
#[case::openai("openai", &json!({"error": {
    "message": "too many requests at once", "type": "server_error", "param": null, "code": "overloaded"}}))]
#[case::anthropic("anthropic", &json!({"type": "error", "error": {
    "type": "overloaded_error", "message": "too many requests at once"}}))]
#[case::baseten("baseten", &json!({"error": "too many requests at once", "error_code": "overloaded"}))]
#[case::problem("problem", &json!({"type": "about:blank", "title": "Service Unavailable", "status": 503,
    "detail": "too many requests at once", "code": "overloaded"}))]
#[tokio::test]
async fn one_request_too_many_is_told_so_in_the_words_of_its_route(
    #[case] form: &str,
    #[case] expected: &Value,
) {
    let settings = format!(
        "proxy.limits.requests = 2\n[[proxy.routes]]\npath = \"/models/{{model}}/predict\"\n\
         upstream = \"default\"\nerrors = \"{form}\"\n"
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    let callers = in_streams(2, &keyward, &key).await;
    let mut caller = keyward.raw().await;
    for _ in 0..3 {
        let refused = caller.call(post(PREDICT, &key, "{}")).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.head.field("retry-after"), Some("1"));
        assert_eq!(&refused.json(), expected);
    }
    go_on(callers).await;
    eventually("nothing is in flight", || {
        (keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
    // The connection that was refused on is as good as another.
    assert_eq!(caller.call(post(PREDICT, &key, "{}")).await.status(), 200);
}

#[tokio::test]
async fn a_grpc_caller_too_many_is_told_so_in_its_status() {
    let keyward = TestKeyward::with("proxy.limits.requests = 1\n").await;
    let key = keyward.key().await;
    let callers = in_streams(1, &keyward, &key).await;
    let request = Request::post(format!("http://h{PREDICT}"))
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {}", key.text));
    let request = request.body(empty()).expect("a request");
    let refused = keyward.http2().await.call(request).await;
    assert_eq!(refused.status, 200);
    assert_eq!(refused.headers["grpc-status"], "8");
    assert_eq!(refused.headers["retry-after"], "1");
    go_on(callers).await;
}

/// However many come at once, each is answered, and none of the answers waits for room.
#[tokio::test]
async fn a_flood_is_answered_to_the_last_caller() {
    let keyward = TestKeyward::with("proxy.limits.requests = 4\n").await;
    let key = keyward.key().await;
    let callers = in_streams(4, &keyward, &key).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut caller = keyward.raw().await;
        caller.write(post(PREDICT, &key, "{}")).await;
        flood.push(caller);
    }
    for mut caller in flood {
        assert_eq!(caller.read_answer().await.status(), 503);
    }
    assert_eq!(keyward.upstream.requests().len(), 4);
    go_on(callers).await;
}

/// The process takes more than one byte, so memory is short from the start.
#[tokio::test]
async fn while_memory_is_short_few_are_served_and_those_under_way_go_on() {
    let keyward = TestKeyward::with("proxy.limits.memory_bytes = 1\n").await;
    let key = keyward.key().await;
    eventually("memory is short", || {
        keyward.counted.is_memory_short().then_some(())
    })
    .await;
    let callers = in_streams(8, &keyward, &key).await;
    let refused = keyward.call(&key, "m").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.head.field("retry-after"), Some("1"));
    assert_eq!(keyward.counted.outcomes()["overloaded"], 1);
    go_on(callers).await;
    // What is short for good is no reason to serve nobody.
    within("there is room again", async {
        while keyward.call(&key, "m").await.status() != 200 {}
    })
    .await;
}

#[tokio::test]
async fn memory_that_suffices_is_no_limit() {
    let keyward = TestKeyward::with("proxy.limits.memory_bytes = 1099511627776\n").await;
    let key = keyward.key().await;
    let callers = in_streams(20, &keyward, &key).await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert!(!keyward.counted.is_memory_short());
    go_on(callers).await;
}

/// The system has no descriptors left for the process: whoever is connected is served, and nobody else is lost.
#[tokio::test]
async fn without_descriptors_callers_go_on_and_others_come_when_there_are_some_again() {
    let keyward =
        KeywardProcess::start("upstreams.default.limits.pool_idle_timeout = \"1m\"\n").await;
    let key = keyward.key().await;
    let request = post(PREDICT, &key, "{}");
    let mut caller = keyward.raw().await;
    assert_eq!(caller.call(&request).await.status(), 200);
    // What was said to it before, by the way of keys and probes, gives its descriptors back.
    eventually(
        "the caller's and its upstream's are its only connections",
        || (connections(keyward.pid()) == 2).then_some(()),
    )
    .await;
    // The limit is one of numbers: below the first that is free, none is.
    let open: HashSet<u64> = descriptors(keyward.pid())
        .filter_map(|file| file.file_name()?.to_str()?.parse().ok())
        .collect();
    let most = u64::try_from(open.len()).expect("few");
    let first_free = (0..=most).find(|number| !open.contains(number));
    let limit = |current| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current, maximum };
        prlimit(Some(keyward.pid()), Resource::Nofile, limit).expect("it is our own child")
    };
    let before = limit(first_free);
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut other = keyward.raw().await;
        other.write(&request).await;
        others.push(other);
    }
    let told = "no more connections can be accepted";
    eventually("it is told", || keyward.said().contains(told).then_some(())).await;
    for _ in 0..100 {
        assert_eq!(caller.call(&request).await.status(), 200);
    }
    limit(before.current);
    for other in &mut others {
        assert_eq!(other.read_answer().await.status(), 200);
    }
    let again = "connections are accepted again";
    eventually("it is told", || {
        keyward.said().contains(again).then_some(())
    })
    .await;
    let said = keyward.said();
    assert_eq!(
        [told, again].map(|words| said.matches(words).count()),
        [1, 1],
        "{said}"
    );
}

/// How many connections of TCP a process has, those that listen left out.
fn connections(process: Pid) -> usize {
    const LISTENS: &str = "0A";
    let targets = descriptors(process).filter_map(|file| fs::read_link(file).ok());
    let targets: HashSet<_> = targets.collect();
    let table = format!("/proc/{}/net/tcp", process.as_raw_nonzero());
    let table = fs::read_to_string(table).expect("it runs");
    let is_one = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let target = columns.get(9).map(|inode| format!("socket:[{inode}]"));
        columns.get(3) != Some(&LISTENS)
            && target.is_some_and(|target| targets.contains(Path::new(&target)))
    };
    table.lines().filter(is_one).count()
}

/// The descriptors that a process has open, by their places below `/proc`.
fn descriptors(process: Pid) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero()));
    files
        .expect("it runs")
        .filter_map(|file| Some(file.ok()?.path()))
}
