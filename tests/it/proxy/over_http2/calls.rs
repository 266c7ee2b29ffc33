//! Calls, as they go and come back.

use http::{Request, Version};
use http_body_util::BodyExt;
use rstest::rstest;

use super::{HTTP2, PREDICT, over_http2, request};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw_upstream::RawUpstream;
use crate::support::stream::{Stream, empty, whole};
use crate::support::tls::{Authority, Folder, TlsSide, serving};
use crate::support::upstream::{Answer, AnswerEnd, BodyEnd, FakeUpstream};
use crate::support::within;

/// The head of a `POST` of HTTP/1.1 with these lines.
fn head(key: &TestKey, lines: &str) -> String {
    format!(
        "POST {PREDICT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
        key.text
    )
}

#[tokio::test]
async fn a_call_of_http_1_goes_on_over_http_2_without_what_that_has_not() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let lines = "Connection: keep-alive, x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
         Upgrade: h2c\r\nExpect: 100-continue\r\nCookie: a=1\r\nTransfer-Encoding: chunked\r\n";
    let mut caller = keyward.raw().await;
    caller.write(head(&key, lines)).await;
    assert_eq!(caller.read_head().await.status(), 100);
    let answer = caller.call("2\r\nhi\r\n0\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.head.start.starts_with("HTTP/1.1 "));
    let seen = keyward.upstream.request(0).await;
    let upstream = keyward.upstream.address().to_string();
    assert_eq!(seen.version, Version::HTTP_2);
    assert_eq!(seen.authority.as_deref(), Some(&*upstream));
    assert_eq!(
        (seen.target.as_str(), seen.body().as_slice()),
        (PREDICT, &b"hi"[..])
    );
    for name in [
        "host",
        "connection",
        "x-private",
        "keep-alive",
        "upgrade",
        "expect",
        "transfer-encoding",
        "authorization",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header_all("te"), ["trailers"]);
    assert_eq!(seen.header_all("cookie"), ["a=1"]);
    assert_eq!(seen.header_all("x-keyward-key-prefix"), [&key.prefix]);
}

#[tokio::test]
async fn the_host_of_the_setting_is_the_authority() {
    let keyward = over_http2("upstreams.default.host = \"caller\"\n").await;
    let key = keyward.key().await;
    for host in ["model-m.api.test", "model-m.other.test:8080"] {
        let request =
            post("/production/predict", &key, "").replace("Host: h", &format!("Host: {host}"));
        assert_eq!(keyward.raw().await.call(request).await.status(), 200);
        let seen = keyward
            .upstream
            .requests()
            .last()
            .cloned()
            .expect("a request");
        assert_eq!(seen.authority.as_deref(), Some(host));
        assert_eq!(seen.header("host"), None);
    }
}

#[rstest]
#[case::get("GET", 200, "short and stout", Some("15"))]
#[case::head("HEAD", 200, "short and stout", Some("15"))]
#[case::no_content("GET", 204, "", None)]
#[case::not_modified("GET", 304, "", None)]
#[tokio::test]
async fn answers_keep_their_length_and_bodiless_ones_have_none(
    #[case] method: &str,
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] length: Option<&str>,
) {
    let route = "[[proxy.routes]]\npath = \"/{model}\"\nupstream = \"default\"\n";
    let keyward = over_http2(route).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    for _ in 0..2 {
        keyward.upstream.next(Answer::new(status, body));
        let answer = caller
            .call(post("/m", &key, "").replace("POST", method))
            .await;
        assert_eq!(
            (answer.status(), answer.head.field("content-length")),
            (status, length)
        );
        assert_eq!(answer.head.field("transfer-encoding"), None);
    }
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn a_get_may_have_a_body() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let request = post("/v1/models", &key, "hi").replace("POST", "GET");
    assert_eq!(keyward.raw().await.call(request).await.json()["body"], "hi");
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("content-length"), ["2"]);
}

#[tokio::test]
async fn a_megabyte_comes_back_as_it_went() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let sent: String = ('a'..='z').cycle().take(1 << 20).collect();
    let answer = keyward.raw().await.call(post(PREDICT, &key, &sent)).await;
    assert!(
        answer.json()["body"] == *sent,
        "a megabyte comes back changed"
    );
    let caller = keyward.http2().await;
    let answer = caller
        .call(request(&key).body(whole(sent.clone())).unwrap())
        .await;
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(echo["body"] == *sent, "a megabyte comes back changed");
}

#[tokio::test]
async fn bodies_stream_both_ways_and_their_trailers_with_them() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let (up, down) = (Stream::new(), Stream::new());
    keyward.upstream.next(Answer::streamed(&down).early());
    let caller = keyward.http2().await;
    let answer = caller.send(
        request(&key)
            .header("te", "trailers")
            .body(up.body())
            .unwrap(),
    );
    let mut body = answer.await.expect("an answer").into_body();
    let seen = keyward.upstream.request(0).await;
    // Each side speaks once it has heard the other.
    for round in 1..=100 {
        up.send("ping");
        seen.body_reaches(4 * round).await;
        down.send("pong");
        let frame = within("it comes", body.frame())
            .await
            .expect("more")
            .expect("whole");
        assert_eq!(frame.into_data().expect("data"), "pong");
    }
    up.finish_with(&[("x-sum", "1"), ("authorization", "Bearer forged")]);
    assert_eq!(seen.body_end().await, BodyEnd::Complete);
    let expected = ("x-sum".to_owned(), "1".to_owned());
    assert_eq!(seen.trailers().expect("trailers"), [expected]);
    down.finish_with(&[("x-sum", "2")]);
    let rest = within("the end comes", body.collect())
        .await
        .expect("it is not cut");
    assert_eq!(rest.trailers().expect("trailers")["x-sum"], "2");
}

/// As in `forwarding::bodies`: each event leaves before the next comes.
#[tokio::test]
async fn each_event_is_out_before_the_next_comes_in() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let head = caller.read_head().await;
    for number in 0..1_000 {
        let event = format!("data: {number}\n\n");
        stream.send(event.clone());
        assert_eq!(caller.read_chunk().await.as_deref(), Some(event.as_bytes()));
    }
    stream.finish();
    assert!(caller.read_body(&head).await.is_complete);
}

#[tokio::test]
async fn an_early_answer_ends_the_call_though_the_body_still_comes() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::new(413, "too much").unread());
    let mut caller = keyward.raw().await;
    caller
        .write(head(&key, "Content-Length: 1000000\r\n"))
        .await;
    let answer = caller.read_answer().await;
    assert_eq!((answer.status(), &*answer.text()), (413, "too much"));
}

#[rstest]
#[case::before_the_head(false)]
#[case::in_the_middle_of_a_stream(true)]
#[tokio::test]
async fn a_caller_that_goes_ends_its_call_and_no_other(#[case] streaming: bool) {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let other = Stream::new();
    keyward.upstream.next(Answer::streamed(&other));
    let mut stays = keyward.raw().await;
    stays.write(post(PREDICT, &key, "{}")).await;
    let head = stays.read_head().await;

    let stream = Stream::new();
    keyward.upstream.next(if streaming {
        Answer::events(&stream)
    } else {
        Answer::silence()
    });
    let mut goes = keyward.raw().await;
    goes.write(post(PREDICT, &key, "{}")).await;
    let seen = keyward.upstream.request(1).await;
    if streaming {
        goes.read_head().await;
    }
    drop(goes);
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    other.send("undisturbed");
    other.finish();
    let body = stays.read_body(&head).await;
    assert_eq!(
        (body.bytes.as_slice(), body.is_complete),
        (&b"undisturbed"[..], true)
    );
    assert_eq!(keyward.upstream.connections(), 1);
}

#[tokio::test]
async fn a_stream_that_breaks_off_has_no_clean_end() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let head = caller.read_head().await;
    stream.send("half");
    assert_eq!(caller.read_chunk().await.as_deref(), Some(&b"half"[..]));
    stream.break_off();
    assert!(!caller.read_body(&head).await.is_complete);
}

#[rstest]
#[case::another_protocol("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")]
#[case::nothing("")]
#[tokio::test]
async fn an_upstream_that_speaks_no_http2_is_a_bad_gateway(#[case] bytes: &'static str) {
    let upstream = RawUpstream::start(move |mut connection| async move {
        connection.read_exactly(24).await;
        drop(connection.try_write(bytes).await);
    });
    let settings = format!("upstreams.default.url = \"{}\"\n{HTTP2}", upstream.url());
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 502);
}

/// A keyward that calls a model server behind TLS, which offers `alpn`, over HTTP/2.
async fn behind_tls(alpn: &[&str]) -> (TestKeyward, FakeUpstream, TlsSide, Folder) {
    let authority = Authority::called("authority of models");
    let model = FakeUpstream::start();
    let mut config = serving(&authority.server());
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let side = TlsSide::before(model.address(), config).await;
    let folder = Folder::with(&Authority::called("nobody").caller());
    let ca = folder.write("ca.crt", &authority.certificate);
    let settings = format!(
        "upstreams.default.url = \"https://localhost:{}\"\nupstreams.default.tls.ca = \"{}\"\n{HTTP2}",
        side.address.port(),
        ca.display(),
    );
    (TestKeyward::with(&settings).await, model, side, folder)
}

#[tokio::test]
async fn inside_of_tls_http2_is_agreed_on_by_alpn() {
    let (keyward, model, side, _folder) = behind_tls(&["h2", "http/1.1"]).await;
    let key = keyward.key().await;
    for _ in 0..3 {
        assert_eq!(keyward.call(&key, "m").await.status(), 200);
    }
    assert_eq!(side.shaken().len(), 1);
    assert_eq!(side.shaken()[0].alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(model.request(0).await.version, Version::HTTP_2);
}

#[rstest]
#[case::it_agrees_to_another(&["http/1.1"])]
#[case::it_agrees_to_nothing(&[])]
#[tokio::test]
async fn inside_of_tls_nothing_is_sent_without_agreement(#[case] alpn: &[&str]) {
    let (keyward, model, _side, _folder) = behind_tls(alpn).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 502);
    assert_eq!(model.requests().len(), 0);
}

/// An upstream that speaks HTTP/2 is asked for a WebSocket over HTTP/1.1, on a connection of its own.
#[tokio::test]
async fn a_websocket_is_asked_for_over_http_1() {
    let keyward = over_http2("").await;
    let key = keyward.key().await;
    let handshake = format!(
        "GET /models/m/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {}\r\n\r\n",
        key.text
    );
    keyward.upstream.next(Answer::new(403, "no"));
    assert_eq!(keyward.raw().await.call(handshake).await.status(), 403);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.version, Version::HTTP_11);
    assert_eq!(seen.header_all("upgrade"), ["websocket"]);
    let request = Request::get("http://h/v1/models");
    let request = request.header("authorization", format!("Bearer {}", key.text));
    let answer = keyward
        .http2()
        .await
        .call(request.body(empty()).unwrap())
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(keyward.upstream.request(1).await.version, Version::HTTP_2);
}
