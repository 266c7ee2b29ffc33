//! Upstreams that speak TLS: who is trusted, what is shown, and what a caller and the log are told when it fails.

use rstest::rstest;
use rustix::process::Signal;

use crate::support::eventually;
use crate::support::keyward::{KeywardProcess, TestKeyward};
use crate::support::tls::{Authority, Folder, Issued, TlsSide, serving, serving_only};
use crate::support::upstream::FakeUpstream;
use crate::support::within;

/// No connection is kept, so that each call shakes hands.
const FRESH: &str = "upstreams.default.limits.pool_idle_connections = 0\n";

/// A model server behind TLS, whoever issued its certificate, and a folder for keyward's files, `ca.crt` among them.
struct Behind {
    model: FakeUpstream,
    side: TlsSide,
    authority: Authority,
    folder: Folder,
}

impl Behind {
    async fn showing(issue: impl FnOnce(&Authority) -> Issued) -> Self {
        let authority = Authority::called("authority of models");
        let config = serving(&issue(&authority));
        Self::with(authority, config).await
    }

    async fn with(authority: Authority, mut config: rustls::ServerConfig) -> Self {
        let model = FakeUpstream::start();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let side = TlsSide::before(model.address(), config).await;
        let folder = Folder::with(&Authority::called("nobody").caller());
        folder.write("ca.crt", &authority.certificate);
        Self {
            model,
            side,
            authority,
            folder,
        }
    }

    /// Settings that lead there by `host`, with its authority trusted.
    fn settings(&self, host: &str) -> String {
        let ca = self.folder.path("ca.crt");
        let ca = format!("upstreams.default.tls.ca = \"{}\"\n", ca.display());
        format!("{}{ca}", self.settings_without_ca(host))
    }

    fn settings_without_ca(&self, host: &str) -> String {
        let port = self.side.address.port();
        format!("{FRESH}upstreams.default.url = \"https://{host}:{port}\"\n")
    }
}

/// The status of a call, with a key of its own.
async fn call(keyward: &TestKeyward) -> u16 {
    let key = keyward.key().await;
    keyward.call(&key, "m").await.status()
}

#[rstest]
#[case::by_address("127.0.0.1", None)]
#[case::by_name("localhost", Some("localhost"))]
#[tokio::test]
async fn an_upstream_that_shows_what_it_must_is_called(
    #[case] host: &str,
    #[case] name: Option<&str>,
) {
    let behind = Behind::showing(Authority::server).await;
    let keyward = TestKeyward::with(&behind.settings(host)).await;
    assert_eq!(call(&keyward).await, 200);
    let shaken = behind.side.shaken();
    assert_eq!(shaken[0].name.as_deref(), name);
    assert_eq!(shaken[0].alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(shaken[0].certificate, None);
    assert_eq!(behind.model.requests().len(), 1);
}

/// What an upstream shows that it must not.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Name,
    Authority,
    NoListedAuthority,
    Ended,
    Purpose,
    NoTls,
}

#[rstest]
#[case::name(Wrong::Name, "certificate not valid for name \\\"127.0.0.1\\\"")]
#[case::authority(Wrong::Authority, "invalid peer certificate: BadSignature")]
#[case::no_listed_authority(Wrong::NoListedAuthority, "invalid peer certificate: UnknownIssuer")]
#[case::ended(Wrong::Ended, "invalid peer certificate: certificate expired")]
#[case::purpose(Wrong::Purpose, "invalid peer certificate: ")]
#[case::no_tls(Wrong::NoTls, "received corrupt message of type InvalidContentType")]
#[tokio::test]
async fn an_upstream_that_does_not_is_not_called(#[case] wrong: Wrong, #[case] why: &str) {
    let behind = Behind::showing(|authority| match wrong {
        Wrong::Name => authority.server_called(&["another.example.com"]),
        Wrong::Authority => Authority::called("authority of models").server(),
        Wrong::NoListedAuthority | Wrong::NoTls => authority.server(),
        Wrong::Ended => authority.server_until(2001),
        Wrong::Purpose => authority.caller_called(&["localhost", "127.0.0.1"]),
    })
    .await;
    let settings = match wrong {
        Wrong::NoListedAuthority => behind.settings_without_ca("127.0.0.1"),
        Wrong::NoTls => {
            let address = behind.model.address();
            format!("{FRESH}upstreams.default.url = \"https://{address}\"\n")
        }
        _ => behind.settings("127.0.0.1"),
    };
    let keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    for _ in 0..3 {
        let answer = keyward.call(&key, "m").await;
        assert_eq!(answer.status(), 502);
        // In the form of the route's callers, and no word of whose certificate.
        let answer = answer.json();
        assert_eq!(answer["error_code"], "upstream_unavailable");
        assert_eq!(answer["error"], "upstream unavailable");
    }
    let errors = "keyward_upstream_errors_total{upstream=\"default\",reason=\"tls\"}";
    assert!((keyward.metric(errors).await - 3.0).abs() < 1e-9);
    let said = keyward.said();
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("an upstream cannot be called"))
        .collect();
    assert_eq!(lines.len(), 1, "said once, not for every call: {said}");
    assert!(lines[0].contains(why), "{}", lines[0]);
    assert!(
        lines[0].contains("\"upstream\":\"default\""),
        "{}",
        lines[0]
    );
    assert_eq!(behind.model.requests().len(), 0);
}

#[rstest]
#[case::it_has("models.internal", 200)]
#[case::it_has_not("other.internal", 502)]
#[tokio::test]
async fn another_name_than_the_urls_may_be_asked_for(#[case] name: &str, #[case] status: u16) {
    let behind = Behind::showing(|authority| authority.server_called(&["models.internal"])).await;
    let settings = behind.settings("127.0.0.1");
    let settings = format!("{settings}upstreams.default.tls.server_name = \"{name}\"\n");
    let keyward = TestKeyward::with(&settings).await;
    assert_eq!(call(&keyward).await, status);
    let shaken = behind.side.shaken();
    let names: Vec<_> = shaken.iter().map(|shaken| shaken.name.as_deref()).collect();
    assert_eq!(
        names,
        if status == 200 {
            vec![Some(name)]
        } else {
            vec![]
        }
    );
}

#[rstest]
#[case::it_is_shown(true, 200)]
#[case::it_is_missing(false, 502)]
#[tokio::test]
async fn an_upstream_may_want_a_certificate_of_ours(#[case] is_shown: bool, #[case] status: u16) {
    let (authority, callers) = (Authority::called("models"), Authority::called("callers"));
    let config = serving_only(&authority.server(), &callers);
    let behind = Behind::with(authority, config).await;
    let ours = callers.caller();
    ours.write(&behind.folder.path(""));
    let mut settings = behind.settings("localhost");
    if is_shown {
        settings += &behind.folder.settings("upstreams.default.tls");
    }
    let keyward = TestKeyward::with(&settings).await;
    assert_eq!(call(&keyward).await, status);
    if is_shown {
        let shown = behind.side.shaken()[0].certificate.clone();
        assert_eq!(shown, ours.chain().first().cloned());
        let end = "keyward_tls_certificate_expiry_seconds{certificate=\"upstreams.default.tls\"}";
        assert!(keyward.metric(end).await > 4e9);
    } else {
        assert_eq!(
            keyward.counted.upstream_errors(),
            [("tls".to_owned(), 1)].into()
        );
    }
}

#[tokio::test]
async fn what_we_show_and_whom_we_trust_are_read_again_when_they_change() {
    let (authority, callers) = (Authority::called("models"), Authority::called("callers"));
    let config = serving_only(&authority.server(), &callers);
    let behind = Behind::with(authority, config).await;
    let (old, new) = (callers.caller(), callers.caller());
    old.write(&behind.folder.path(""));
    let settings = format!(
        "{}{}server.certificates_every = \"5ms\"\n",
        behind.settings("localhost"),
        behind.folder.settings("upstreams.default.tls")
    );
    let keyward = TestKeyward::with(&settings).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    new.write(&behind.folder.path(""));
    within("the new certificate is shown", async {
        loop {
            assert_eq!(keyward.call(&key, "m").await.status(), 200);
            let shaken = behind.side.shaken();
            let shown = shaken.last().and_then(|last| last.certificate.clone());
            if shown == new.chain().first().cloned() {
                break;
            }
        }
    })
    .await;

    // Nobody is trusted any more who was before, and then they are again.
    let other = Authority::called("other models");
    behind.folder.write("ca.crt", &other.certificate);
    within("the other authority counts", async {
        while keyward.call(&key, "m").await.status() != 502 {}
    })
    .await;
    behind.folder.write("ca.crt", &behind.authority.certificate);
    within("the first authority counts again", async {
        while keyward.call(&key, "m").await.status() != 200 {}
    })
    .await;
}

#[tokio::test]
async fn other_settings_of_tls_count_when_they_are_read_again() {
    let behind = Behind::showing(Authority::server).await;
    let keyward = KeywardProcess::start(&behind.settings_without_ca("localhost")).await;
    let key = keyward.key().await;
    assert_eq!(keyward.call(&key, "m").await.status(), 502);
    let wrong = behind
        .settings("localhost")
        .replace("ca.crt", "nowhere.crt");
    for (settings, said, status) in [
        (wrong, "settings are wrong; the old ones stay", 502),
        (behind.settings("localhost"), "settings read again", 200),
    ] {
        keyward.write_settings(&settings);
        keyward.signal(Signal::HUP);
        eventually(said, || keyward.said().contains(said).then_some(())).await;
        within("they count", async {
            while keyward.call(&key, "m").await.status() != status {}
        })
        .await;
    }
    assert!(
        keyward
            .said()
            .contains("upstreams.default.tls.ca: cannot read the file")
    );
}
