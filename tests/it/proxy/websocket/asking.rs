//! Who asks for WebSocket and gets it, and what everything else that asks for another protocol gets.

use rstest::rstest;

use super::{ACCEPT, Between, NONCE, SWITCHING, WEBSOCKET, anonymous, handshake};
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::stream::empty;

#[tokio::test]
async fn a_handshake_goes_on_as_one_and_its_answer_comes_back() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let extensions = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: realtime, v1\r\n\
         Origin: https://page.example\r\nAuthorization: Bearer ";
    let request = handshake(&key).replace("Authorization: Bearer ", extensions);
    let answer = format!("{SWITCHING}Sec-WebSocket-Protocol: realtime\r\n\r\n");
    let told = between.ask(&request, &answer).await;
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", NONCE),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", "realtime, v1"),
        ("origin", "https://page.example"),
        ("x-keyward-key-prefix", &key.prefix),
    ] {
        assert_eq!(told.asked.all(name), [value], "{name}");
    }
    assert_eq!(told.asked.start, format!("GET {WEBSOCKET} HTTP/1.1"));
    assert_eq!(told.asked.field("authorization"), None);
    assert_eq!(told.asked.field("transfer-encoding"), None);
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "realtime"),
    ] {
        assert_eq!(told.answered.all(name), [value], "{name}");
    }
    assert!(told.answered.field("x-request-id").is_some());
    assert_eq!(told.answered.field("content-length"), None);
    assert_eq!(between.keyward.counted.outcomes()["forwarded"], 1);
    between.are_open(1).await;
}

#[rstest]
#[case::nobody(
    "Authorization: Bearer kw_00000000.00000000000000000000000000000000000000\r\n",
    401
)]
#[case::no_key("", 401)]
#[case::another_model("Authorization: Bearer {scoped}\r\n", 403)]
#[tokio::test]
async fn who_may_not_call_gets_no_websocket(#[case] lines: &str, #[case] status: u16) {
    let keyward = TestKeyward::start().await;
    let scoped = keyward.key_for(&["another"]).await;
    let mut caller = keyward.raw().await;
    let request = anonymous(&lines.replace("{scoped}", &scoped.text));
    // The connection stays one of HTTP: a second request on it is read as one.
    for _ in 0..2 {
        let answer = caller.call(&request).await;
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert_eq!(answer.head.field("upgrade"), None);
    }
    assert_eq!(keyward.upstream.requests().len(), 0);
}

/// The handshake as a text is changed before it is sent.
fn changed(key: &TestKey, from: &str, to: &str) -> String {
    let request = handshake(key);
    assert!(request.contains(from), "{from}");
    request.replace(from, to)
}

#[rstest]
#[case::h2c(
    "Upgrade: websocket",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"
)]
#[case::h2c_beside_it("Upgrade: websocket", "Upgrade: websocket, h2c")]
#[case::h2c_in_a_line_of_its_own("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c")]
#[case::tls("Upgrade: websocket", "Upgrade: TLS/1.0")]
#[case::not_named("Connection: keep-alive, Upgrade", "Connection: keep-alive")]
#[case::another_version("Version: 13", "Version: 7")]
#[case::no_key("Sec-WebSocket-Key: ", "X-Key: ")]
#[case::a_key_that_is_none(NONCE, "nonce")]
#[case::a_body(
    "Upgrade: websocket\r\n",
    "Upgrade: websocket\r\nContent-Length: 0\r\nX-Body: {body}\r\n"
)]
#[case::http_1_0("HTTP/1.1", "HTTP/1.0")]
#[tokio::test]
async fn what_is_no_handshake_stays_http(#[case] from: &str, #[case] to: &str) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut request = changed(&key, from, to);
    if to.contains("{body}") {
        request = request.replace("Content-Length: 0", "Content-Length: 2") + "hi";
    }
    let mut caller = keyward.raw().await;
    assert_eq!(caller.call(&request).await.status(), 200);
    let seen = keyward.upstream.request(0).await;
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    if !from.starts_with("HTTP") {
        assert_eq!(
            caller
                .call(post("/models/m/predict", &key, "{}"))
                .await
                .status(),
            200
        );
    }
    assert_eq!(keyward.counted.websockets(), 0);
}

#[tokio::test]
async fn a_post_is_no_handshake() {
    let route = "[[proxy.routes]]\npath = \"/models/{model}/websocket\"\nupstream = \"default\"\n";
    let keyward = TestKeyward::with(route).await;
    let key = keyward.key().await;
    let request = changed(&key, "GET ", "POST ");
    assert_eq!(keyward.raw().await.call(&request).await.status(), 200);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("upgrade"), None);
}

#[rstest]
#[case::old(
    "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno",
    426
)]
#[case::refused("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403)]
#[case::not_understood(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    200
)]
#[case::not_understood_but_upgraded(
    "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno",
    200
)]
#[tokio::test]
async fn an_upstream_that_does_not_agree_has_answered_and_http_goes_on(
    #[case] answer: &str,
    #[case] status: u16,
) {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let mut told = between.ask(&handshake(&key), answer).await;
    assert_eq!(told.answered.status(), status);
    assert_eq!(told.answered.field("upgrade"), None);
    let body = told.caller.read_body(&told.answered).await;
    assert_eq!(body.bytes, b"no");
    // Both connections are used again, for HTTP.
    told.caller
        .write(post("/models/m/predict", &key, "{}"))
        .await;
    let head = told.upstream.read_head().await;
    assert!(head.start.starts_with("POST "), "{}", head.start);
    told.upstream.read_body(&head).await;
    told.upstream.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(told.caller.read_answer().await.status(), 204);
    assert_eq!(between.keyward.counted.websockets(), 0);
}

#[rstest]
#[case::another_protocol("Upgrade: websocket", "Upgrade: h2c")]
#[case::two_protocols("Upgrade: websocket", "Upgrade: websocket, h2c")]
#[case::no_protocol("Upgrade: websocket", "X-Nothing: 1")]
#[case::not_named("Connection: Upgrade", "Connection: keep-alive")]
#[case::another_handshake(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
#[case::no_handshake("Sec-WebSocket-Accept: ", "X-Accept: ")]
#[tokio::test]
async fn an_upstream_that_agrees_to_something_else_is_a_bad_gateway(
    #[case] from: &str,
    #[case] to: &str,
) {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let answer = format!("{SWITCHING}\r\n").replace(from, to);
    let mut told = between.ask(&handshake(&key), &answer).await;
    assert_eq!(told.answered.status(), 502);
    told.caller.read_body(&told.answered).await;
    // Nobody speaks on the upstream's connection any more.
    assert_eq!(told.upstream.until_closed().await.0, b"");
    told.caller
        .write(post("/models/m/predict", &key, "{}"))
        .await;
    let head = between.upstream().await.read_head().await;
    assert!(head.start.starts_with("POST "), "{}", head.start);
}

/// What a caller sends behind its handshake before it is answered is the next request, as long as nobody has agreed to
/// anything: it is no way around admission.
#[tokio::test]
async fn a_request_behind_a_handshake_is_admitted_like_any() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let behind = "GET /admin/anything HTTP/1.1\r\nHost: h\r\n\r\n";
    caller.write(handshake(&key) + behind).await;
    assert_eq!(caller.read_answer().await.status(), 200);
    assert_eq!(caller.read_answer().await.status(), 404);
    assert_eq!(keyward.upstream.requests().len(), 1);
}

/// Extended CONNECT (RFC 8441) is not offered, and refused to whoever asks all the same: SECURITY F13.
#[tokio::test]
async fn extended_connect_is_refused_and_the_connection_goes_on() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let caller = keyward.http2().await;
    let request = |method: &str| {
        http::Request::builder()
            .method(method)
            .uri(format!("http://h{WEBSOCKET}"))
            .header("authorization", format!("Bearer {}", key.text))
    };
    let connect = request("CONNECT").extension(hyper::ext::Protocol::from_static("websocket"));
    let connect = connect.header("sec-websocket-version", "13");
    // What was not offered is malformed (RFC 8441, 4; RFC 9113, 8.1.1): the stream ends, and no other.
    let refused = caller
        .send(connect.body(empty()).unwrap())
        .await
        .unwrap_err();
    let refused = format!("{refused:?}");
    assert!(refused.contains("PROTOCOL_ERROR, Remote"), "{refused}");
    let plain = http::Request::connect("http://h:80").body(empty()).unwrap();
    assert_eq!(caller.call(plain).await.status, 405);
    assert_eq!(keyward.upstream.requests().len(), 0);
    let answer = caller.call(request("GET").body(empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
}

/// `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441, 3), which we do not send.
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

#[tokio::test]
async fn our_settings_do_not_offer_extended_connect() {
    let keyward = TestKeyward::start().await;
    let mut caller = keyward.raw().await;
    caller
        .write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let frame = caller.read_exactly(9).await;
    assert_eq!(frame[3], 4, "the first frame is SETTINGS");
    let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
    let settings = caller.read_exactly(length.try_into().unwrap()).await;
    let (settings, []) = settings.as_chunks::<6>() else {
        panic!("{settings:?}");
    };
    let named = settings.iter().map(|s| u16::from_be_bytes([s[0], s[1]]));
    assert!(!named.collect::<Vec<_>>().contains(&ENABLE_CONNECT_PROTOCOL));
}

#[tokio::test]
async fn over_http2_nothing_is_upgraded() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    // hyper's client would not send `Connection`; what is left of a handshake is a plain GET.
    let request = http::Request::get(format!("http://h{WEBSOCKET}"))
        .header("authorization", format!("Bearer {}", key.text))
        .header("sec-websocket-key", NONCE)
        .header("sec-websocket-version", "13");
    let answer = keyward
        .http2()
        .await
        .call(request.body(empty()).unwrap())
        .await;
    assert_eq!(answer.status, 200);
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header("upgrade"), None);
    assert_eq!(seen.header("connection"), None);
}
