//! What comes in by mistake or malice is refused in the dialect's words and never ends in a 5xx (SECURITY A3, A4).

use http::Method;
use keyward::key::KeyCategory;
use rstest::rstest;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::admin::{Ask, TOKEN, TestAdmin};
use crate::support::store::in_time;

#[rstest]
#[case::nothing(b"", 400)]
#[case::not_json(b"type=PERSONAL", 400)]
#[case::half(br#"{"type":"PERS"#, 400)]
#[case::two_documents(br#"{"type":"PERSONAL"}{"type":"PERSONAL"}"#, 400)]
#[case::a_list(br#"["PERSONAL",null,null,null]"#, 400)]
#[case::a_text(br#""PERSONAL""#, 400)]
#[case::null(b"null", 400)]
#[case::duplicate_member(br#"{"type":"PERSONAL","type":"WORKSPACE_INVOKE"}"#, 400)]
#[case::duplicate_member_escaped(br#"{"type":"PERSONAL","t\u0079pe":"WORKSPACE_INVOKE"}"#, 400)]
#[case::other_case(br#"{"Type":"PERSONAL"}"#, 400)]
#[case::lone_surrogate(br#"{"type":"PERSONAL","name":"\ud83d"}"#, 400)]
#[case::lone_tail(br#"{"type":"PERSONAL","name":"\ude00"}"#, 400)]
#[case::surrogate_pair(br#"{"type":"PERSONAL","name":"\ud83d\ude00"}"#, 200)]
#[case::bad_utf_8(b"{\"type\":\"PERSONAL\",\"name\":\"\xff\"}", 400)]
#[case::utf_16(b"{\0\"\0t\0", 400)]
#[case::byte_order_mark(b"\xef\xbb\xbf{\"type\":\"PERSONAL\"}", 400)]
#[case::nul(b"{\"type\":\"PERSONAL\",\"name\":\"a\\u0000b\"}", 400)]
#[case::not_a_number(br#"{"type":NaN}"#, 400)]
#[case::comment(br#"{"type":"PERSONAL"/**/}"#, 400)]
#[case::number(br#"{"type":1e999}"#, 400)]
#[case::nested(br#"{"type":{"a":{}}}"#, 400)]
#[case::nulls(
    br#"{"type":"PERSONAL","name":null,"model_ids":null,"team_id":null}"#,
    200
)]
#[case::padded(b" \r\n\t{\"type\":\"PERSONAL\"}\n ", 200)]
#[tokio::test]
async fn a_body_is_one_object_without_doubt(#[case] body: &'static [u8], #[case] status: u16) {
    let admin = TestAdmin::start().await;
    let answer = admin
        .ask(Method::POST, "/v1/api_keys")
        .body(body)
        .send()
        .await;
    assert_eq!(answer.status, status, "{answer}");
    if status != 200 {
        assert_eq!(answer.code(), "VALIDATION_ERROR");
    }
    assert_eq!(
        admin.database.fill().await.len(),
        usize::from(status == 200)
    );
}

#[tokio::test]
async fn a_body_as_deep_as_it_is_long_is_refused() {
    let admin = TestAdmin::start().await;
    for open in ["[", "{\"a\":"] {
        let deep = format!("{{\"type\":{}", open.repeat(10_000));
        let answer = admin
            .ask(Method::POST, "/v1/api_keys")
            .body(deep)
            .send()
            .await;
        assert_eq!(answer.status, 400, "{answer}");
    }
}

#[rstest]
#[case::json("application/json", 200, 200)]
#[case::with_charset("application/json; charset=utf-8", 200, 200)]
#[case::other_charset("application/json; charset=latin1", 415, 415)]
#[case::form("application/x-www-form-urlencoded", 200, 415)]
#[case::multipart("multipart/form-data; boundary=x", 415, 415)]
#[case::text("text/plain", 415, 415)]
#[case::twice("application/json, application/json", 415, 415)]
#[tokio::test]
async fn a_body_calls_itself_json(#[case] named: &str, #[case] key: u16, #[case] team: u16) {
    let admin = TestAdmin::start().await;
    for (path, body, status) in [
        ("/v1/api_keys", json!({ "type": "PERSONAL" }), key),
        ("/v1/teams", json!({ "name": "t" }), team),
    ] {
        let ask = admin.ask(Method::POST, path).json(&body);
        let answer = ask.header("content-type", named).send().await;
        assert_eq!(answer.status, status, "{answer}");
        let ask = admin
            .ask(Method::POST, path)
            .json(&body)
            .without("content-type");
        assert_eq!(ask.send().await.status, 415);
    }
}

#[rstest]
#[case::just_small_enough(64 * 1024, 400)]
#[case::too_large(64 * 1024 + 1, 413)]
#[case::far_too_large(20 * 1024 * 1024, 413)]
#[tokio::test]
async fn a_body_has_a_limit_and_its_refusal_arrives(#[case] bytes: usize, #[case] status: u16) {
    let admin = TestAdmin::start().await;
    let body = vec![b' '; bytes];
    let answer = admin
        .ask(Method::POST, "/v1/api_keys")
        .body(body.clone())
        .send()
        .await;
    assert_eq!(answer.status, status, "{answer}");
    let stranger = Ask::new(admin.address, Method::POST, "/v1/api_keys").body(body);
    assert_eq!(stranger.send().await.status, 401);
}

/// Many clients send all they have before they read: what they then read must be our answer, not a broken connection.
#[rstest]
#[case::too_large(TOKEN, 413)]
#[case::of_a_stranger("stranger", 401)]
#[tokio::test]
async fn a_refusal_reaches_whoever_sends_to_the_end_first(
    #[case] token: &str,
    #[case] status: u16,
) {
    const BYTES: usize = 20 * 1024 * 1024;
    let admin = TestAdmin::start().await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let head = format!(
        "POST /v1/api_keys HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {BYTES}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; BYTES]).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

#[rstest]
#[case::ours("{address}", 200)]
#[case::localhost("localhost:1", 200)]
#[case::configured("Admin.Example:9090", 200)]
#[case::somebody_elses("evil.example", 421)]
#[case::beginning_like_ours("localhost.evil.example", 421)]
#[case::with_a_user("localhost@evil.example", 421)]
#[case::an_address_we_do_not_listen_on("192.0.2.1", 421)]
#[case::empty("", 421)]
#[case::not_text("\u{fc}", 421)]
#[tokio::test]
async fn the_listener_is_called_by_its_names_only(#[case] host: &str, #[case] status: u16) {
    let admin = TestAdmin::with(|config| config.hosts = vec!["admin.example".to_owned()]).await;
    let host = host.replace("{address}", &admin.address.to_string());
    for path in ["/v1/api_keys", "/openapi.json"] {
        let answer = admin
            .ask(Method::GET, path)
            .header("host", &host)
            .send()
            .await;
        assert_eq!(answer.status, status, "{answer}");
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let admin = TestAdmin::start().await;
    let ask = || admin.ask(Method::GET, "/v1/api_keys");
    assert_eq!(ask().without("host").send().await.status, 400);
    assert_eq!(
        ask()
            .further_header("host", "localhost")
            .send()
            .await
            .status,
        400
    );
    let absolute = format!("http://{}/v1/api_keys", admin.address);
    assert_eq!(admin.get(&absolute).await.status, 200);
    assert_eq!(
        admin.get("http://evil.example/v1/api_keys").await.status,
        421
    );
}

#[rstest]
#[case("http://evil.example")]
#[case("http://127.0.0.1:9090")]
#[case("null")]
#[tokio::test]
async fn a_web_page_is_not_answered(#[case] origin: &str) {
    let admin = TestAdmin::start().await;
    for (method, path) in [
        (Method::GET, "/v1/api_keys"),
        (Method::POST, "/v1/api_keys"),
        (Method::OPTIONS, "/v1/api_keys"),
        (Method::GET, "/openapi.json"),
    ] {
        let answer = admin
            .ask(method, path)
            .header("origin", origin)
            .send()
            .await;
        assert_eq!(answer.status, 403, "{answer}");
        let mut names = answer.headers.keys().map(http::HeaderName::as_str);
        assert!(!names.any(|name| name.starts_with("access-control")));
    }
    assert!(admin.database.fill().await.is_empty());
}

#[rstest]
#[case("x-http-method-override")]
#[case("x-http-method")]
#[case("x-method-override")]
#[tokio::test]
async fn a_method_is_not_overridden(#[case] header: &'static str) {
    let admin = TestAdmin::start().await;
    let key = admin.key(KeyCategory::WorkspaceInvoke).await;
    let path = format!("/v1/api_keys/{}", &key[..11]);
    let ask = admin.ask(Method::POST, &path).header(header, "DELETE");
    assert_eq!(ask.send().await.status, 405);
    let ask = admin.ask(Method::POST, &format!("{path}?_method=DELETE"));
    assert_eq!(ask.send().await.status, 405);
    assert_eq!(admin.database.fill().await.len(), 1);
}

#[rstest]
#[case("/")]
#[case("/v1")]
#[case("/v1/api_keys/")]
#[case("/v1/api_keys/a/b")]
#[case("//v1/api_keys")]
#[case("/v1/../v1/api_keys")]
#[case("/v1/API_KEYS")]
#[case("/v1/api-keys/a/b")]
#[case("/v1/api_keys%3Ftype=PERSONAL")]
#[case("/livez")]
#[case("/metrics")]
#[tokio::test]
async fn there_is_nothing_elsewhere(#[case] path: &str) {
    let admin = TestAdmin::start().await;
    let answer = admin.get(path).await;
    assert_eq!(answer.status, 404, "{answer}");
    assert_eq!(
        answer.json(),
        json!({ "code": "NOT_FOUND", "message": "there is nothing at this path" })
    );
}

#[tokio::test]
async fn a_head_is_answered_without_a_body() {
    let admin = TestAdmin::start().await;
    let answer = admin.ask(Method::HEAD, "/v1/api_keys").send().await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}

#[rstest]
#[case::given("abc-123", true)]
#[case::not_printable("a b", false)]
#[case::endless(&"a".repeat(129), false)]
#[tokio::test]
async fn every_answer_names_its_request(#[case] id: &str, #[case] is_kept: bool) {
    let admin = TestAdmin::start().await;
    for path in ["/v1/api_keys", "/no/such/path", "/openapi.json"] {
        let answer = admin
            .ask(Method::GET, path)
            .header("x-request-id", id)
            .send()
            .await;
        let told = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(told == id, is_kept);
        assert!(!told.is_empty());
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
