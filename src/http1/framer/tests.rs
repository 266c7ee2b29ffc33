use std::task::Waker;

use http::HeaderValue;
use http::header::{ETAG, SET_COOKIE};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// A stream that takes at most so many bytes at a time.
struct Taking {
    taken: Vec<u8>,
    most: usize,
    /// How often it was written to.
    writes: usize,
}

impl AsyncWrite for Taking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.most);
        self.taken.extend_from_slice(&bytes[..count]);
        self.writes += 1;
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.poll_write(cx, &bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const fn taking(most: usize) -> Taking {
    Taking {
        taken: Vec::new(),
        most,
        writes: 0,
    }
}

fn write_all(framer: &mut Framer, stream: &mut Taking) {
    let mut cx = Context::from_waker(Waker::noop());
    while !framer.is_written() {
        let written = framer.poll_write(None, stream, &mut cx);
        assert!(matches!(written, Poll::Ready(Ok(()))));
    }
}

/// What is written of a message with the head `h` and these parts, so many bytes at a time.
fn written(framing: Framing, parts: &[Bytes], trailers: &HeaderMap, most: usize) -> Vec<u8> {
    let mut framer = Framer::new(b"h".to_vec(), framing);
    let mut stream = taking(most);
    for part in parts {
        while !framer.wants_more() && !framer.is_over() {
            write_all(&mut framer, &mut stream);
        }
        framer.put(part.clone()).unwrap();
    }
    while !framer.wants_more() && !framer.is_over() {
        write_all(&mut framer, &mut stream);
    }
    framer.end(trailers).unwrap();
    assert!(framer.is_over());
    write_all(&mut framer, &mut stream);
    assert_eq!(framer.unwritten(), 0);
    stream.taken
}

fn chunked() -> Framing {
    Framing::Chunked(Vec::new())
}

fn bytes(length: usize, byte: u8) -> Bytes {
    vec![byte; length].into()
}

#[test]
fn a_body_until_the_connection_closes_is_what_it_is() {
    let parts = [
        bytes(3, b'a'),
        Bytes::new(),
        bytes(SMALL + 1, b'b'),
        bytes(2, b'c'),
    ];
    for most in [1, 7, usize::MAX] {
        let all = written(Framing::UntilClose, &parts, &HeaderMap::new(), most);
        assert_eq!(all, [b"h", &parts.concat()[..]].concat());
    }
}

#[test]
fn a_small_part_behind_a_large_one_is_a_chunk_of_its_own() {
    let large = SMALL + 1;
    let parts = [bytes(large, b'a'), bytes(2, b'b'), bytes(large, b'c')];
    let all = written(chunked(), &parts, &HeaderMap::new(), usize::MAX);
    let expected = [
        &b"h1001\r\n"[..],
        &parts[0],
        b"\r\n2\r\nbb\r\n1001\r\n",
        &parts[2],
        b"\r\n0\r\n\r\n",
    ];
    assert_eq!(all, expected.concat());
}

#[test]
fn the_end_of_a_large_chunk_is_written_though_nothing_comes_behind_it() {
    let (mut framer, mut stream) = (Framer::new(Vec::new(), chunked()), taking(usize::MAX));
    framer.put(bytes(SMALL + 1, b'a')).unwrap();
    assert!(!framer.wants_more());
    write_all(&mut framer, &mut stream);
    assert!(stream.taken.ends_with(b"a"));
    assert!(framer.wants_more());
    assert!(!framer.is_written());
    write_all(&mut framer, &mut stream);
    assert!(stream.taken.ends_with(b"a\r\n"));
}

#[test]
fn a_large_part_is_written_with_what_stands_before_it() {
    let (mut framer, mut stream) = (Framer::new(b"h".to_vec(), chunked()), taking(usize::MAX));
    framer.put(bytes(SMALL, b'a')).unwrap();
    assert!(framer.wants_more());
    framer.put(bytes(SMALL + 1, b'b')).unwrap();
    assert_eq!(framer.unwritten(), 1 + 6 + SMALL + 2 + 6 + SMALL + 1);
    write_all(&mut framer, &mut stream);
    assert_eq!(stream.writes, 1);
}

#[test]
fn enough_is_enough() {
    let mut framer = Framer::new(Vec::new(), Framing::UntilClose);
    for _ in 0..ENOUGH / SMALL {
        assert!(framer.wants_more());
        framer.put(bytes(SMALL, b'a')).unwrap();
    }
    assert!(!framer.wants_more());
    assert!(!framer.is_over());
    write_all(&mut framer, &mut taking(usize::MAX));
    assert!(framer.wants_more());
}

#[test]
fn trailers_are_those_that_were_announced() {
    let mut trailers = HeaderMap::new();
    trailers.insert(ETAG, HeaderValue::from_static("e"));
    trailers.insert(SET_COOKIE, HeaderValue::from_static("c"));
    let parts = [bytes(1, b'a')];
    let some = written(Framing::Chunked(vec![ETAG]), &parts, &trailers, usize::MAX);
    assert_eq!(some, b"h1\r\na\r\n0\r\netag: e\r\n\r\n");
    let none = written(chunked(), &parts, &trailers, usize::MAX);
    assert_eq!(none, b"h1\r\na\r\n0\r\n\r\n");
    let none = written(Framing::Length(1), &parts, &trailers, usize::MAX);
    assert_eq!(none, b"ha");
}

#[rstest]
#[case::one_more(2, &[3], false)]
#[case::one_more_behind_others(4, &[2, 3], false)]
#[case::more_in_a_large_part(SMALL, &[SMALL + 1], false)]
#[case::one_less(4, &[3], true)]
#[case::nothing(4, &[], true)]
fn a_body_of_another_length_is_an_error(
    #[case] length: usize,
    #[case] parts: &[usize],
    #[case] is_at_the_end: bool,
) {
    let mut framer = Framer::new(Vec::new(), Framing::Length(length as u64));
    let parts = parts.iter().map(|part| framer.put(bytes(*part, b'a')));
    let put = parts.collect::<Result<Vec<_>, _>>().map(|_| ());
    assert_eq!(
        put,
        if is_at_the_end {
            Ok(())
        } else {
            Err(WrongLength)
        }
    );
    if is_at_the_end {
        assert!(!framer.is_over());
        assert_eq!(framer.end(&HeaderMap::new()), Err(WrongLength));
    }
}

#[test]
fn nothing_but_nothing_is_put_behind_the_end() {
    let mut framer = Framer::new(Vec::new(), chunked());
    framer.end(&HeaderMap::new()).unwrap();
    assert_eq!(framer.put(Bytes::new()), Ok(()));
    assert_eq!(framer.put(bytes(1, b'a')), Err(WrongLength));
    // A second end adds nothing.
    assert_eq!(framer.end(&HeaderMap::new()), Ok(()));
    let mut stream = taking(usize::MAX);
    write_all(&mut framer, &mut stream);
    assert_eq!(stream.taken, b"0\r\n\r\n");
}

#[test]
fn a_stream_that_takes_nothing_is_an_error() {
    let mut framer = Framer::new(b"h".to_vec(), Framing::Over);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = framer.poll_write(None, &mut taking(0), &mut cx) else {
        panic!("nothing was written, and that is well");
    };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    assert_eq!(framer.unwritten(), 1);
}

#[test]
fn room_is_given_back_empty() {
    let mut framer = Framer::new(b"head".to_vec(), Framing::Length(1));
    framer.put(bytes(1, b'a')).unwrap();
    write_all(&mut framer, &mut taking(2));
    let room = framer.into_room();
    assert!(room.is_empty() && room.capacity() > 0);
}

proptest! {
    /// However a body is cut, and however little is taken at a time, its reader has what its writer put.
    #[test]
    fn a_body_is_read_as_it_was_put(
        lengths in prop::collection::vec(
            prop_oneof![0..8_usize, SMALL - 1..SMALL + 2, 0..2 * ENOUGH],
            0..6,
        ),
        most in prop_oneof![100..5_000_usize, Just(usize::MAX)],
    ) {
        let parts = lengths.iter().zip(b'a'..).map(|(length, byte)| bytes(*length, byte));
        let parts: Vec<_> = parts.collect();
        let body = parts.concat();
        let none = HeaderMap::new();
        let counted = written(Framing::Length(body.len() as u64), &parts, &none, most);
        prop_assert_eq!(&counted[1..], &body[..]);

        let all = written(chunked(), &parts, &none, most);
        let mut read = bytes::BytesMut::from(&all[1..]);
        let (mut chunks, mut came) = (crate::http1::Chunks::default(), Vec::new());
        while let crate::http1::Next::Data(part) = chunks.next(&mut read).unwrap() {
            came.extend_from_slice(&part);
        }
        prop_assert!(chunks.is_over() && read.is_empty());
        prop_assert_eq!(came, body);
    }
}
