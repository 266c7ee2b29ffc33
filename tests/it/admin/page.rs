//! The admin page as bytes and headers. What it does in a browser, `tests/page.sh` shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rstest::rstest;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::admin::{Answer, Ask, TOKEN, TestAdmin};

async fn page(admin: &TestAdmin) -> Answer {
    Ask::new(admin.address, Method::GET, "/admin").send().await
}

/// What stands in the one element called `name`.
fn inside<'p>(page: &'p str, name: &str) -> &'p str {
    let (before, after) = page.split_once(&format!("<{name}>")).expect("it begins");
    let (inside, after) = after.split_once(&format!("</{name}>")).expect("it ends");
    assert!(!before.contains(&format!("<{name}")) && !after.contains(&format!("<{name}")));
    inside
}

#[tokio::test]
async fn it_is_one_document_that_anyone_may_read_and_nothing_else_may_run() {
    let admin = TestAdmin::start().await;
    let answer = page(&admin).await;
    assert_eq!(answer.status, 200);
    let source = |name| {
        let digest = STANDARD.encode(Sha256::digest(inside(&answer.body, name)));
        format!("sha256-{digest}")
    };
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        source("script"),
        source("style")
    );
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", &*policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    assert!(!answer.headers.contains_key("set-cookie"));
}

/// No request leaves for anywhere else, and data never becomes markup: the policy forbids it, and nothing tries.
#[tokio::test]
async fn it_names_no_other_place_and_makes_no_markup_of_data() {
    let admin = TestAdmin::start().await;
    let page = page(&admin).await.body;
    let addresses = page.match_indices("://").filter(|(at, _)| {
        let after = &page[*at..];
        !after.starts_with("://www.w3.org/2000/svg") && !after.starts_with("://${here}")
    });
    let addresses: Vec<&str> = addresses.map(|(at, _)| &page[at - 5..at + 20]).collect();
    assert_eq!(addresses, [""; 0]);
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "javascript:",
        "localStorage",
        "sessionStorage",
        "document.cookie",
        " style=\"",
        " onclick=",
        "@import",
        "url(",
    ] {
        assert!(!page.contains(sink), "{sink}");
    }
}

#[tokio::test]
async fn it_holds_no_data() {
    let admin = TestAdmin::start().await;
    let empty = page(&admin).await.body;
    let name = "<img src=x onerror=alert(1)>";
    let wish = json!({ "type": "PERSONAL", "name": name });
    assert_eq!(admin.post("/v1/api_keys", &wish).await.status, 200);
    assert_eq!(page(&admin).await.body, empty);
    assert!(!empty.contains(TOKEN));
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let admin = TestAdmin::with(|config| config.page = false).await;
    assert_eq!(page(&admin).await.status, 401);
    assert_eq!(admin.get("/admin").await.status, 404);
    let own = format!("http://{}", admin.address);
    let ask = admin
        .ask(Method::GET, "/v1/api_keys")
        .header("origin", &own);
    assert_eq!(ask.send().await.status, 403, "then no web page is answered");
}

#[rstest]
#[case::own("http://{address}", None, 200)]
#[case::own_behind_tls("https://{address}", None, 200)]
#[case::by_name("http://localhost:9090", Some("localhost:9090"), 200)]
#[case::without_a_token("http://{address}", None, 401)]
#[case::another_port("http://127.0.0.1:1", None, 403)]
#[case::no_port("http://127.0.0.1", None, 403)]
#[case::another_name_of_ours("http://localhost:9090", None, 403)]
#[case::more_after_it("http://{address}.evil.example", None, 403)]
#[case::no_scheme("{address}", None, 403)]
#[case::another_scheme("file://{address}", None, 403)]
#[case::a_user("http://{address}@evil.example", None, 403)]
#[case::sandboxed("null", None, 403)]
#[case::nothing("", None, 403)]
#[case::rebound("http://evil.example", Some("evil.example"), 421)]
#[tokio::test]
async fn it_alone_may_call_from_a_browser(
    #[case] origin: &str,
    #[case] host: Option<&str>,
    #[case] status: u16,
) {
    let admin = TestAdmin::start().await;
    let origin = origin.replace("{address}", &admin.address.to_string());
    let mut ask = admin.ask(Method::POST, "/v1/api_keys");
    ask = ask.json(&json!({ "type": "PERSONAL" }));
    ask = ask.header("origin", &origin);
    if status == 401 {
        ask = ask.without("authorization");
    }
    if let Some(host) = host {
        ask = ask.header("host", host);
    }
    let answer = ask.send().await;
    assert_eq!(answer.status, status, "{answer}");
    assert_eq!(
        admin.database.fill().await.len(),
        usize::from(status == 200)
    );
    let mut names = answer.headers.keys().map(http::HeaderName::as_str);
    assert!(!names.any(|name| name.starts_with("access-control")));
}

#[tokio::test]
async fn two_origins_are_nobodys() {
    let admin = TestAdmin::start().await;
    let own = format!("http://{}", admin.address);
    let ask = admin
        .ask(Method::GET, "/v1/api_keys")
        .header("origin", &own);
    let answer = ask.further_header("origin", &own).send().await;
    assert_eq!(answer.status, 403);
}
