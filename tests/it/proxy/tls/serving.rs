//! What is served inside of TLS passes as it does in the open, and ends as it does.

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Tls, call, comes_through, last_call};
use crate::support::keyward::KeywardProcess;
use crate::support::stream::Stream;
use crate::support::tls::{Authority, Folder, TlsCaller};
use crate::support::upstream::Answer;
use crate::support::{eventually, within};

#[tokio::test]
async fn each_event_comes_before_the_next_is_sent() {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let stream = Stream::new();
    tls.keyward.upstream.next(Answer::events(&stream));
    let mut caller = tls.connect(&tls.caller(&["http/1.1"])).await;
    let head = caller.exchange(call(&key), "\r\n\r\n").await;
    assert!(head.is_ok_and(|head| head.starts_with("HTTP/1.1 200 ")));
    for number in 0..50 {
        let event = format!("data: {number}\n\n");
        stream.send(event.clone());
        let came = caller.exchange("", &event).await.expect("an event");
        assert!(came.ends_with(&format!("{event}\r\n")), "{came}");
    }
}

#[tokio::test]
async fn bodies_pass_whole_both_ways() {
    const LENGTH: usize = 5_000_000;
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let body: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
    let answer = Answer::new(200, body.clone());
    tls.keyward.upstream.on("/models/m/predict", answer);
    let caller = tls.connect(&tls.caller(&["http/1.1"])).await;
    let (mut reader, mut writer) = tokio::io::split(caller.into_stream());
    let head = last_call(&key).replace("content-length: 2", &format!("content-length: {LENGTH}"));
    let head = head.trim_end_matches("{}");
    let write = async {
        writer.write_all(head.as_bytes()).await.expect("it reads");
        writer.write_all(&body).await.expect("it reads");
        writer.flush().await.expect("it reads");
    };
    let mut came = Vec::new();
    let read = reader.read_to_end(&mut came);
    let ((), read) = within("both bodies pass", async { tokio::join!(write, read) }).await;
    read.expect("a clean end of TLS, and not only of the connection");
    assert!(came.ends_with(&body));
    let seen = tls.keyward.upstream.request(0).await;
    assert!(seen.body() == body);
}

#[tokio::test]
async fn a_caller_that_reads_nothing_more_is_cut_off() {
    let tls = Tls::with("proxy.limits.stream_idle_timeout = \"200ms\"\n").await;
    let key = tls.keyward.key().await;
    let stream = Stream::new();
    tls.keyward.upstream.next(Answer::streamed(&stream));
    let mut caller = tls.connect(&tls.caller(&["http/1.1"])).await;
    let head = caller.exchange(call(&key), "\r\n\r\n").await;
    assert!(head.is_ok());
    // More than all buffers on the way hold.
    for _ in 0..64 {
        stream.send(vec![b'x'; 1024 * 1024]);
    }
    within("the upstream is let go", stream.dropped()).await;
    let connections = || (tls.keyward.counted.connections() == 0).then_some(());
    eventually("the caller's place is given back", connections).await;
}

#[tokio::test]
async fn a_caller_whose_tls_breaks_is_no_fault_of_the_upstream() {
    let tls = Tls::start().await;
    let key = tls.keyward.key().await;
    let mut stream = tls.connect(&tls.caller(&["http/1.1"])).await.into_stream();
    let begun = call(&key).replace("content-length: 2", "content-length: 9");
    stream.write_all(begun.as_bytes()).await.expect("it reads");
    stream.flush().await.expect("it reads");
    tls.keyward.upstream.request(0).await;
    // A record that nobody can decrypt.
    let record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
    stream
        .get_mut()
        .0
        .write_all(&record)
        .await
        .expect("it reads");
    eventually("the call has ended", || {
        (tls.keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
    assert_eq!(tls.keyward.counted.outcomes().get("forwarded"), None);
    assert_eq!(tls.keyward.counted.upstream_errors().len(), 0);
}

#[tokio::test]
async fn closing_lets_a_call_end_and_waits_for_no_handshake() {
    let authority = Authority::called("authority");
    let folder = Folder::with(&authority.server());
    let settings = format!(
        "{}proxy.tls.handshake_timeout = \"1h\"\nshutdown.delay = \"0s\"\n",
        folder.settings("proxy.tls")
    );
    let mut keyward = KeywardProcess::start(&settings).await;
    let key = keyward.key().await;
    let config = std::sync::Arc::new(authority.trusted().with_no_client_auth());
    assert!(comes_through(&keyward, &config, &key).await);
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let caller = TlsCaller::connect(keyward.addresses.proxy, &config).await;
    let mut caller = caller.expect("hands are shaken");
    let head = caller.exchange(call(&key), "\r\n\r\n").await;
    assert!(head.is_ok());
    let mut silent = keyward.raw().await;
    within("all are connected", async {
        while keyward.metric("keyward_connections").await < 2.0 {}
    })
    .await;
    keyward.signal(Signal::TERM);
    silent.until_closed().await;
    stream.send("data: the end\n\n");
    stream.finish();
    let rest = caller.exchange("", "").await.expect("a clean end");
    assert!(
        rest.contains("data: the end") && rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );
    assert_eq!(keyward.exit_code().await, Some(0));
    assert!(!keyward.said().contains("are cut"), "{}", keyward.said());
}
