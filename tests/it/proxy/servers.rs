//! Several servers behind one upstream: who gets a call, who is left alone, and what is tried again (SECURITY P6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rstest::rstest;

use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::raw_upstream::{BlackHole, RawUpstream};
use crate::support::stream::Stream;
use crate::support::upstream::{Answer, FakeUpstream};

const PREDICT: &str = "/models/m/predict";

/// A rest that no test sees the end of.
const LONG_REST: &str = "[upstreams.default.health]\nrest = \"1h\"\nlongest_rest = \"1h\"\n";
/// A rest that is over at once.
const SHORT_REST: &str = "[upstreams.default.health]\nrest = \"5ms\"\nlongest_rest = \"5ms\"\n";

/// Settings of servers called `a`, `b` and so on.
fn servers(urls: &[String]) -> String {
    let names = 'a'..='z';
    let tables = urls
        .iter()
        .zip(names)
        .map(|(url, name)| format!("[upstreams.default.servers.{name}]\nurl = \"{url}\"\n"));
    tables.collect()
}

/// A keyward before these servers.
async fn before(urls: &[String], settings: &str) -> (TestKeyward, TestKey) {
    let keyward = TestKeyward::with(&format!("{}{settings}", servers(urls))).await;
    let key = keyward.key().await;
    (keyward, key)
}

/// So many calls, one after another, each of which must succeed.
async fn succeed(keyward: &TestKeyward, key: &TestKey, calls: usize) {
    let mut caller = keyward.raw().await;
    for number in 0..calls {
        let body = format!("body of {number}");
        let answer = caller.call(post(PREDICT, key, &body)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.json()["body"], body);
    }
}

/// Waits until it is known of the server `name` whether it is well.
async fn is_known_to_be(keyward: &TestKeyward, name: &str, is_well: bool) {
    eventually("it is known how a server does", || {
        (keyward.counted.is_healthy(name) == is_well).then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_are_shared_and_a_server_without_weight_gets_them_when_no_other_can() {
    let [a, b, spare] = [(); 3].map(|()| FakeUpstream::start());
    let urls = [a.url(), b.url(), spare.url()];
    let settings = format!("weight = 0\n{LONG_REST}");
    let (keyward, key) = before(&urls, &settings).await;
    succeed(&keyward, &key, 60).await;
    let shares = [&a, &b].map(|server| server.requests().len());
    assert_eq!(shares[0] + shares[1], 60);
    assert!(shares.iter().all(|share| *share > 5), "{shares:?}");
    a.stop().await;
    b.stop().await;
    succeed(&keyward, &key, 20).await;
    assert_eq!(spare.requests().len(), 20);
}

#[tokio::test]
async fn the_next_call_goes_to_the_server_with_fewer_of_them() {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    let (keyward, key) = before(&[a.url(), b.url()], "").await;
    let streams: Vec<_> = (0..20).map(|_| Stream::new()).collect();
    let mut callers = Vec::new();
    for pair in streams.chunks(2) {
        a.next(Answer::streamed(&pair[0]));
        b.next(Answer::streamed(&pair[1]));
        for _ in 0..2 {
            let mut caller = keyward.raw().await;
            caller.write(post(PREDICT, &key, "{}")).await;
            caller.read_head().await;
            callers.push(caller);
        }
        assert_eq!(a.requests().len(), b.requests().len());
    }
    drop(callers);
    for stream in streams {
        stream.dropped().await;
    }
}

#[tokio::test]
async fn a_server_that_is_gone_costs_no_call_and_is_left_alone_until_it_is_back() {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    let (keyward, key) = before(&[a.url(), b.url()], LONG_REST).await;
    assert!(keyward.counted.is_healthy("a"));
    a.stop().await;
    succeed(&keyward, &key, 60).await;
    // Three in a row were enough, and each was told nothing of it.
    assert_eq!(keyward.counted.upstream_errors()["connect"], 3);
    assert_eq!(keyward.counted.upstream_retries(), 3);
    assert!(!keyward.counted.is_healthy("a"));
    assert!(keyward.counted.is_healthy("b"));
    assert_eq!(b.requests().len(), 60);
    assert_eq!(keyward.counted.outcomes()["forwarded"], 60);
}

#[tokio::test]
async fn a_server_that_is_back_is_called_again() {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    let (keyward, key) = before(&[a.url(), b.url()], SHORT_REST).await;
    a.stop().await;
    while keyward.counted.is_healthy("a") {
        succeed(&keyward, &key, 1).await;
    }
    a.start_again().await;
    while !keyward.counted.is_healthy("a") {
        succeed(&keyward, &key, 1).await;
    }
    let before = a.requests().len();
    succeed(&keyward, &key, 60).await;
    assert!(a.requests().len() > before);
}

#[tokio::test]
async fn when_no_server_answers_the_caller_is_told_and_when_one_does_again_it_is_called() {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    let (keyward, key) = before(&[a.url(), b.url()], LONG_REST).await;
    a.stop().await;
    b.stop().await;
    for _ in 0..10 {
        assert_eq!(keyward.call(&key, "m").await.status(), 502);
    }
    for name in ["a", "b"] {
        assert!(!keyward.counted.is_healthy(name));
    }
    // Both rest for an hour; but there is nobody else.
    b.start_again().await;
    succeed(&keyward, &key, 20).await;
    is_known_to_be(&keyward, "b", true).await;
}

/// Why there is no connection, and how that is counted.
#[rstest]
#[case::nobody_takes_it("connect_timeout")]
#[case::no_tls("tls")]
#[tokio::test]
async fn a_connection_that_is_not_made_for_any_reason_is_made_elsewhere(#[case] reason: &str) {
    let (plain, b, hole) = (
        FakeUpstream::start(),
        FakeUpstream::start(),
        BlackHole::open(),
    );
    let a = match reason {
        "tls" => plain.url().replace("http:", "https:"),
        _ => format!("http://{}", hole.address()),
    };
    let settings = format!("[upstreams.default.limits]\nconnect_timeout = \"50ms\"\n{LONG_REST}");
    let (keyward, key) = before(&[a, b.url()], &settings).await;
    succeed(&keyward, &key, 30).await;
    let errors = keyward.counted.upstream_errors();
    assert_eq!(errors.values().sum::<u64>(), 3);
    // Whoever speaks no TLS may hang up before it has been understood.
    assert!(errors[reason] > 0, "{errors:?}");
    assert!(!keyward.counted.is_healthy("a"));
    assert!(plain.requests().is_empty());
}

/// Bodies that are read on the way to the second server.
#[rstest]
#[case::none("", "/models/m/predict")]
#[case::small("{}", "/models/m/predict")]
#[case::large(&"x".repeat(3 << 20), "/models/m/predict")]
#[case::judged(r#"{"messages":[],"model":"m"}"#, "/judged")]
#[case::judged_while_it_flows(&format!(r#"{{"model":"m","messages":["{}"]}}"#, "x".repeat(3 << 20)), "/judged")]
#[tokio::test]
async fn the_other_server_gets_the_whole_request(#[case] body: &str, #[case] path: &str) {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    a.stop().await;
    let settings = format!(
        "{LONG_REST}failures = 1000\n\
         [[proxy.routes]]\npath = \"/models/{{model}}/predict\"\nupstream = \"default\"\n\
         [[proxy.routes]]\npath = \"/judged\"\nupstream = \"default\"\nmodel_in = [\"body\"]\n"
    );
    let (keyward, _) = before(&[a.url(), b.url()], &settings).await;
    let key = keyward.key_for(&["m"]).await;
    let request = post(path, &key, body).replace(
        "Host: h",
        "Host: h\r\nContent-Type: application/json\r\nX-Mine: kept",
    );
    while keyward.counted.upstream_retries() < 3 {
        let answer = keyward.raw().await.call(&request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    for seen in b.requests() {
        assert_eq!(seen.body(), body.as_bytes());
        assert_eq!(seen.target, path);
        assert_eq!(seen.header("x-mine"), Some("kept"));
        assert_eq!(seen.header_all("host"), [b.address().to_string()]);
        assert_eq!(seen.header_all("authorization"), [""; 0]);
    }
}

/// What a server may have read is sent to no other, however it failed.
#[rstest]
#[case::it_read_the_request(true)]
#[case::it_closed_at_once(false)]
#[tokio::test]
async fn what_may_have_been_read_goes_to_one_server_only(#[case] reads: bool) {
    let connections = Arc::new(AtomicUsize::new(0));
    let a = {
        let connections = Arc::clone(&connections);
        RawUpstream::start(move |mut connection: RawConnection| {
            connections.fetch_add(1, Ordering::Relaxed);
            async move {
                if reads && let Some(head) = connection.try_read_head().await {
                    connection.read_body(&head).await;
                }
            }
        })
    };
    let b = FakeUpstream::start();
    let settings = format!("{LONG_REST}failures = 1000\n");
    let (keyward, key) = before(&[a.url(), b.url()], &settings).await;
    let mut broken = 0;
    for _ in 0..40 {
        let answer = keyward.call(&key, "m").await;
        assert!([200, 502].contains(&answer.status()), "{}", answer.text());
        broken += usize::from(answer.status() == 502);
    }
    assert!(broken > 0);
    assert_eq!(connections.load(Ordering::Relaxed), broken);
    assert_eq!(b.requests().len(), 40 - broken);
    assert_eq!(keyward.counted.upstream_retries(), 0);
}

#[tokio::test]
async fn one_call_is_tried_on_so_many_servers_and_no_more() {
    let [a, b, c] = [(); 3].map(|()| FakeUpstream::start());
    for server in [&a, &b, &c] {
        server.stop().await;
    }
    let settings = format!("[upstreams.default.limits]\nconnect_attempts = 2\n{LONG_REST}");
    let (keyward, key) = before(&[a.url(), b.url(), c.url()], &settings).await;
    assert_eq!(keyward.call(&key, "m").await.status(), 502);
    assert_eq!(keyward.counted.upstream_errors()["connect"], 2);
    assert_eq!(keyward.counted.upstream_retries(), 1);
}

#[tokio::test]
async fn a_server_that_says_it_is_not_well_is_left_alone_until_it_says_otherwise() {
    let [a, b] = [(); 2].map(|()| FakeUpstream::start());
    for server in [&a, &b] {
        server.on("/health", Answer::new(204, ""));
    }
    let probe = "probe = { path = \"/health\", every = \"5ms\", timeout = \"5ms\" }\n";
    // A loaded machine may miss such a short timeout: what is waited for is what it settles to.
    let (keyward, key) = before(&[a.url(), b.url()], &format!("{LONG_REST}{probe}")).await;
    a.on("/health", Answer::new(503, "draining"));
    is_known_to_be(&keyward, "a", false).await;
    let calls = |server: &FakeUpstream| {
        let requests = server.requests();
        requests
            .iter()
            .filter(|seen| seen.target == PREDICT)
            .count()
    };
    let before = calls(&a);
    succeed(&keyward, &key, 1).await;
    a.on("/health", Answer::new(204, ""));
    is_known_to_be(&keyward, "a", true).await;
    while calls(&a) == before {
        succeed(&keyward, &key, 1).await;
    }
    // It is asked as it is called.
    let asked = a.requests();
    let asked = asked.iter().find(|seen| seen.target == "/health");
    let asked = asked.expect("it was asked");
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.header("host"), Some(&*a.address().to_string()));
}

#[tokio::test]
async fn the_only_server_is_called_whatever_it_says() {
    let a = FakeUpstream::start();
    a.on("/health", Answer::new(503, ""));
    let settings = format!(
        "upstreams.default.url = \"{}\"\n{LONG_REST}probe = {{ path = \"/health\", every = \"5ms\", timeout = \"5ms\" }}\n",
        a.url()
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    is_known_to_be(&keyward, "default", false).await;
    succeed(&keyward, &key, 5).await;
    let calls = a.requests();
    let calls = calls.iter().filter(|seen| seen.target == PREDICT);
    assert_eq!(calls.count(), 5);
}
