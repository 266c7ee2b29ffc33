use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{advance, timeout};

use super::super::guard::HeadLimits;
use super::super::io::Silences;
use super::*;
use crate::proxy::{ConnectionLoad, LimitsConfig};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// A connection, its caller, and what is known of its requests.
fn connection() -> (GuardedIo<DuplexStream>, DuplexStream, ConnectionLoad) {
    let (caller, ours) = duplex(64 * 1024);
    let load = ConnectionLoad::default();
    let silences = Silences::from(&LimitsConfig::default());
    let limits = HeadLimits {
        bytes: 32 * 1024,
        fields: 100,
    };
    let io = CallerIo::new(ours, load.clone(), silences);
    (GuardedIo::new(io, Guard::new(limits)), caller, load)
}

/// What is there to be read now, and whether reading ended in an error.
async fn read(guarded: &mut GuardedIo<DuplexStream>) -> (Vec<u8>, Option<ErrorKind>) {
    let mut all = Vec::new();
    loop {
        let mut piece = vec![0; 16 * 1024];
        // The clock goes on only when there is nothing to be done.
        match timeout(Duration::from_nanos(1), guarded.read(&mut piece)).await {
            Ok(Ok(0)) => return (all, Some(ErrorKind::UnexpectedEof)),
            Ok(Ok(read)) => all.extend_from_slice(&piece[..read]),
            Ok(Err(error)) => return (all, Some(error.kind())),
            Err(_) => return (all, None),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_earned_is_given_once_and_no_part_of_it_is_lost() {
    let mut purse = Purse {
        since: Instant::now(),
        sent: 0,
    };
    assert_eq!(purse.take(), 0);
    advance(Duration::from_secs(1)).await;
    assert_eq!((purse.take(), purse.take()), (100, 0));
    advance(Duration::from_millis(9)).await;
    assert_eq!(purse.take(), 0);
    advance(Duration::from_millis(1)).await;
    assert_eq!((purse.take(), purse.take()), (1, 0));
    purse.sent = 3 * 64 + 63;
    assert_eq!((purse.take(), purse.take()), (3, 0));
    purse.sent += 1;
    assert_eq!((purse.take(), purse.take()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_counts_however_it_is_written() {
    let (mut guarded, mut caller, _) = connection();
    guarded.write_all(&[b'x'; 100]).await.unwrap();
    let pieces = [IoSlice::new(b"two"), IoSlice::new(b" pieces")];
    let more = guarded.write_vectored(&pieces).await.unwrap();
    assert_eq!(guarded.purse.sent, 100 + more);
    guarded.flush().await.unwrap();
    let mut sent = vec![0; 100 + more];
    caller.read_exact(&mut sent).await.unwrap();
}

/// `count` pings a second for a minute; whether the connection still stands.
async fn pings_for_a_minute(count: usize, answer: &[u8]) -> bool {
    let (mut guarded, mut caller, _) = connection();
    caller.write_all(PREFACE).await.unwrap();
    for _ in 0..60 {
        caller.write_all(&PING.repeat(count)).await.unwrap();
        let mut read_back = vec![0; answer.len()];
        guarded.write_all(answer).await.unwrap();
        caller.read_exact(&mut read_back).await.unwrap();
        let _ = read(&mut guarded).await;
        if guarded.guard.refused().is_some() {
            return false;
        }
        advance(Duration::from_secs(1)).await;
    }
    true
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_requests_are_paid_by_time_and_by_what_we_send() {
    assert!(pings_for_a_minute(95, b"").await);
    assert!(!pings_for_a_minute(200, b"").await);
    assert!(pings_for_a_minute(200, &[b'x'; 64 * 110]).await);
    assert!(!pings_for_a_minute(400, &[b'x'; 64 * 110]).await);
}

#[tokio::test(start_paused = true)]
async fn a_head_in_pieces_is_handed_on_whole_and_nothing_of_it_is_kept() {
    let (mut guarded, mut caller, _) = connection();
    caller.write_all(&GET[..9]).await.unwrap();
    assert_eq!(read(&mut guarded).await, (vec![], None));
    caller.write_all(&GET[9..]).await.unwrap();
    assert_eq!(read(&mut guarded).await, (GET.to_vec(), None));
    assert_eq!(guarded.kept.bytes.capacity(), 0);
}

/// The beginning of the next one is always there.
#[tokio::test(start_paused = true)]
async fn requests_one_behind_the_other_are_not_all_kept() {
    let (mut guarded, mut caller, _) = connection();
    caller.write_all(&GET[..9]).await.unwrap();
    let next = [&GET[9..], &GET[..9]].concat();
    for number in 0..100 {
        caller.write_all(&next).await.unwrap();
        assert_eq!(read(&mut guarded).await, (GET.to_vec(), None), "{number}");
        assert_eq!(guarded.kept.bytes, &GET[..9], "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_place_of_a_refused_head_there_is_one_of_ours_and_nothing_behind_it() {
    for cut in 0..9 {
        let (mut guarded, mut caller, _) = connection();
        let verdict = guarded.verdict();
        let bad = b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n";
        caller
            .write_all(&[GET, &bad[..cut]].concat())
            .await
            .unwrap();
        let (mut all, _) = read(&mut guarded).await;
        caller.write_all(&bad[cut..]).await.unwrap();
        caller.write_all(GET).await.unwrap();
        let (rest, end) = read(&mut guarded).await;
        all.extend(rest);
        // The answer ends it, not we.
        assert_eq!((all, end), ([GET, STAND_IN].concat(), None), "{cut}");
        assert!(verdict.is_given());
        let told = [0, 1, 2].map(|number| verdict.of(number));
        assert_eq!(told, [None, Some(FramingError::BareLineFeed), None]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_an_error_behind_what_was_good_of_it() {
    let (mut guarded, mut caller, _) = connection();
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    caller.write_all(head).await.unwrap();
    caller
        .write_all(b"2\r\nhi\r\nzz\r\n0\r\n\r\n")
        .await
        .unwrap();
    caller.write_all(GET).await.unwrap();
    let (all, end) = read(&mut guarded).await;
    assert_eq!(end, Some(ErrorKind::InvalidData));
    let good = [&head[..], b"2\r\nhi\r\n"].concat();
    assert!(good.starts_with(&all) && all.len() >= head.len());
    assert!(!guarded.verdict().is_given());
    assert!(guarded.kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_back_is_handed_on_when_it_is_no_http_any_more() {
    let (mut guarded, mut caller, load) = connection();
    let early = b"GE";
    caller.write_all(&[GET, early].concat()).await.unwrap();
    assert_eq!(read(&mut guarded).await, (GET.to_vec(), None));
    load.hand_over();
    assert_eq!(read(&mut guarded).await, (early.to_vec(), None));
    caller.write_all(b"\x81\0\n").await.unwrap();
    assert_eq!(read(&mut guarded).await, (b"\x81\0\n".to_vec(), None));
    drop(caller);
    assert_eq!(
        read(&mut guarded).await,
        (vec![], Some(ErrorKind::UnexpectedEof))
    );
}
