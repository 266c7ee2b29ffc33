use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{advance, timeout};

use super::super::guard::HeadLimits;
use super::super::io::Silences;
use super::*;
use crate::proxy::{ConnectionLoad, LimitsConfig};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
};
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// A connection, its caller, and what is known of its requests.
fn connection() -> (GuardedIo<DuplexStream>, DuplexStream, ConnectionLoad) {
    let (caller, ours) = duplex(64 * 1024);
    let load = ConnectionLoad::default();
    let silences = Silences::from(&LimitsConfig::default());
    let io = CallerIo::new(ours, load.clone(), silences);
    (GuardedIo::new(io, Guard::new(LIMITS)), caller, load)
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

/// A `HEADERS` frame: nine bytes say how long it is.
const HEADERS: [u8; 13] = [0, 0, 4, 1, 4, 0, 0, 0, 1, 1, 2, 3, 4];

#[tokio::test(start_paused = true)]
async fn the_head_of_a_frame_in_pieces_is_handed_on_whole_and_nothing_of_it_is_kept() {
    for cut in 1..9 {
        let (mut guarded, mut caller, _) = connection();
        let (begins, rest) = HEADERS.split_at(cut);
        caller.write_all(&[PREFACE, begins].concat()).await.unwrap();
        assert_eq!(read(&mut guarded).await, (PREFACE.to_vec(), None), "{cut}");
        caller.write_all(rest).await.unwrap();
        assert_eq!(read(&mut guarded).await, (HEADERS.to_vec(), None), "{cut}");
        assert_eq!(guarded.kept.bytes.capacity(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_is_handed_on_first() {
    let (mut caller, ours) = duplex(64 * 1024);
    let load = ConnectionLoad::default();
    let io = CallerIo::new(ours, load, Silences::from(&LimitsConfig::default()));
    let mut guard = Guard::new(LIMITS);
    let begun = [PREFACE, &HEADERS[..5]].concat();
    let safe = guard.scan(&begun);
    let mut guarded = GuardedIo::begun(io, guard, &begun, safe);
    assert_eq!(read(&mut guarded).await, (PREFACE.to_vec(), None));
    caller.write_all(&HEADERS[5..]).await.unwrap();
    assert_eq!(read(&mut guarded).await, (HEADERS.to_vec(), None));
}
