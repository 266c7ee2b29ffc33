//! Callers that show certificates: which are let in, and which are not.

use std::sync::Arc;

use rstest::rstest;
use rustls::ClientConfig;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::{Tls, comes_through};
use crate::support::tls::{Authority, Folder, Issued};

/// What a caller shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// A certificate of the authority that is let in.
    Good,
    /// One of an authority of the same name: the issuer is right, and the signature is not.
    Forged,
    /// One of an authority that nobody here knows.
    OfAnother,
    /// A good one that has ended.
    Ended,
    /// One that is for servers.
    OfAServer,
}

/// A keyward that asks callers for certificates of `callers`.
async fn asking(callers: &Authority, how: &str) -> Tls {
    let authority = Authority::called("authority of servers");
    let folder = Folder::with(&authority.server());
    folder.write("callers.crt", &callers.certificate);
    let settings = format!(
        "proxy.tls.client_certificates = \"{how}\"\nproxy.tls.client_ca = \"{{folder}}/callers.crt\"\n"
    );
    Tls::over(authority, folder, &settings).await
}

fn showing(
    tls: &Tls,
    version: &'static SupportedProtocolVersion,
    issued: Option<&Issued>,
) -> Arc<ClientConfig> {
    let builder = tls.authority.trusted_over(version);
    Arc::new(match issued {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let shown = builder.with_client_auth_cert(issued.chain(), issued.private_key());
            shown.expect("a pair of ours")
        }
    })
}

#[rstest]
#[case::nothing(Shows::Nothing, "no_certificate")]
#[case::good(Shows::Good, "full")]
#[case::forged(Shows::Forged, "bad_certificate")]
#[case::of_another(Shows::OfAnother, "bad_certificate")]
#[case::ended(Shows::Ended, "bad_certificate")]
#[case::of_a_server(Shows::OfAServer, "bad_certificate")]
#[tokio::test]
async fn a_certificate_is_judged(
    #[case] shows: Shows,
    #[case] result: &str,
    #[values("required", "optional")] how: &str,
    #[values(&TLS12, &TLS13)] version: &'static SupportedProtocolVersion,
) {
    let callers = Authority::called("authority of callers");
    let tls = asking(&callers, how).await;
    let key = tls.keyward.key().await;
    let issued = match shows {
        Shows::Nothing => None,
        Shows::Good => Some(callers.caller()),
        Shows::Forged => Some(Authority::called("authority of callers").caller()),
        Shows::OfAnother => Some(Authority::called("somebody else").caller()),
        Shows::Ended => Some(callers.caller_until(2001)),
        Shows::OfAServer => Some(callers.server()),
    };
    let result = match (shows, how) {
        (Shows::Nothing, "optional") => "full",
        _ => result,
    };
    let config = showing(&tls, version, issued.as_ref());
    let comes = comes_through(&tls.keyward, &config, &key).await;
    assert_eq!(comes, result == "full");
    tls.shaken(result, 1).await;
    assert_eq!(tls.keyward.counted.handshakes().len(), 1);
    assert_eq!(tls.keyward.upstream.requests().len(), usize::from(comes));
}

#[tokio::test]
async fn a_certificate_is_no_key() {
    let callers = Authority::called("authority of callers");
    let tls = asking(&callers, "required").await;
    let mut caller = tls
        .connect(&showing(&tls, &TLS13, Some(&callers.caller())))
        .await;
    let request = "POST /models/m/predict HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let answer = caller.exchange(request, "").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[rstest]
#[tokio::test]
async fn who_has_shown_a_certificate_resumes(
    #[values(&TLS12, &TLS13)] version: &'static SupportedProtocolVersion,
) {
    let callers = Authority::called("authority of callers");
    let tls = asking(&callers, "required").await;
    let key = tls.keyward.key().await;
    let config = showing(&tls, version, Some(&callers.caller()));
    for _ in 0..2 {
        assert!(comes_through(&tls.keyward, &config, &key).await);
    }
    assert_eq!(tls.handshakes("resumed"), 1);
}
