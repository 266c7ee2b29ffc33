//! What a gRPC caller says in its head, and what it is told in ours (gRPC over HTTP/2, `PROTOCOL-HTTP2.md`).

use std::fmt::Write;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Version};
use tokio::time::sleep;

use super::Rejection;

use crate::message::RequestHead;

/// gRPC is spoken over HTTP/2 alone; the same type over HTTP/1.1 is somebody's who reads statuses. So is gRPC-Web, whose
/// type begins alike.
pub(super) fn is_grpc(request: &RequestHead) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    if request.version != Version::HTTP_2 {
        return false;
    }
    let kind = request.headers.get(&CONTENT_TYPE);
    let rest = kind.and_then(|kind| kind.as_bytes().strip_prefix(GRPC));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long the caller of gRPC waits for its whole call, by `grpc-timeout`: up to eight digits and a unit. None when it does
/// not say, or says it so that nobody can tell.
pub(super) fn timeout(request: &RequestHead) -> Option<Duration> {
    if !is_grpc(request) {
        return None;
    }
    let text = request.headers.get(&TIMEOUT)?.to_str()?;
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    match unit {
        'H' => Some(Duration::from_hours(number)),
        'M' => Some(Duration::from_mins(number)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// What is `awaited`, if it is there before `left` is over; an answer that is there is never late.
pub(super) async fn within<F: Future>(
    left: Option<Duration>,
    awaited: Pin<&mut F>,
) -> Result<F::Output, Rejection> {
    match left {
        None => Ok(awaited.await),
        Some(left) => match select(awaited, pin!(sleep(left))).await {
            Either::Left((there, _)) => Ok(there),
            Either::Right(_) => Err(Rejection::Deadline),
        },
    }
}

/// A sentence as `grpc-message` holds it: what is not printable ASCII, and `%`, as escapes.
pub(super) fn message(sentence: &str) -> HeaderValue {
    let mut escaped = String::with_capacity(sentence.len());
    for byte in sentence.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            // Writing to a `String` cannot fail.
            _ => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&escaped).expect("printable ASCII is a header value")
}

#[cfg(test)]
mod tests {
    use http::Request;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("application/grpc", true)]
    #[case("application/grpc+proto", true)]
    #[case("application/grpc; charset=utf-8", true)]
    #[case("application/grpc-web+proto", false)]
    #[case("application/grpcs", false)]
    #[case("application/json", false)]
    fn a_grpc_call_is_known_by_its_type(#[case] kind: &str, #[case] expected: bool) {
        let request = Request::post("/").header(CONTENT_TYPE, kind);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut head = RequestHead::from(head);
        head.version = Version::HTTP_2;
        assert_eq!(is_grpc(&head), expected);
        head.version = Version::HTTP_11;
        assert!(!is_grpc(&head));
    }

    #[rstest]
    #[case("1H", Some(Duration::from_hours(1)))]
    #[case("2M", Some(Duration::from_mins(2)))]
    #[case("30S", Some(Duration::from_secs(30)))]
    #[case("99999999m", Some(Duration::from_millis(99_999_999)))]
    #[case("7u", Some(Duration::from_micros(7)))]
    #[case("0n", Some(Duration::ZERO))]
    #[case("99999999H", Some(Duration::from_hours(99_999_999)))]
    #[case("100000000m", None)]
    #[case("m", None)]
    #[case("", None)]
    #[case("+1S", None)]
    #[case("1.5S", None)]
    #[case("1s", None)]
    #[case("1", None)]
    fn a_timeout_is_digits_and_a_unit(#[case] text: &str, #[case] expected: Option<Duration>) {
        let request = Request::post("/").header("grpc-timeout", text);
        let request = request.header(CONTENT_TYPE, "application/grpc");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut head = RequestHead::from(head);
        assert_eq!(timeout(&head), None);
        head.version = Version::HTTP_2;
        assert_eq!(timeout(&head), expected);
    }

    #[test]
    fn a_message_escapes_what_is_not_printable() {
        assert_eq!(message("plain text~"), "plain text~");
        assert_eq!(message("100% é\r\n"), "100%25 %C3%A9%0D%0A");
    }
}
