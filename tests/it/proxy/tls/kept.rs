//! Connections to upstreams under TLS: kept, and how they end.

use std::sync::Arc;

use rstest::rstest;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::keyward::{TestKeyward, post};
use crate::support::tls::{Authority, Folder, TlsSide, serving};
use crate::support::upstream::{Answer, FakeUpstream};

/// An authority's server's side, and a folder with its certificate.
fn side() -> (ServerConfig, Folder) {
    let authority = Authority::called("authority of models");
    let folder = Folder::with(&authority.caller());
    folder.write("ca.crt", &authority.certificate);
    (serving(&authority.server()), folder)
}

/// Settings that lead to this port, with the authority trusted.
fn settings(folder: &Folder, port: u16) -> String {
    let ca = folder.path("ca.crt");
    format!(
        "upstreams.default.tls.ca = \"{}\"\nupstreams.default.url = \"https://localhost:{port}\"\n",
        ca.display()
    )
}

#[tokio::test]
async fn a_connection_under_tls_is_used_again() {
    let (config, folder) = side();
    let model = FakeUpstream::start();
    let side = TlsSide::before(model.address(), config).await;
    let keyward = TestKeyward::with(&settings(&folder, side.address.port())).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let large = "0123456789abcdef".repeat(300_000);
    for number in 0..10 {
        let answer = caller
            .call(post("/models/m/predict", &key, &number.to_string()))
            .await;
        assert_eq!(answer.json()["body"], number.to_string());
    }
    model.next(Answer::new(200, large.clone()));
    let answer = caller.call(post("/models/m/predict", &key, &large)).await;
    assert!(
        answer.body.bytes == large.as_bytes(),
        "the answer arrives changed"
    );
    let seen = model.request(10).await;
    assert!(
        seen.body() == large.as_bytes(),
        "the upload arrives changed"
    );
    assert_eq!(keyward.call(&key, "m").await.status(), 200);
    assert_eq!(side.shaken().len(), 1);
    assert_eq!(model.connections(), 1);
}

/// Only TLS's own end is the end of a body that nothing else ends: anybody on the way can end a connection
/// (RFC 8446, 6.1).
#[rstest]
#[case::it_says_goodbye(true)]
#[case::it_does_not(false)]
#[tokio::test]
async fn a_body_ends_with_its_connection_if_that_says_so(#[case] says_goodbye: bool) {
    let (config, folder) = side();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\npart")
            .await
            .unwrap();
        stream.flush().await.unwrap();
        if says_goodbye {
            stream.shutdown().await.unwrap();
        }
    };
    let keyward = TestKeyward::with(&settings(&folder, port)).await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    let (answer, ()) = tokio::join!(
        caller.call(post("/models/m/predict", &key, "{}")),
        answering
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "part"));
    assert_eq!(answer.body.is_complete, says_goodbye);
}
