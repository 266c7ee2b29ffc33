//! Files that change while connections are there: what fits is taken, what does not is told, and nobody is cut off.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rstest::rstest;
use rustix::process::Signal;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use super::{Tls, call, comes_through};
use crate::support::keyward::{Doors, KeywardProcess};
use crate::support::tls::{Authority, Folder, Issued, TlsCaller};
use crate::support::upstream::Answer;
use crate::support::{eventually, within};

const SOON: &str = "server.certificates_every = \"5ms\"\n";
/// Only when told.
const NEVER: &str = "server.certificates_every = \"24h\"\n";

/// A caller that asks for the certificate each time.
fn asking(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = authority.trusted().with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Whether `issued` is what a new connection is shown.
async fn shows(doors: &Doors, authority: &Authority, issued: &Issued) -> bool {
    let caller = TlsCaller::connect(doors.addresses.proxy, &asking(authority)).await;
    caller.expect("a certificate that fits").shown() == issued.chain()[0]
}

async fn until_shown(doors: &Doors, authority: &Authority, issued: &Issued) {
    within("the new certificate is shown", async {
        while !shows(doors, authority, issued).await {}
    })
    .await;
}

impl Tls {
    fn reloads(&self, result: &str) -> u64 {
        let reloads = self.keyward.counted.reloads();
        reloads.get(result).copied().unwrap_or_default()
    }

    async fn until_reloaded(&self, result: &str, count: u64) {
        let what = format!("{count} times files are {result}");
        eventually(&what, || (self.reloads(result) == count).then_some(())).await;
    }
}

/// Lays `issued` below `folder` as Kubernetes lays a Secret: links to a link to a folder, which alone is swapped.
fn lay(folder: &Path, version: &str, issued: &Issued) {
    issued.write(&folder.join(version));
    let (data, new) = (folder.join("..data"), folder.join("..data_tmp"));
    symlink(version, &new).expect("a folder of ours");
    fs::rename(new, data).expect("a folder of ours");
}

#[tokio::test]
async fn a_swapped_link_is_followed_while_a_connection_is_open() {
    let authority = Authority::called("authority");
    let (old, new) = (authority.server(), authority.server_until(2051));
    let folder = Folder::with(&old);
    lay(&folder.path(""), "..2026_1", &old);
    for name in ["tls.crt", "tls.key"] {
        fs::remove_file(folder.path(name)).expect("it is there");
        symlink(format!("..data/{name}"), folder.path(name)).expect("a folder of ours");
    }
    let tls = Tls::over(authority, folder, SOON).await;
    let key = tls.keyward.key().await;
    let answer = Answer::new(200, "the end");
    tls.keyward.upstream.on("/models/m/predict", answer);
    let mut open = tls.connect(&asking(&tls.authority)).await;
    let called = open.exchange(call(&key), "the end").await;
    assert!(called.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert!(shows(&tls.keyward, &tls.authority, &old).await);

    lay(&tls.folder.path(""), "..2026_2", &new);
    until_shown(&tls.keyward, &tls.authority, &new).await;
    let called = open.exchange(call(&key), "the end").await;
    assert!(called.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert_eq!(open.shown(), old.chain()[0]);
    tls.until_reloaded("taken", 1).await;
    assert_eq!(tls.reloads("kept"), 0);
}

#[tokio::test]
async fn files_that_are_written_over_are_taken_too() {
    let tls = Tls::with(SOON).await;
    let new = tls.authority.server();
    new.write(&tls.folder.path(""));
    until_shown(&tls.keyward, &tls.authority, &new).await;
}

#[tokio::test]
async fn the_end_of_the_certificate_in_force_is_a_metric() {
    const END: &str = "keyward_tls_certificate_expiry_seconds{certificate=\"proxy.tls\"}";
    let authority = Authority::called("authority");
    let folder = Folder::with(&authority.server_until(2050));
    let tls = Tls::over(authority, folder, SOON).await;
    // Midnight of the first of January.
    let ends = tls.keyward.metric(END).await;
    assert!((ends - 2_524_608_000.0).abs() < 1e-9, "{ends}");
    let new = tls.authority.server_until(2049);
    new.write(&tls.folder.path(""));
    until_shown(&tls.keyward, &tls.authority, &new).await;
    tls.until_reloaded("taken", 1).await;
    let ends = tls.keyward.metric(END).await;
    assert!((ends - 2_493_072_000.0).abs() < 1e-9, "{ends}");
}

/// What has become of the files.
#[derive(Debug, Clone, Copy)]
enum Torn {
    Certificate,
    Key,
    KeyOfAnother,
    KeyIsMissing,
    CertificateIsEmpty,
    Swapped,
}

fn tear(folder: &Folder, new: &Issued, torn: Torn) {
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let (certificate, key) = match torn {
        Torn::Certificate => (half(&new.certificate), new.key.clone()),
        Torn::Key => (new.certificate.clone(), half(&new.key)),
        // The certificate alone is new.
        Torn::KeyOfAnother => (new.certificate.clone(), String::new()),
        Torn::KeyIsMissing => (new.certificate.clone(), new.key.clone()),
        Torn::CertificateIsEmpty => (String::new(), new.key.clone()),
        Torn::Swapped => (new.key.clone(), new.certificate.clone()),
    };
    if !matches!(torn, Torn::KeyOfAnother) {
        folder.write("tls.key", &key);
    }
    if matches!(torn, Torn::KeyIsMissing) {
        fs::remove_file(folder.path("tls.key")).expect("it is there");
    }
    folder.write("tls.crt", &certificate);
}

#[rstest]
#[case::certificate(Torn::Certificate, "tls.crt` is no whole PEM")]
#[case::key(Torn::Key, "tls.key` is no whole PEM")]
#[case::key_of_another(Torn::KeyOfAnother, "is not that of the certificate in")]
#[case::key_is_missing(Torn::KeyIsMissing, "cannot read the file")]
#[case::certificate_is_empty(Torn::CertificateIsEmpty, "tls.crt` holds no certificate")]
#[case::swapped(Torn::Swapped, "tls.crt` holds no certificate")]
#[tokio::test]
async fn a_pair_that_does_not_fit_is_told_and_the_old_one_stays(
    #[case] torn: Torn,
    #[case] told: &str,
) {
    let authority = Authority::called("authority");
    let (old, new) = (authority.server(), authority.server());
    let folder = Folder::with(&old);
    let settings = format!("{NEVER}{}", folder.settings("proxy.tls"));
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    tear(&folder, &new, torn);
    for looks in 1..=2 {
        keyward.signal(Signal::HUP);
        eventually("the log says why", || {
            let said = keyward.said();
            let lines = said.lines().filter(|line| {
                line.contains("certificates have changed and cannot be used") && line.contains(told)
            });
            (lines.count() == looks).then_some(())
        })
        .await;
        assert!(shows(&keyward, &authority, &old).await);
        assert!(comes_through(&keyward, &asking(&authority), &key).await);
    }
    let kept = "keyward_tls_reloads_total{certificate=\"proxy.tls\",result=\"kept\"}";
    assert!((keyward.metric(kept).await - 2.0).abs() < 1e-9);

    new.write(&folder.path(""));
    assert!(shows(&keyward, &authority, &old).await);
    keyward.signal(Signal::HUP);
    until_shown(&keyward, &authority, &new).await;
    let said = keyward.said();
    for issued in [&old, &new] {
        for line in issued.key.lines().chain(issued.certificate.lines()) {
            assert!(line.len() < 12 || !said.contains(line), "{line} in {said}");
        }
    }
}

#[tokio::test]
async fn a_pair_that_does_not_fit_is_told_once() {
    let tls = Tls::with(SOON).await;
    tear(&tls.folder, &tls.authority.server(), Torn::KeyOfAnother);
    tls.until_reloaded("kept", 1).await;
    // Looks go on: they take the next pair.
    let new = tls.authority.server();
    tls.folder.write("tls.crt", &new.certificate);
    tls.until_reloaded("kept", 2).await;
    tls.folder.write("tls.key", &new.key);
    until_shown(&tls.keyward, &tls.authority, &new).await;
    assert_eq!(tls.reloads("kept"), 2);
}

#[tokio::test]
async fn a_start_with_a_pair_that_does_not_fit_says_where() {
    let authority = Authority::called("authority");
    let folder = Folder::with(&authority.server());
    folder.write("tls.key", &authority.server().key);
    let file = folder.write(
        "keyward.toml",
        &format!(
            "upstreams.default.url = \"http://127.0.0.1:1\"\n{}",
            folder.settings("proxy.tls")
        ),
    );
    let run = |command: &str| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(command.split(' '))
            .arg("--config")
            .arg(&file)
            .env_clear()
            .output()
            .expect("the binary runs");
        (
            ran.status.code(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    };
    for command in ["serve", "config check"] {
        let (code, said) = run(command);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("proxy.tls.key: the key in `"), "{said}");
    }
}

/// Whoever resumes is not asked for a certificate; so a change of who may come must reach sessions, too.
#[rstest]
#[tokio::test]
async fn other_authorities_of_callers_let_nobody_in_by_an_old_session(
    #[values(&TLS12, &TLS13)] version: &'static SupportedProtocolVersion,
) {
    let authority = Authority::called("authority");
    let callers = [Authority::called("callers"), Authority::called("others")];
    let folder = Folder::with(&authority.server());
    folder.write("callers.crt", &callers[0].certificate);
    let settings = format!(
        "{SOON}proxy.tls.client_certificates = \"required\"\nproxy.tls.client_ca = \"{{folder}}/callers.crt\"\n"
    );
    let tls = Tls::over(authority, folder, &settings).await;
    let key = tls.keyward.key().await;
    let [old, other] = callers.each_ref().map(|callers| {
        let issued = callers.caller();
        let config = tls.authority.trusted_over(version);
        let config = config.with_client_auth_cert(issued.chain(), issued.private_key());
        Arc::new(config.expect("a pair of ours"))
    });
    for _ in 0..2 {
        assert!(comes_through(&tls.keyward, &old, &key).await);
    }
    assert!(!comes_through(&tls.keyward, &other, &key).await);
    assert_eq!(tls.handshakes("resumed"), 1);

    tls.folder.write("callers.crt", &callers[1].certificate);
    tls.until_reloaded("taken", 1).await;
    assert!(!comes_through(&tls.keyward, &old, &key).await);
    assert!(comes_through(&tls.keyward, &other, &key).await);
    assert_eq!(tls.handshakes("resumed"), 1);
}

#[tokio::test]
async fn another_certificate_ends_no_session() {
    let tls = Tls::with(SOON).await;
    let key = tls.keyward.key().await;
    let config = tls.caller(&[]);
    assert!(comes_through(&tls.keyward, &config, &key).await);
    tls.authority.server().write(&tls.folder.path(""));
    tls.until_reloaded("taken", 1).await;
    assert!(comes_through(&tls.keyward, &config, &key).await);
    assert_eq!(tls.handshakes("resumed"), 1);
}

#[tokio::test]
async fn handshakes_that_fail_fill_no_log() {
    let authority = Authority::called("authority");
    let folder = Folder::with(&authority.server());
    let keyward = KeywardProcess::start(&folder.settings("proxy.tls")).await;
    eventually("the start is told", || {
        (keyward.said().matches("\"listening\"").count() == 3).then_some(())
    })
    .await;
    let before = keyward.said();
    let stranger = asking(&Authority::called("authority"));
    for _ in 0..10 {
        let mut plain = keyward.raw().await;
        plain.write("GET / HTTP/1.1\r\n\r\n").await;
        plain.until_closed().await;
        let refused = TlsCaller::connect(keyward.addresses.proxy, &stranger).await;
        assert!(refused.is_err());
    }
    let rejected = "keyward_tls_handshakes_total{result=\"rejected\"}";
    within("all are counted", async {
        while keyward.metric(rejected).await < 10.0 {}
    })
    .await;
    assert_eq!(keyward.said(), before);
}
