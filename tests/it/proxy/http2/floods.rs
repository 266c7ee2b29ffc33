//! Frames that cost us more than whoever sends them.

use rstest::rstest;

use super::{block, field, good};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Fate, FrameCaller, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::keyward::{TestKey, TestKeyward};

const ENHANCE_YOUR_CALM: Fate = Fate::GoAway(11);

/// Writes what `each` makes until the connection ends, at most `most` times; how often, and what became of it.
async fn flood(
    keyward: &TestKeyward,
    first: Vec<u8>,
    most: u32,
    each: impl Fn(u32) -> Vec<u8>,
) -> (u32, Fate) {
    let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
    caller.write(first).await;
    let mut sent = 0;
    while sent < most && caller.write(each(sent)).await {
        sent += 1;
        // Whoever reads nothing is not answered any more; this one reads.
        if sent % 64 == 0 && caller.has_ended() {
            break;
        }
    }
    (sent, caller.fate(u32::MAX).await)
}

async fn is_well(keyward: &TestKeyward, key: &TestKey) {
    assert_eq!(keyward.call(key, "m").await.status(), 200);
}

#[tokio::test]
async fn resets_that_come_rapidly_end_their_connection() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let head = block(&good(&key));
    let (sent, fate) = flood(&keyward, Vec::new(), 20_000, |number| {
        let stream = number * 2 + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &head);
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    })
    .await;
    assert!(
        matches!(fate, ENHANCE_YOUR_CALM | Fate::Closed),
        "{fate:?} after {sent}"
    );
    assert!(sent < 20_000, "{sent}");
    is_well(&keyward, &key).await;
}

/// Resets that the caller makes us send (`MadeYouReset`): a window that overflows.
#[tokio::test]
async fn resets_that_we_are_made_to_send_end_their_connection() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let head = block(&good(&key));
    let (sent, fate) = flood(&keyward, Vec::new(), 20_000, |number| {
        let stream = number * 2 + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &head);
        let overflow = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
        [open, overflow].concat()
    })
    .await;
    assert!(
        matches!(fate, ENHANCE_YOUR_CALM | Fate::Closed),
        "{fate:?} after {sent}"
    );
    assert!(sent < 20_000, "{sent}");
    is_well(&keyward, &key).await;
}

#[tokio::test]
async fn a_head_that_never_ends_ends_its_connection() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let first = frame(HEADERS, END_STREAM, 1, &block(&good(&key)));
    for (what, more) in [
        ("empty", Vec::new()),
        ("small", block(&vec![field("x", "y")])),
        ("large", block(&vec![field("x", &"y".repeat(16_000))])),
    ] {
        let (sent, fate) = flood(&keyward, first.clone(), 20_000, |_| {
            frame(CONTINUATION, 0, 1, &more)
        })
        .await;
        assert!(
            matches!(fate, Fate::GoAway(1..) | Fate::Closed),
            "{what}: {fate:?} after {sent}"
        );
        assert!(sent < 20_000, "{what}: {sent}");
    }
    assert!(keyward.upstream.requests().is_empty());
    is_well(&keyward, &key).await;
}

#[tokio::test]
async fn data_frames_that_hold_nothing_end_their_connection() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let first = frame(HEADERS, END_HEADERS, 1, &block(&good(&key)));
    let (sent, fate) = flood(&keyward, first, 200_000, |_| frame(DATA, 0, 1, b"")).await;
    assert!(
        matches!(fate, ENHANCE_YOUR_CALM | Fate::Closed),
        "{fate:?} after {sent}"
    );
    assert!(sent < 200_000, "{sent}");
    is_well(&keyward, &key).await;
}

/// A list of fields larger than `head_bytes` is refused, however small it is written: the table of RFC 7541 makes much of
/// little.
#[tokio::test]
async fn a_small_block_that_becomes_large_fields_is_refused() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut head = block(&good(&key));
    // A field of 4,000 bytes, put into the table, and then named again and again by one byte.
    head.push(0x40);
    head.extend([1, b'x', 127]);
    let length = 4_000 - 127;
    head.extend([
        u8::try_from(length & 0x7f).expect("seven bits") | 128,
        u8::try_from(length >> 7).expect("small"),
    ]);
    head.extend([b'y'; 4_000]);
    head.extend([0xbe; 8_000]);
    let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
    caller
        .write(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head))
        .await;
    let fate = caller.fate(1).await;
    let is_refused = matches!(
        fate,
        Fate::Answered(431) | Fate::Reset(_) | Fate::GoAway(_) | Fate::Closed
    );
    assert!(is_refused, "{fate:?}");
    assert!(keyward.upstream.requests().is_empty());
    is_well(&keyward, &key).await;
}

/// Frames that ask for an answer, or for nothing: they are no request, and change nothing.
#[tokio::test]
async fn frames_that_are_no_requests_end_their_connection_when_they_are_too_many() {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let floods: [(&str, Vec<u8>); 4] = [
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 0])),
        ("of no known kind", frame(0x77, 0, 0, b"x")),
    ];
    for (what, bytes) in floods {
        let (sent, fate) = flood(&keyward, Vec::new(), 100_000, |_| bytes.clone()).await;
        assert!(sent < 100_000, "{what}: {fate:?} after {sent}");
    }
    is_well(&keyward, &key).await;
}

/// What our settings say, as the caller hears it (SECURITY 4).
#[tokio::test]
async fn the_caller_is_told_our_limits() {
    let keyward = TestKeyward::start().await;
    let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
    let settings = caller.read().await.expect("their settings");
    assert_eq!(settings.kind, SETTINGS);
    let told: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|setting| {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            (id, value)
        })
        .collect();
    // Streams at once, the window of each, the largest frame and the largest list of fields; no push, no table larger than
    // the usual 4,096 bytes, no extended CONNECT.
    for expected in [(3, 100), (4, 256 * 1024), (5, 16 * 1024), (6, 32 * 1024)] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
    assert!(told.iter().all(|(id, _)| ![1, 8].contains(id)), "{told:?}");
}

/// Its connection ends in the words of the protocol, wherever its frames were cut.
#[rstest]
#[case::at_once(usize::MAX)]
#[case::in_pieces_of_seven(7)]
#[tokio::test]
async fn whoever_asks_too_much_is_told_so(#[case] piece: usize) {
    let keyward = TestKeyward::start().await;
    let key = keyward.key().await;
    let mut caller = FrameCaller::connect(keyward.addresses.proxy).await;
    let head = frame(HEADERS, END_HEADERS, 1, &block(&good(&key)));
    caller.write(&head).await;
    keyward.upstream.request(0).await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(3_000);
    for piece in pings.chunks(piece) {
        if !caller.write(piece).await {
            break;
        }
    }
    assert_eq!(caller.fate(u32::MAX).await, ENHANCE_YOUR_CALM);
    is_well(&keyward, &key).await;
}
