//! What both sides say once they have agreed.

use super::{Between, SWITCHING, handshake};
use crate::support::raw::Ending;

/// Every byte there is, and what a reader of HTTP/1 would take for heads, chunks, or broken ones.
fn anything(size: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..=255)
        .chain(*b"GET / HTTP/1.1\r\n\r\n\n\r0\r\n\r\nContent-Length: +1\r\n")
        .collect();
    pattern.into_iter().cycle().take(size).collect()
}

#[tokio::test]
async fn bytes_of_every_kind_and_number_go_both_ways_unchanged() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let (mut caller, mut upstream) = between.open(&key).await;
    for size in [1, 2, 125, 126, 4_096, 65_536, 1 << 20] {
        let bytes = anything(size);
        let ((), up) = tokio::join!(caller.write(&bytes), upstream.read_exactly(size));
        assert!(up == bytes, "{size} bytes are changed on their way up");
        let ((), down) = tokio::join!(upstream.write(&bytes), caller.read_exactly(size));
        assert!(down == bytes, "{size} bytes are changed on their way down");
    }
    // Either may speak first, and many times before the other does.
    for _ in 0..100 {
        upstream.write("tick").await;
        assert_eq!(caller.read_exactly(4).await, b"tick");
    }
}

#[tokio::test]
async fn what_an_upstream_says_right_behind_its_answer_is_not_lost() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let answer = format!("{SWITCHING}\r\nhello");
    let mut told = between.ask(&handshake(&key), &answer).await;
    assert_eq!(told.caller.read_exactly(5).await, b"hello");
}

/// What comes before the answer was judged as HTTP, and is no beginning of a WebSocket when it was found to be none.
#[tokio::test]
async fn a_caller_that_speaks_before_it_is_answered_has_no_websocket() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let early = handshake(&key) + "\u{1}\u{2} early";
    let mut told = between.ask(&early, &format!("{SWITCHING}\r\n")).await;
    assert_eq!(told.answered.status(), 101);
    assert_eq!(
        told.upstream.until_closed().await,
        (Vec::new(), Ending::Closed)
    );
    assert_eq!(told.caller.until_closed().await.0, b"");
}

#[tokio::test]
async fn forty_at_once_do_not_mix() {
    let between = Between::start("").await;
    let key = between.keyward.key().await;
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(between.open(&key).await);
    }
    between.are_open(40).await;
    assert_eq!(between.keyward.counted.in_flight(), 40);
    for (number, (caller, upstream)) in open.iter_mut().enumerate() {
        caller.write(format!("<{number:02}")).await;
        upstream.write(format!(">{number:02}")).await;
    }
    for (number, (caller, upstream)) in open.iter_mut().enumerate() {
        assert_eq!(
            upstream.read_exactly(3).await,
            format!("<{number:02}").as_bytes()
        );
        assert_eq!(
            caller.read_exactly(3).await,
            format!(">{number:02}").as_bytes()
        );
    }
}

#[tokio::test]
async fn the_use_of_the_key_is_noted() {
    let between =
        Between::start("usage.flush_every = \"5ms\"\nusage.first_within = \"5ms\"\n").await;
    let key = between.keyward.key().await;
    let _open = between.open(&key).await;
    crate::support::within("the use is written", async {
        while between.keyward.listed(&key).await["last_used_at"].is_null() {}
    })
    .await;
}
