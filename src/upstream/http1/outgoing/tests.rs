//! Requests as they are written: whatever their bodies do, and however little a connection takes at a time.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Waker;

use http::{HeaderName, HeaderValue, Request};
use http_body::Frame;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::http1::{ENOUGH, SMALL};

/// A body that does these things, one after the other.
struct Steps(VecDeque<Step>);

#[derive(Debug, Clone)]
enum Step {
    Part(Bytes),
    Trailers(&'static [(&'static str, &'static str)]),
    /// Nothing is there at first.
    Wait,
    BreakOff,
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match self.0.pop_front() {
            None => None,
            Some(Step::Part(part)) => Some(Ok(Frame::data(part))),
            Some(Step::Trailers(fields)) => {
                let fields = fields.iter().map(|(name, value)| {
                    let value = HeaderValue::from_static(value);
                    (HeaderName::from_static(name), value)
                });
                Some(Ok(Frame::trailers(fields.collect())))
            }
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Step::BreakOff) => Some(Err("the caller is gone".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A connection that takes so many bytes every other time, and nothing in between.
struct Taking {
    taken: Vec<u8>,
    most: usize,
    is_ready: bool,
    /// How much was offered at first.
    first: Option<usize>,
}

impl AsyncWrite for Taking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.first.get_or_insert(bytes.len());
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            return Poll::Pending;
        }
        let count = bytes.len().min(self.most);
        self.taken.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = parts.iter().flat_map(|part| part.iter().copied());
        let bytes: Vec<u8> = bytes.take(self.most).collect();
        self.poll_write(cx, &bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The most that a connection takes wholly or not at all.
const RECORD: usize = 16 * 1024;

/// A `POST` with these lines and this body.
fn outgoing(lines: &str, steps: Vec<Step>) -> Outgoing<Steps> {
    let mut request = Request::post("http://h/m?q=1");
    for line in lines.split(" | ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let body = Steps(steps.into());
    Outgoing::new(
        Box::new(Outbound {
            head: Box::new(head.into()),
            joins: Vec::new(),
            body,
        }),
        b"old".to_vec(),
        RECORD,
    )
}

/// What is written of a `POST` with these lines and this body, behind its first line; and why it ends, if not well.
fn written(lines: &str, steps: Vec<Step>, most: usize) -> (Vec<u8>, Option<NotSent>) {
    let mut outgoing = outgoing(lines, steps);
    let mut stream = Taking {
        taken: Vec::new(),
        most,
        is_ready: false,
        first: None,
    };
    let mut cx = Context::from_waker(Waker::noop());
    let sent = loop {
        if let Poll::Ready(sent) = outgoing.poll_send(&mut stream, &mut cx) {
            break sent;
        }
    };
    assert_eq!(outgoing.has_begun(), !stream.taken.is_empty());
    assert!(stream.first.is_none_or(|first| first <= RECORD));
    let first = b"POST /m?q=1 HTTP/1.1\r\n";
    let behind = stream.taken.strip_prefix(first).unwrap_or_default();
    (behind.to_vec(), sent.err())
}

fn part(part: &'static str) -> Step {
    Step::Part(Bytes::from_static(part.as_bytes()))
}

/// The first may.
const NEVER: &[(&str, &str)] = &[
    ("x-a", "1"),
    ("content-type", "a/b"),
    ("transfer-encoding", "chunked"),
    ("host", "b"),
    ("te", "trailers"),
    ("content-encoding", "gzip"),
];

const BOTH: &[(&str, &str)] = &[("x-a", "1"), ("x-b", "2")];

#[rstest]
#[case::no_body("x-a: 1", vec![], "x-a: 1\r\n\r\n")]
#[case::an_empty_body_that_is_said("content-length: 0", vec![Step::Wait], "content-length: 0\r\n\r\n")]
#[case::counted("content-length: 5", vec![part("01"), part("234")], "content-length: 5\r\n\r\n01234")]
#[case::counted_and_late("content-length: 2", vec![Step::Wait, part("0"), Step::Wait, part("1")], "content-length: 2\r\n\r\n01")]
#[case::not_counted("", vec![part("01"), part("234")], "transfer-encoding: chunked\r\n\r\n2\r\n01\r\n3\r\n234\r\n0\r\n\r\n")]
#[case::empty_parts_end_nothing("", vec![part(""), part("01"), part(""), part("2")], "transfer-encoding: chunked\r\n\r\n2\r\n01\r\n1\r\n2\r\n0\r\n\r\n")]
#[case::nothing_came_of_it("", vec![Step::Wait], "transfer-encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::trailers_that_were_announced(
    "trailer: x-b,, X-A ", vec![part("0"), Step::Trailers(BOTH)],
    "trailer: x-b,, X-A \r\ntransfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n"
)]
#[case::one_that_was_announced(
    "trailer: x-b", vec![part("0"), Step::Wait, Step::Trailers(BOTH)],
    "trailer: x-b\r\ntransfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nx-b: 2\r\n\r\n"
)]
#[case::what_never_stands_behind_a_body(
    "trailer: x-a, content-type, transfer-encoding, host, te, content-encoding", vec![part("0"), Step::Trailers(NEVER)],
    "trailer: x-a, content-type, transfer-encoding, host, te, content-encoding\r\ntransfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\nx-a: 1\r\n\r\n"
)]
#[case::none_that_was_announced("", vec![part("0"), Step::Trailers(BOTH)], "transfer-encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n\r\n")]
#[case::trailers_behind_a_length("content-length: 1 | trailer: x-a", vec![part("0"), Step::Trailers(BOTH)], "content-length: 1\r\ntrailer: x-a\r\n\r\n0")]
fn a_request_is_written_as_its_head_says(
    #[case] lines: &str,
    #[case] steps: Vec<Step>,
    #[case] expected: &str,
    #[values(1, 7, usize::MAX)] most: usize,
) {
    let (bytes, error) = written(lines, steps, most);
    assert!(error.is_none());
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[rstest]
#[case::more_at_once("content-length: 2", vec![part("012")], "request body is not as long")]
#[case::more_at_last("content-length: 2", vec![part("0"), Step::Wait, part("12")], "request body is not as long")]
#[case::less("content-length: 2", vec![part("0")], "request body is not as long")]
#[case::nothing("content-length: 2", vec![], "request body is not as long")]
#[case::trailers_in_its_place("content-length: 2", vec![Step::Trailers(BOTH)], "request body is not as long")]
#[case::broken_off("content-length: 2", vec![part("0"), Step::BreakOff], "request body broke off")]
#[case::broken_off_in_chunks("", vec![part("0"), Step::BreakOff], "request body broke off")]
fn a_body_that_is_not_what_it_should_be_has_no_end(
    #[case] lines: &str,
    #[case] steps: Vec<Step>,
    #[case] expected: &str,
) {
    let (bytes, error) = written(lines, steps, usize::MAX);
    let Some(NotSent::Body(error)) = error else {
        panic!("{}", String::from_utf8_lossy(&bytes));
    };
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!bytes.ends_with(b"0\r\n\r\n"));
}

/// A connection that ended.
struct Ended;

impl AsyncWrite for Ended {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What there is of the body when nothing of it could be written: what was taken, and what was not.
#[rstest]
#[case::counted("content-length: 5", vec![part("01"), part("234")], "01|234")]
#[case::half_there("content-length: 5", vec![part("01"), Step::Wait, Step::Wait, part("234")], "01")]
#[case::chunks("trailer: x-a", vec![part("01"), part("234"), Step::Trailers(BOTH)], "01|234|x-a: 1")]
#[case::the_first_of_them("", vec![part("01"), Step::Wait, Step::Wait, part("234")], "01")]
#[case::nothing("", vec![Step::Wait, Step::Wait, part("234")], "")]
#[case::a_large_part("content-length: 10000", vec![part("01"), large()], "01|large")]
#[case::a_large_chunk("", vec![part("01"), large(), part("2")], "01|large")]
fn a_request_of_which_nothing_was_written_has_its_body(
    #[case] lines: &str,
    #[case] steps: Vec<Step>,
    #[case] expected: &str,
) {
    let mut outgoing = outgoing(lines, steps);
    let mut cx = Context::from_waker(Waker::noop());
    let error = loop {
        if let Poll::Ready(sent) = outgoing.poll_send(&mut Ended, &mut cx) {
            break sent.err();
        }
    };
    assert!(matches!(error, Some(NotSent::Connection(_))));
    assert!(!outgoing.has_begun());
    let (_, taken, _) = outgoing.into_parts();
    let taken = taken.into_iter().map(|frame| match frame.into_data() {
        Ok(part) if part.len() == 5_000 => "large".to_owned(),
        Ok(part) => String::from_utf8(part.to_vec()).unwrap(),
        Err(frame) => {
            let trailers = frame.into_trailers().unwrap();
            let (name, value) = trailers.iter().next().unwrap();
            format!("{name}: {}", value.to_str().unwrap())
        }
    });
    assert_eq!(taken.collect::<Vec<_>>().join("|"), expected);
}

fn large() -> Step {
    Step::Part(vec![b'x'; 5_000].into())
}

/// Parts on both sides of what is copied and of what is gathered, with waits between.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = |bytes: Vec<u8>| Step::Part(bytes.into());
    let step = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(part),
        2 => prop::collection::vec(any::<u8>(), SMALL - 1..SMALL + 2).prop_map(part),
        1 => prop::collection::vec(any::<u8>(), ENOUGH - 1..ENOUGH + 2).prop_map(part),
        2 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However little a connection takes at a time, it gets the same bytes.
    #[test]
    fn what_is_written_is_the_body_whatever_the_connection_takes(
        steps in steps(),
        is_counted: bool,
        most in prop_oneof![100_usize..5_000, Just(usize::MAX)],
    ) {
        let parts = steps.iter().filter_map(|step| match step {
            Step::Part(part) if !part.is_empty() => Some(part),
            _ => None,
        });
        let parts: Vec<&Bytes> = parts.collect();
        let (lines, expected) = if is_counted {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            let parts: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            let line = format!("content-length: {length}");
            let expected = [format!("{line}\r\n\r\n").as_bytes(), &parts].concat();
            (line, expected)
        } else {
            let mut expected = b"transfer-encoding: chunked\r\n\r\n".to_vec();
            for part in parts {
                expected.extend(format!("{:x}\r\n", part.len()).as_bytes());
                expected.extend_from_slice(part);
                expected.extend(b"\r\n");
            }
            expected.extend(b"0\r\n\r\n");
            (String::new(), expected)
        };
        let (bytes, error) = written(&lines, steps, most);
        prop_assert!(error.is_none());
        prop_assert!(bytes == expected);
    }
}
