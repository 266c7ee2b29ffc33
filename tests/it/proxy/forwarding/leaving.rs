//! Callers that go away: the upstream hears of it, and nothing is left (SECURITY P4).

use rstest::rstest;

use super::{PREDICT, Protocol, head, over_http2, with};
use crate::support::eventually;
use crate::support::keyward::{TestKey, TestKeyward, post};
use crate::support::raw::RawConnection;
use crate::support::stream::{Stream, whole};
use crate::support::upstream::{Answer, AnswerEnd, BodyEnd};

/// How a caller of HTTP/1.1 goes.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// With a FIN.
    Closing,
    /// With a reset.
    Resetting,
    /// With a FIN, still there to read.
    HalfClosing,
}

impl Leaving {
    /// What is left of the caller's connection.
    fn go(self, caller: RawConnection) -> Option<RawConnection> {
        match self {
            Self::Closing => drop(caller),
            Self::Resetting => caller.reset(),
            Self::HalfClosing => {
                caller.finish();
                return Some(caller);
            }
        }
        None
    }
}

/// Nothing is in flight any more, and the next call goes well.
async fn nothing_is_left(keyward: &TestKeyward, key: &TestKey) {
    eventually("nothing is in flight", || {
        (keyward.counted.in_flight() == 0).then_some(())
    })
    .await;
    eventually("the upstream's connection is closed", || {
        (keyward.upstream.open_connections() == 0).then_some(())
    })
    .await;
    assert_eq!(keyward.call(key, "m").await.status(), 200);
}

#[rstest]
#[case::closing(Leaving::Closing)]
#[case::resetting(Leaving::Resetting)]
#[case::half_closing(Leaving::HalfClosing)]
#[tokio::test]
async fn a_caller_that_goes_before_the_head_ends_the_call(#[case] leaving: Leaving) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    keyward.upstream.next(Answer::silence());
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    let seen = keyward.upstream.request(0).await;
    assert_eq!(keyward.counted.in_flight(), 1);
    let _half = leaving.go(caller);
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    nothing_is_left(&keyward, &key).await;
}

#[rstest]
#[case::closing(Leaving::Closing)]
#[case::resetting(Leaving::Resetting)]
#[case::half_closing(Leaving::HalfClosing)]
#[tokio::test]
async fn a_caller_that_goes_in_the_middle_of_a_stream_ends_it(#[case] leaving: Leaving) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::events(&stream));
    let mut caller = keyward.raw().await;
    caller.write(post(PREDICT, &key, "{}")).await;
    caller.read_head().await;
    stream.send("data: 1\n\n");
    assert!(caller.read_chunk().await.is_some());
    let _half = leaving.go(caller);
    stream.dropped().await;
    nothing_is_left(&keyward, &key).await;
}

#[rstest]
#[case::closing(Leaving::Closing)]
#[case::resetting(Leaving::Resetting)]
#[case::half_closing(Leaving::HalfClosing)]
#[tokio::test]
async fn a_caller_that_goes_in_the_middle_of_its_body_ends_the_call(#[case] leaving: Leaving) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = keyward.raw().await;
    caller
        .write(head(&key, "Content-Length: 10\r\n") + "01234")
        .await;
    let seen = keyward.upstream.request(0).await;
    seen.body_reaches(5).await;
    let _half = leaving.go(caller);
    assert_eq!(seen.body_end().await, BodyEnd::Broken);
    nothing_is_left(&keyward, &key).await;
}

/// Over HTTP/2 a call ends with its stream; the others of the connection go on.
#[rstest]
#[case::before_the_head(false)]
#[case::in_the_middle_of_a_stream(true)]
#[tokio::test]
async fn a_stream_that_is_reset_ends_its_call_and_no_other(#[case] streaming: bool) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let (stream, other) = (Stream::new(), Stream::new());
    let caller = keyward.http2().await;
    keyward.upstream.next(Answer::streamed(&other));
    let request = || with(over_http2(PREDICT, &key), whole("{}"));
    let stays = caller.send(request()).await.expect("an answer");
    if streaming {
        keyward.upstream.next(Answer::events(&stream));
        drop(caller.send(request()).await.expect("an answer"));
        stream.dropped().await;
    } else {
        keyward.upstream.next(Answer::silence());
        tokio::select! {
            biased;
            answer = caller.send(request()) => panic!("{answer:?}"),
            _ = keyward.upstream.request(1) => {}
        }
    }
    let seen = keyward.upstream.request(1).await;
    assert_eq!(seen.answer_end().await, AnswerEnd::Dropped);
    other.send("undisturbed");
    other.finish();
    let body = http_body_util::BodyExt::collect(stays.into_body()).await;
    assert_eq!(body.expect("it is not cut").to_bytes(), "undisturbed");
    assert_eq!(caller.call(request()).await.status, 200);
}

#[rstest]
#[case::http1(Protocol::Http1)]
#[case::http2(Protocol::Http2)]
#[tokio::test]
async fn a_caller_that_goes_while_its_answer_waits_for_it_ends_the_call(
    #[case] protocol: Protocol,
) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let stream = Stream::new();
    keyward.upstream.next(Answer::streamed(&stream));
    // More than any buffer on the way takes, and nobody reads it.
    for _ in 0..64 {
        stream.send(vec![b'x'; 1 << 20]);
    }
    match protocol {
        Protocol::Http1 => {
            let mut caller = keyward.raw().await;
            caller.write(post(PREDICT, &key, "{}")).await;
            caller.read_head().await;
        }
        Protocol::Http2 => {
            let caller = keyward.http2().await;
            let answer = caller.send(with(over_http2(PREDICT, &key), whole("{}")));
            drop(answer.await.expect("an answer"));
        }
    }
    stream.dropped().await;
    nothing_is_left(&keyward, &key).await;
}
