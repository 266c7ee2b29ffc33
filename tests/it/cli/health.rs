//! `health`, as a container asks it.

use rstest::rstest;

use super::shell::{Ran, Server, Shell};

#[rstest]
#[case("", Ran::new(0, "ready\n", ""))]
#[case("-o json", Ran::new(0, "{\n  \"ready\": true\n}\n", ""))]
#[case("-o none", Ran::new(0, "", ""))]
fn a_ready_server_is_told_with_zero(#[case] flags: &str, #[case] expected: Ran) {
    let server = Server::ok("ok\n");
    let ran = Shell::new().line(&format!("health --url {} {flags}", server.url));
    assert_eq!(ran, expected);
    assert_eq!(server.lines(), ["GET /readyz"]);
    assert!(
        !server.asked()[0]
            .head
            .to_ascii_lowercase()
            .contains("authorization")
    );
}

#[rstest]
#[case::draining(503, "draining\n", "not ready (HTTP 503): draining\n")]
#[case::some_other_server(404, "", "not ready (HTTP 404): \n")]
#[case::wants_a_key(401, "no", "not ready (HTTP 401): no\n")]
fn a_server_that_is_not_ready_is_told_with_one(
    #[case] status: u16,
    #[case] body: &str,
    #[case] error: &str,
) {
    let server = Server::always(status, body);
    let ran = Shell::new().line(&format!("health --url {}", server.url));
    assert_eq!(ran, Ran::new(1, "", error));
}

#[test]
fn the_address_comes_from_the_setting() {
    let server = Server::ok("");
    let address = server.url.replace("http://127.0.0.1", "0.0.0.0");
    let shell = Shell::new().with("KEYWARD_PROBES__LISTEN", &address);
    assert_eq!(shell.line("health"), Ran::new(0, "ready\n", ""));
}

#[test]
fn a_server_that_is_silent_is_not_ready() {
    let server = Server::new(|_| Vec::new());
    let ran = Shell::new().line(&format!("health --url {} --timeout 200ms", server.url));
    let error = format!(
        "not ready: no answer from {}/readyz within 200ms\n",
        server.url
    );
    assert_eq!(ran, Ran::new(1, "", &error));
}

#[test]
fn a_server_that_is_not_there_is_not_ready() {
    let ran = Shell::new().line("health --url http://127.0.0.1:1");
    let error =
        "not ready: cannot reach http://127.0.0.1:1/readyz: Connection refused (os error 111)\n";
    assert_eq!(ran, Ran::new(1, "", error));
}
