//! The example of `deploy/nginx` with a real nginx.

use std::net::SocketAddr;

use super::{ROUTES, bearer};
use crate::support::keyward::{TestKeyward, post};
use crate::support::nginx::Nginx;
use crate::support::postgres::free_port;
use crate::support::raw::{RawAnswer, RawConnection};

const DOOR: &str = "proxy.forward_auth.asked_by = \"nginx\"\n";

async fn call(nginx: &Nginx, request: &str) -> RawAnswer {
    RawConnection::connect(nginx.address())
        .await
        .call(request)
        .await
}

#[tokio::test]
async fn the_example_lets_through_what_keyward_allows_and_nothing_else() {
    let keyward = TestKeyward::with(&format!("{DOOR}{ROUTES}")).await;
    let models = keyward.upstream.address();
    let Some(nginx) = Nginx::before(models, keyward.addresses.proxy) else {
        return;
    };
    let key = keyward.key_for(&["m1"]).await;
    // What is allowed goes on as it came, without the key, with what keyward says about the caller.
    let forged = "X-Keyward-Model: m9\r\nX_Keyward_Model: m9\r\nX-Keyward-Key-Name: root\r\nX-Forwarded-Host: g\r\n";
    let request = post("/models/m1/predict?a=%20b", &key, r#"{"q":1}"#).replacen(
        "Host: h\r\n",
        &format!("Host: h\r\n{forged}"),
        1,
    );
    let answer = call(&nginx, &request).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = keyward.upstream.request(0).await;
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/models/m1/predict?a=%20b")
    );
    assert_eq!(seen.body(), br#"{"q":1}"#);
    assert_eq!(seen.header_all("x-keyward-model"), ["m1"]);
    assert_eq!(seen.header_all("x-keyward-key-prefix"), [&*key.prefix]);
    for name in [
        "authorization",
        "x-api-key",
        "x-keyward-key-name",
        "x_keyward_model",
        "x-forwarded-host",
        "x-original-uri",
    ] {
        assert!(seen.header_all(name).is_empty(), "{name}");
    }
    assert!(
        !seen
            .headers
            .iter()
            .any(|(_, value)| value.contains(&key.text))
    );

    // What is not allowed reaches no model, however it is written: nginx would clean these paths.
    for (target, status) in [
        ("/models/m2/predict", 403),
        ("/models/m1/../m2/predict", 403),
        ("/models/m1/%2e%2e/m2/predict", 403),
        ("/models/m1%2f..%2fm2/predict", 403),
        ("/models/%6d1/predict", 403),
        ("//models/m1/predict", 403),
        ("/models/m1//predict", 403),
        ("/models/m1/./predict", 403),
        ("/models/m1/predict/../../m2/predict", 403),
        ("/nowhere", 403),
        ("/v1/chat", 403),
        ("/keyward/decide", 404),
    ] {
        let answer = call(&nginx, &post(target, &key, "{}")).await;
        assert_eq!(answer.status(), status, "{target}");
    }
    // Nor by the words in which nginx asks.
    let lines = "X-Original-URI: /models/m1/predict\r\nX-Original-Method: POST\r\n";
    let request = post("/models/m2/predict", &key, "{}").replacen(
        "Host: h\r\n",
        &format!("Host: h\r\n{lines}"),
        1,
    );
    assert_eq!(call(&nginx, &request).await.status(), 403);
    let nobody = call(
        &nginx,
        "POST /models/m1/predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(nobody.status(), 401);
    assert!(nobody.head.field("www-authenticate").is_some());
    assert_eq!(keyward.upstream.requests().len(), 1);

    // A deleted key is refused at the next call.
    keyward.delete_key(&key).await;
    assert_eq!(
        call(&nginx, &post("/models/m1/predict", &key, "{}"))
            .await
            .status(),
        401
    );
    // A key for every model needs no body to be seen.
    let every = keyward.key().await;
    assert_eq!(
        call(&nginx, &post("/v1/chat", &every, r#"{"model":"m"}"#))
            .await
            .status(),
        200
    );
    assert_eq!(keyward.upstream.requests().len(), 2);
}

#[tokio::test]
async fn without_keyward_nobody_passes() {
    let keyward = TestKeyward::with(ROUTES).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let key = keyward.key().await;
    // Nobody listens there; and a keyward without a door.
    for asked in [nowhere, keyward.addresses.proxy] {
        let Some(nginx) = Nginx::before(keyward.upstream.address(), asked) else {
            return;
        };
        let request = format!(
            "GET /models/m1/predict HTTP/1.1\r\nHost: h\r\n{}\r\n",
            bearer(&key)
        );
        assert_eq!(call(&nginx, &request).await.status(), 500);
    }
    assert!(keyward.upstream.requests().is_empty());
}
