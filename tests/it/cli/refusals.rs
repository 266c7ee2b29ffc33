//! Every way in which an admin listener can fail to answer, and the exit code of each.

use std::io::Write as _;
use std::net::TcpListener;

use rstest::rstest;

use super::shell::{Ran, Server, Shell, read_request, response};

const LIST: &str = "org api-key list";

#[rstest]
#[case(400, 5)]
#[case(401, 3)]
#[case(403, 3)]
#[case(404, 4)]
#[case(409, 5)]
#[case(413, 5)]
#[case(429, 5)]
#[case(500, 6)]
#[case(502, 6)]
#[case(503, 6)]
#[case(302, 1)]
#[case(204, 1)]
#[case(201, 1)]
fn a_status_has_its_exit_code_and_the_body_is_told(#[case] status: u16, #[case] code: i32) {
    let body = r#"{"code":"X","message":"why"}"#;
    let told = if status == 204 { "" } else { body };
    let server = Server::always(status, told);
    let ran = Shell::at(&server).line(LIST);
    let error = format!("listing API keys: keyward API error (HTTP {status}): {told}\n");
    assert_eq!(ran, Ran::new(code, "", &error));
}

#[rstest]
#[case("org api-key list", "listing API keys")]
#[case("org api-key create --type personal", "creating API key")]
#[case("org api-key create --type personal --team x", "list teams")]
#[case("org api-key delete --prefix kw_1", "deleting API key")]
#[case("org api-key delete --name one", "listing API keys")]
#[case("org team list", "list teams")]
#[case("org team create --name x", "creating team")]
fn an_error_says_what_was_being_done(#[case] line: &str, #[case] doing: &str) {
    let server = Server::always(403, "no");
    for flags in ["", " -o json", " -o none", " -q ."] {
        let ran = Shell::at(&server).line(&format!("{line}{flags}"));
        let error = format!("{doing}: keyward API error (HTTP 403): no\n");
        assert_eq!(ran, Ran::new(3, "", &error));
    }
}

#[test]
fn nobody_listening_is_told_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let shell = Shell::new()
        .with("KEYWARD_URL", &url)
        .with("KEYWARD_API_KEY", "k");
    let error = format!(
        "listing API keys: cannot reach {url}/v1/api_keys?limit=1000: Connection refused (os error 111)\n"
    );
    assert_eq!(shell.line(LIST), Ran::new(1, "", &error));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::new(|_| Vec::new());
    let ran = Shell::at(&server).line(&format!("{LIST} --timeout 300ms"));
    let url = &server.url;
    let error =
        format!("listing API keys: no answer from {url}/v1/api_keys?limit=1000 within 300ms\n");
    assert_eq!(ran, Ran::new(1, "", &error));
}

#[test]
fn a_server_that_answers_drop_by_drop_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{\"keys\":[";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        read_request(&stream);
        let _ = stream.write_all(head);
        while stream.write_all(b" ").is_ok() {
            std::thread::yield_now();
        }
    });
    let shell = Shell::new()
        .with("KEYWARD_URL", &url)
        .with("KEYWARD_API_KEY", "k");
    let ran = shell.line(&format!("{LIST} --timeout 1s"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
}

#[rstest]
#[case::html("<html>")]
#[case::empty("")]
#[case::other_shape(r#"{"items":[]}"#)]
#[case::cut(r#"{"keys":[{"prefix":"kw"#)]
#[case::wrong_type(r#"{"keys":[{"prefix":1,"type":"PERSONAL"}]}"#)]
fn an_answer_that_is_none_of_ours_is_told_without_its_contents(#[case] body: &str) {
    let server = Server::ok(body);
    let ran = Shell::at(&server).line(LIST);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    let beginning = format!(
        "listing API keys: the answer of {}/v1/api_keys?limit=1000 is not what keyward answers (line ",
        server.url
    );
    assert!(ran.err.starts_with(&beginning), "{ran}");
}

#[test]
fn a_key_in_an_answer_of_the_wrong_shape_is_not_told() {
    let server = Server::ok(r#""kw_canary.secret""#);
    let ran = Shell::at(&server).line("org api-key create --type personal -v");
    assert_eq!(ran.code, Some(1));
    assert!(!ran.to_string().contains("canary"), "{ran}");
}

#[test]
fn an_answer_cut_short_is_told() {
    let server =
        Server::new(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":[".to_vec());
    let ran = Shell::at(&server).line(LIST);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("broke off its answer"), "{ran}");
}

#[test]
fn an_answer_without_end_is_cut() {
    let endless = |status: u16| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            read_request(&stream);
            let _ = write!(stream, "HTTP/1.1 {status} Status\r\n\r\n");
            let block = vec![b'x'; 65536];
            while stream.write_all(&block).is_ok() {}
        });
        let shell = Shell::new()
            .with("KEYWARD_URL", &url)
            .with("KEYWARD_API_KEY", "k");
        shell.line(LIST)
    };
    let ran = endless(200);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains("is longer than 67108864 bytes"), "{ran}");
    let ran = endless(500);
    assert_eq!((ran.code, ran.out.as_str()), (Some(6), ""));
    assert!(ran.err.ends_with("xxx…\n") && ran.err.len() < 17_000);
}

#[test]
fn a_refusal_cannot_move_the_cursor() {
    let server = Server::always(500, "\u{1b}[2J\u{9b}1m\u{7}boom\n");
    let ran = Shell::at(&server).line(LIST);
    let error = "listing API keys: keyward API error (HTTP 500): \\u{1b}[2J\\u{9b}1m\\u{7}boom\n";
    assert_eq!(ran, Ran::new(6, "", error));
}

#[test]
fn a_redirection_takes_the_key_nowhere() {
    let elsewhere = Server::ok(r#"{"keys":[]}"#);
    let location = elsewhere.url.clone();
    let server = Server::new(move |_| {
        format!(
            "HTTP/1.1 307 Moved\r\nLocation: {location}/v1/api_keys\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    });
    let ran = Shell::at(&server).line(LIST);
    assert_eq!(
        ran,
        Ran::new(1, "", "listing API keys: keyward API error (HTTP 307): \n")
    );
    assert_eq!(elsewhere.lines(), [""; 0]);
}

#[test]
fn a_plain_server_is_not_taken_for_one_with_tls() {
    let server = Server::new(|_| response(200, "{}"));
    let url = server.url.replace("http:", "https:");
    let shell = Shell::new()
        .with("KEYWARD_URL", &url)
        .with("KEYWARD_API_KEY", "k");
    let ran = shell.line(&format!("{LIST} --timeout 5s"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran}");
}

#[test]
fn verbose_tells_what_is_asked_and_no_secret() {
    let server = Server::ok(r#"{"api_key":"kw_new.secret"}"#);
    let shell = Shell::at(&server).with("KEYWARD_API_KEY", "kw_canary");
    let ran = shell.line("-v org api-key create --type personal");
    let url = &server.url;
    let beginning =
        format!("using KEYWARD_API_KEY at {url}\n> POST {url}/v1/api_keys\n< 200 OK, 27 bytes in ");
    assert!(ran.err.starts_with(&beginning), "{ran}");
    assert!(
        !ran.err.contains("kw_canary") && !ran.err.contains("kw_new"),
        "{ran}"
    );
    assert_eq!(ran.out, "kw_new.secret\n");
}
