//! Which hands are shaken, and what is spoken then.

use std::process::Command;
use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rstest::rstest;
use rustls::CipherSuite;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::version::{TLS12, TLS13};
use tokio::task::JoinSet;

use super::{Tls, comes_through, last_call};
use crate::support::raw::{Ending, RawConnection};
use crate::support::stream::whole;
use crate::support::tls::TlsCaller;
use crate::support::{eventually, within};

#[rstest]
#[case::http1("--http1.1", "1.1")]
#[case::http2("--http2", "2")]
#[case::http1_over_tls12("--http1.1 --tls-max 1.2", "1.1")]
#[case::http2_over_tls13("--http2 --tlsv1.3", "2")]
#[tokio::test]
async fn curl_calls_through(#[case] flags: &str, #[case] version: &str) {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let authority = tls.folder.write("ca.crt", &tls.authority.certificate);
    let address = tls.keyward.addresses.proxy;
    let mut curl = Command::new("curl");
    curl.args(flags.split(' '))
        .args([
            "-sS",
            "--max-time",
            "10",
            "--noproxy",
            "*",
            "-w",
            " %{http_version} %{http_code}",
        ])
        .arg("--cacert")
        .arg(authority)
        .args(["-H", &format!("authorization: Bearer {}", key.text)])
        .args(["-d", "{}"])
        .arg(format!("https://{address}/models/m/predict"));
    let ran = tokio::task::spawn_blocking(move || curl.output().expect("curl is installed"));
    let ran = ran.await.expect("it does not panic");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.ends_with(&format!(" {version} 200")), "{said}{ran:?}");
    assert_eq!(tls.handshakes("full"), 1);
}

#[rstest]
#[case::both_take_tls12("1.2", &TLS12, true)]
#[case::both_take_tls13("1.2", &TLS13, true)]
#[case::an_old_one_is_too_old("1.3", &TLS12, false)]
#[case::a_new_one_is_new_enough("1.3", &TLS13, true)]
#[tokio::test]
async fn the_oldest_version_is_what_the_settings_say(
    #[case] min_version: &str,
    #[case] version: &'static rustls::SupportedProtocolVersion,
    #[case] comes: bool,
) {
    let tls = Tls::with(&format!("proxy.tls.min_version = \"{min_version}\"\n")).await;
    let key = tls.keyward.key().await;
    let config = Arc::new(tls.authority.trusted_over(version).with_no_client_auth());
    assert_eq!(comes_through(&tls.keyward, &config, &key).await, comes);
    tls.shaken("full", u64::from(comes)).await;
    tls.shaken("incompatible", u64::from(!comes)).await;
}

/// Whatever a caller puts first.
#[rstest]
#[case::tls13(&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256)]
#[case::tls12(&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)]
#[tokio::test]
async fn the_suite_is_the_one_that_costs_least(
    #[case] version: &'static rustls::SupportedProtocolVersion,
    #[case] expected: CipherSuite,
) {
    let tls = Tls::start().await;
    let config = Arc::new(tls.authority.trusted_over(version).with_no_client_auth());
    let first = config.crypto_provider().cipher_suites.first();
    assert_ne!(
        first.map(rustls::SupportedCipherSuite::suite),
        Some(expected)
    );
    let stream = tls.connect(&config).await.into_stream();
    let (_, session) = stream.get_ref();
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(expected));
}

/// The extensions of a greeting that name signatures and curves.
const EXTENSIONS: &[u8] = &[0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];

/// A greeting of TLS 1.1, which no library at hand says any more.
fn greeting_of_tls11(extensions: &[u8]) -> Vec<u8> {
    let ciphers = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 8]);
    hello.extend(ciphers);
    hello.extend([1, 0]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).expect("a short greeting");
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

// Fatal alerts, `handshake_failure` and `protocol_version` (RFC 8446, 6.2): what TLS 1.2 needs is missed first.
#[rstest]
#[case::as_it_was(&[], 40)]
#[case::with_what_tls12_needs(EXTENSIONS, 70)]
#[tokio::test]
async fn tls11_is_refused_with_an_alert(#[case] extensions: &[u8], #[case] alert: u8) {
    let tls = Tls::start().await;
    let mut caller = tls.keyward.raw().await;
    caller.write(greeting_of_tls11(extensions)).await;
    let (answer, ending) = caller.until_closed().await;
    assert_eq!(
        (&answer[..1], &answer[3..]),
        (&[21][..], &[0, 2, 2, alert][..])
    );
    assert_eq!(ending, Ending::Closed);
    tls.shaken("incompatible", 1).await;
}

#[tokio::test]
async fn alpn_leads_to_http2() {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let caller = tls.connect(&tls.caller(&["h2", "http/1.1"])).await;
    assert_eq!(caller.alpn().as_deref(), Some("h2"));
    let io = TokioIo::new(caller.into_stream());
    let shaken = within(
        "the preface is sent",
        http2::handshake(TokioExecutor::new(), io),
    )
    .await;
    let (mut sender, connection) = shaken.expect("settings are taken");
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    for _ in 0..3 {
        let request = Request::post("https://h/models/m/predict")
            .header("authorization", format!("Bearer {}", key.text))
            .body(whole("{}"));
        let request = request.expect("a request");
        let answer = within("an answer comes", sender.send_request(request)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        within("its body comes", answer.into_body().collect())
            .await
            .expect("a body");
    }
    assert_eq!(tls.handshakes("full"), 1);
}

#[rstest]
#[case::agreed_on(&["http/1.1"], Some("http/1.1"))]
#[case::not_spoken_of(&[], None)]
#[case::an_old_one(&["http/1.0"], Some("http/1.0"))]
#[tokio::test]
async fn without_http2_agreed_on_http1_is_spoken_and_nothing_else(
    #[case] offered: &[&str],
    #[case] agreed: Option<&str>,
) {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let config = tls.caller(offered);
    let mut caller = tls.connect(&config).await;
    assert_eq!(caller.alpn().as_deref(), agreed);
    let answer = caller
        .exchange(last_call(&key), "")
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // Prior knowledge is for connections on which nothing was agreed on.
    let mut caller = tls.connect(&config).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = caller.exchange(preface, "").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn where_http2_was_agreed_on_http1_is_not_understood() {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let mut caller = tls.connect(&tls.caller(&["h2"])).await;
    let answer = caller
        .exchange(last_call(&key), "")
        .await
        .unwrap_or_default();
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    assert_eq!(tls.keyward.upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_protocol_that_is_not_ours_is_refused() {
    let tls = Tls::start().await;
    let config = tls.caller(&["smtp"]);
    let refused = TlsCaller::connect(tls.keyward.addresses.proxy, &config).await;
    assert!(refused.is_err());
    tls.shaken("incompatible", 1).await;
}

#[tokio::test]
async fn framing_is_judged_inside_of_tls_too() {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let mut caller = tls.connect(&tls.caller(&["http/1.1"])).await;
    let request = format!(
        "POST /models/m/predict HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\ncontent-length: 5\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        key.text
    );
    let answer = caller.exchange(request, "").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(tls.keyward.counted.outcomes()["malformed_framing"], 1);
    assert_eq!(tls.keyward.upstream.requests().len(), 0);
}

#[rstest]
#[case::tickets_of_tls13(&TLS13, Tls12Resumption::SessionIdOrTickets)]
#[case::tickets_of_tls12(&TLS12, Tls12Resumption::SessionIdOrTickets)]
#[case::ids_of_tls12(&TLS12, Tls12Resumption::SessionIdOnly)]
#[tokio::test]
async fn a_session_is_resumed(
    #[case] version: &'static rustls::SupportedProtocolVersion,
    #[case] by: Tls12Resumption,
    #[values(true, false)] wanted: bool,
) {
    let settings = if wanted {
        ""
    } else {
        "proxy.tls.sessions = 0\n"
    };
    let tls = Tls::with(settings).await;
    let key = tls.keyward.key().await;
    let mut config = tls.authority.trusted_over(version).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8).tls12_resumption(by);
    let config = Arc::new(config);
    for is_resumed in [false, wanted, wanted] {
        let mut caller = tls.connect(&config).await;
        assert_eq!(caller.is_resumed(), is_resumed);
        let answer = caller
            .exchange(last_call(&key), "")
            .await
            .expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(tls.handshakes("resumed"), if wanted { 2 } else { 0 });
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let tls = Tls::with("proxy.tls.handshake_timeout = \"50ms\"\n").await;
    let greeting = greeting_of_tls11(EXTENSIONS);
    for said in [&b""[..], &greeting[..1], &greeting[..20]] {
        let mut caller = tls.keyward.raw().await;
        caller.write(said).await;
        let (answer, _) = caller.until_closed().await;
        assert_eq!(answer, b"", "{said:?}");
    }
    tls.shaken("timed_out", 3).await;
    assert_eq!(tls.keyward.counted.outcomes().len(), 0);
}

#[tokio::test]
async fn a_caller_that_says_nothing_and_leaves_is_counted() {
    let tls = Tls::start().await;
    drop(tls.keyward.raw().await);
    tls.shaken("closed", 1).await;
}

#[tokio::test]
async fn a_connection_takes_its_place_before_it_shakes_hands() {
    let tls = Tls::with("proxy.limits.connections = 1\n").await;
    let key = tls.keyward.key().await;
    let silent = tls.keyward.raw().await;
    eventually("it has its place", || {
        (tls.keyward.counted.connections() == 1).then_some(())
    })
    .await;
    let mut second = tls.keyward.raw().await;
    let (answer, _) = second.until_closed().await;
    // A fatal alert, `internal_error`.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 80]);
    drop(silent);
    let config = tls.caller(&[]);
    within("the place is given back", async {
        while !comes_through(&tls.keyward, &config, &key).await {}
    })
    .await;
}

#[rstest]
#[case::http1("GET / HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 400 ")]
#[case::http2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 ")]
#[case::something_else("\0\0\0\0 what", "")]
#[tokio::test]
async fn who_speaks_no_tls_is_told_so_and_closed(#[case] said: &str, #[case] answered: &str) {
    let tls = Tls::start().await;
    let mut caller: RawConnection = tls.keyward.raw().await;
    caller.write(said).await;
    let (answer, ending) = caller.until_closed().await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with(answered), "{answer}");
    assert_eq!(answer.is_empty(), answered.is_empty(), "{answer}");
    assert_eq!(ending, Ending::Closed);
    tls.shaken("not_tls", 1).await;
    assert_eq!(tls.keyward.upstream.connections(), 0);
}

#[tokio::test]
async fn an_upstream_is_told_that_the_caller_spoke_tls() {
    let tls = Tls::with("proxy.forwarded = \"replace\"\n").await;
    let key = tls.keyward.key().await;
    assert!(comes_through(&tls.keyward, &tls.caller(&[]), &key).await);
    let seen = tls.keyward.upstream.request(0).await;
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
}
