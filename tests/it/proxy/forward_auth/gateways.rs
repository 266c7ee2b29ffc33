//! The examples of `deploy/envoy` and `deploy/traefik` with the real programs.

use std::net::SocketAddr;

use rstest::rstest;

use super::{ROUTES, bearer, start};
use crate::support::gateway::{Gateway, Kind};
use crate::support::http2::Http2Caller;
use crate::support::keyward::{TestKeyward, post};
use crate::support::postgres::free_port;
use crate::support::raw::{RawAnswer, RawConnection};
use crate::support::stream;

/// A keyward, and the gateway that asks it; nothing when there is to be no such gateway.
async fn behind(kind: Kind) -> Option<(TestKeyward, Gateway)> {
    let asked_by = match kind {
        Kind::Envoy => "envoy",
        Kind::Traefik => "traefik",
    };
    let keyward = start(asked_by, "").await;
    let gateway = Gateway::start(kind, keyward.upstream.address(), keyward.addresses.proxy).await?;
    Some((keyward, gateway))
}

async fn call(gateway: &Gateway, request: &str) -> RawAnswer {
    let mut connection = RawConnection::connect(gateway.address()).await;
    connection.call(request).await
}

/// `request` with these lines of its head.
fn with(request: &str, lines: &str) -> String {
    request.replacen("Host: h\r\n", &format!("Host: h\r\n{lines}"), 1)
}

#[rstest]
#[case(Kind::Envoy)]
#[case(Kind::Traefik)]
#[tokio::test]
async fn what_is_allowed_goes_on_with_who_calls_and_without_the_key(#[case] kind: Kind) {
    let Some((keyward, gateway)) = behind(kind).await else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    let plain = post("/models/m1/predict?a=%20b", &key, r#"{"q":1}"#);
    let in_a_header = plain.replacen("Authorization: Bearer", "X-Api-Key:", 1);
    let in_both = with(&plain, &format!("X-Api-Key: {}\r\n", key.text));
    for request in [plain, in_a_header, in_both] {
        let answer = call(&gateway, &request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    for seen in keyward.upstream.requests() {
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("POST", "/models/m1/predict?a=%20b")
        );
        assert_eq!(seen.body(), br#"{"q":1}"#);
        assert_eq!(seen.header("host"), Some("h"));
        assert_eq!(seen.header_all("x-keyward-model"), ["m1"]);
        assert_eq!(seen.header_all("x-keyward-key-prefix"), [&*key.prefix]);
        assert_eq!(seen.header_all("x-keyward-key-id").len(), 1);
        assert_eq!(seen.header_all("x-request-id").len(), 1);
        let secret = key.text.rsplit('.').next().expect("split yields one");
        let told = |(_, value): &(String, String)| value.contains(secret);
        assert!(!seen.headers.iter().any(told), "{:?}", seen.headers);
    }
}

#[rstest]
#[case(Kind::Envoy)]
#[case(Kind::Traefik)]
#[tokio::test]
async fn nobody_says_himself_who_he_is(#[case] kind: Kind) {
    let Some((keyward, gateway)) = behind(kind).await else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    let request = post("/models/m1/predict", &key, "{}");
    let forged = "X-Keyward-Model: m9\r\nx-keyward-model: m8\r\nX-Keyward-Key-Name: root\r\nX-Keyward-Org: o\r\n\
                  x.keyward.model: m9\r\nX-Keyward.Team: t\r\nX-Keyward-Not-Yet: n\r\n\
                  X-Original-URL: /models/m9/predict\r\nX-Rewrite-URL: /models/m9/predict\r\n\
                  X-HTTP-Method-Override: DELETE\r\n";
    let answer = call(&gateway, &with(&request, forged)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(seen.header_all("x-keyward-model"), ["m1"]);
    assert_eq!(seen.header_all("x-keyward-key-prefix"), [&*key.prefix]);
    let ours =
        ["key-id", "key-prefix", "team", "org", "model"].map(|name| format!("x-keyward-{name}"));
    for (name, value) in &seen.headers {
        let name = name.to_lowercase();
        let is_ours = ours.contains(&name);
        let says_who = name.replace(['.', '_'], "-").starts_with("x-keyward");
        assert_eq!(says_who, is_ours, "{name}");
        assert!(!(is_ours && ["m8", "m9", "root", "o", "t", "n"].contains(&value.as_str())));
        assert!(
            !value.contains("m9") && value != "DELETE",
            "{name}: {value}"
        );
    }

    // Names with `_`, and ones that would be taken off as of this connection alone, change nothing, or are refused.
    for lines in [
        "X_Keyward_Model: m9\r\nX_KEYWARD_KEY_NAME: root\r\n",
        "Connection: x-keyward-model\r\n",
        "Connection: close, X-Keyward-Key-Prefix, X-Keyward-Model\r\n",
        "Connection: authorization\r\n",
    ] {
        let before = keyward.upstream.requests().len();
        let answer = call(&gateway, &with(&request, lines)).await;
        if answer.status() != 200 {
            assert!(
                [400, 401].contains(&answer.status()),
                "{lines}: {}",
                answer.text()
            );
            assert_eq!(keyward.upstream.requests().len(), before);
            continue;
        }
        let seen = keyward.upstream.request(before).await;
        assert_eq!(seen.header_all("x-keyward-model"), ["m1"], "{lines}");
        assert_eq!(
            seen.header_all("x-keyward-key-prefix"),
            [&*key.prefix],
            "{lines}"
        );
        let names = seen.headers.iter().map(|(name, _)| name.to_lowercase());
        assert_eq!(
            names.filter(|name| name.contains('_')).count(),
            0,
            "{lines}"
        );
    }
}

/// A target, and what a caller is told for it whose key may call `m1`: by Envoy, and by Traefik, which cleans it first.
const TARGETS: &[(&str, u16, u16)] = &[
    ("/models/m2/predict", 403, 403),
    ("/models/m1/../m2/predict", 400, 403),
    ("/models/m2/../m1/predict", 400, 200),
    ("/models/m1/%2e%2e/m2/predict", 400, 403),
    ("/models/m1%2f..%2fm2/predict", 400, 400),
    ("/models/%6d1/predict", 400, 200),
    ("//models/m1/predict", 400, 200),
    ("/models/m1//predict", 400, 200),
    ("/models/m1/./predict", 400, 200),
    ("/models/m1/predict/../../m2/predict", 400, 403),
    ("/models/m1/predict;x", 400, 400),
    ("/models/m1/predict%00", 400, 400),
    ("/models/m1/predict\\..", 400, 400),
    ("/nowhere", 404, 404),
    ("/v1/chat", 403, 403),
    ("/keyward/decide", 404, 404),
    ("/keyward/decide/models/m1/predict", 404, 404),
];

#[rstest]
#[case(Kind::Envoy)]
#[case(Kind::Traefik)]
#[tokio::test]
async fn what_is_not_allowed_reaches_no_model_however_it_is_written(#[case] kind: Kind) {
    let Some((keyward, gateway)) = behind(kind).await else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    let mut wrong = Vec::new();
    for (target, by_envoy, by_traefik) in TARGETS {
        let status = call(&gateway, &post(target, &key, "{}")).await.status();
        let expected = *if kind == Kind::Envoy {
            by_envoy
        } else {
            by_traefik
        };
        if status != expected {
            wrong.push((target, status, expected));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // Nor by the words in which any gateway asks, nor by another credential beside it.
    let words = "X-Original-URI: /models/m1/predict\r\nX-Original-Method: POST\r\nX-Forwarded-Method: POST\r\n\
                 X-Forwarded-Uri: /models/m1/predict\r\nX-Forwarded-Host: h\r\n";
    let other = post("/models/m2/predict", &key, "{}");
    assert_eq!(call(&gateway, &with(&other, words)).await.status(), 403);
    let two = with(
        &post("/models/m1/predict", &key, "{}"),
        "X-Api-Key: other\r\n",
    );
    assert_eq!(call(&gateway, &two).await.status(), 401);
    let twice = with(
        &post("/models/m1/predict", &key, "{}"),
        "Authorization: Bearer other\r\n",
    );
    let status = call(&gateway, &twice).await.status();
    assert!([400, 401].contains(&status), "{status}");
    let nobody = "POST /models/m1/predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    let nobody = call(&gateway, nobody).await;
    assert_eq!(nobody.status(), 401);
    assert!(nobody.head.field("www-authenticate").is_some());
    for seen in keyward.upstream.requests() {
        assert_eq!(seen.target, "/models/m1/predict", "what was judged");
    }

    // A deleted key is refused at the next call, and a key for every model needs no body to be seen.
    let every = keyward.key().await;
    let chat = post("/v1/chat", &every, r#"{"model":"m"}"#);
    assert_eq!(call(&gateway, &chat).await.status(), 200);
    keyward.delete_key(&every).await;
    assert_eq!(call(&gateway, &chat).await.status(), 401);
}

#[rstest]
#[case(Kind::Envoy)]
#[case(Kind::Traefik)]
#[tokio::test]
async fn bodies_go_on_as_they_came(#[case] kind: Kind) {
    let Some((keyward, gateway)) = behind(kind).await else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    let body: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let head = post("/models/m1/predict", &key, "");
    let counted = head.replacen(
        "Content-Length: 0",
        &format!("Content-Length: {}", body.len()),
        1,
    );
    let mut whole = counted.into_bytes();
    whole.extend_from_slice(&body);
    let mut chunked = head
        .replacen("Content-Length: 0", "Transfer-Encoding: chunked", 1)
        .into_bytes();
    for chunk in body.chunks(40_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for (place, request) in [whole, chunked].into_iter().enumerate() {
        let mut connection = RawConnection::connect(gateway.address()).await;
        let answer = connection.call(request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = keyward.upstream.request(place).await;
        assert!(seen.body() == body, "{} bytes", seen.body().len());
    }
    // Over HTTP/2 as well; and Envoy says to callers of gRPC what they understand.
    let call = async |text: &str, content: &str| {
        let request = http::Request::post("http://h/models/m1/predict")
            .version(http::Version::HTTP_2)
            .header("authorization", format!("Bearer {text}"))
            .header("content-type", content)
            .body(stream::empty())
            .expect("a request");
        let caller = Http2Caller::connect(gateway.address()).await;
        caller.call(request).await
    };
    if kind == Kind::Envoy {
        assert_eq!(call(&key.text, "application/json").await.status, 200);
        assert_eq!(call("other", "application/json").await.status, 401);
        let refused = call("other", "application/grpc").await;
        assert_eq!(refused.headers["grpc-status"], "16");
        assert_eq!(keyward.upstream.requests().len(), 3);
    }
}

#[rstest]
#[case(Kind::Envoy)]
#[case(Kind::Traefik)]
#[tokio::test]
async fn without_keyward_nobody_passes(#[case] kind: Kind) {
    let keyward = TestKeyward::with(ROUTES).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let key = keyward.key().await;
    // Nobody listens there; and a keyward without a door.
    for (asked, by_envoy, by_traefik) in [(nowhere, 403, 500), (keyward.addresses.proxy, 404, 404)]
    {
        let Some(gateway) = Gateway::start(kind, keyward.upstream.address(), asked).await else {
            return;
        };
        let expected = if kind == Kind::Envoy {
            by_envoy
        } else {
            by_traefik
        };
        let request = format!(
            "GET /models/m1/predict HTTP/1.1\r\nHost: h\r\n{}\r\n",
            bearer(&key)
        );
        assert_eq!(call(&gateway, &request).await.status(), expected);
    }
    assert!(keyward.upstream.requests().is_empty());
}
