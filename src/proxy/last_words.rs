//! What a caller is told, in the words of what it is being answered, when its call is ended with its key.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Frame;

use super::Rejection;
use crate::message::{Fields, Value};
use crate::route::ErrorForm;

/// How an answer that has begun can say that its call was ended.
pub(super) enum LastWords {
    /// By an event, where one has not begun (WHATWG, "Server-sent events").
    Event(ErrorForm, Boundary),
    /// By gRPC's status, in trailers.
    Status,
    /// By its breaking off: it has no end that would not be taken for its own.
    Nothing,
}

/// Whether the bytes so far end where an event does.
pub(super) struct Boundary {
    /// The line ends in a row that they end with: two end an event. Nothing yet is as good.
    line_ends: u8,
    after_return: bool,
}

impl LastWords {
    /// What can be said in an answer with this head; `form` is its route's.
    pub(super) fn of(head: &Fields, form: ErrorForm, is_grpc: bool) -> Self {
        let begins = |kind: &str| {
            let value = head.get(&CONTENT_TYPE).map(Value::as_bytes);
            let start = value.and_then(|value| value.get(..kind.len()));
            start.is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
        };
        if is_grpc && begins("application/grpc") {
            return Self::Status;
        }
        let is_plain = !head.contains_key(&CONTENT_ENCODING) && !head.contains_key(&CONTENT_LENGTH);
        if is_plain && begins("text/event-stream") {
            return Self::Event(form, Boundary::START);
        }
        Self::Nothing
    }

    /// Takes note of what was answered.
    pub(super) fn after(&mut self, frame: &Frame<Bytes>) {
        if let (Self::Event(_, boundary), Some(bytes)) = (self, frame.data_ref()) {
            boundary.pass(bytes);
        }
    }

    /// The end of the answer; `None` when it has to break off.
    pub(super) fn frame(&self, why: &Rejection) -> Option<Frame<Bytes>> {
        match self {
            Self::Event(form, boundary) if boundary.is_here() => {
                let event = format!("event: error\ndata: {}\n\n", why.in_form(*form));
                Some(Frame::data(Bytes::from(event)))
            }
            Self::Status => Some(Frame::trailers(why.grpc_status())),
            Self::Event(..) | Self::Nothing => None,
        }
    }
}

impl Boundary {
    const START: Self = Self {
        line_ends: 2,
        after_return: false,
    };

    /// Lines end with a line feed, a carriage return, or both; an empty one ends an event.
    fn pass(&mut self, bytes: &[u8]) {
        // More than the last few say nothing new.
        let last = bytes.get(bytes.len().saturating_sub(4)..).unwrap_or(bytes);
        for byte in last {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => self.line_ends = (self.line_ends + 1).min(2),
                _ => self.line_ends = 0,
            }
            self.after_return = *byte == b'\r';
        }
    }

    const fn is_here(&self) -> bool {
        self.line_ends >= 2
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing(&[], true)]
    #[case::an_event(&["data: 1\n\n"], true)]
    #[case::in_pieces(&["data: 1", "\n", "\n"], true)]
    #[case::with_returns(&["data: 1\r\n\r\n"], true)]
    #[case::with_returns_in_pieces(&["data: 1\r", "\n\r", "\n"], true)]
    #[case::with_returns_alone(&["data: 1\r\r"], true)]
    #[case::a_line(&["data: 1\n"], false)]
    #[case::a_line_with_both(&["data: 1\r\n"], false)]
    #[case::a_part(&["data: 1\n\nda", "ta"], false)]
    #[case::one_byte_more(&["data: 1\n\n", ":"], false)]
    #[case::a_comment(&[": ping\n\n"], true)]
    fn an_event_is_told_where_one_has_not_begun(#[case] parts: &[&str], #[case] is_here: bool) {
        let mut boundary = Boundary::START;
        for part in parts {
            boundary.pass(part.as_bytes());
        }
        assert_eq!(boundary.is_here(), is_here);
    }

    #[rstest]
    #[case::events("text/event-stream; charset=utf-8", None, false, "event")]
    #[case::events_in_any_case("Text/Event-Stream", None, false, "event")]
    #[case::compressed("text/event-stream", Some(("content-encoding", "gzip")), false, "nothing")]
    #[case::counted("text/event-stream", Some(("content-length", "9")), false, "nothing")]
    #[case::grpc("application/grpc+proto", None, true, "status")]
    #[case::grpc_by_a_caller_of_something_else("application/grpc", None, false, "nothing")]
    #[case::json("application/json", None, false, "nothing")]
    #[case::short("text", None, false, "nothing")]
    fn what_can_be_said_is_told_by_the_head(
        #[case] kind: &'static str,
        #[case] more: Option<(&'static str, &'static str)>,
        #[case] is_grpc: bool,
        #[case] expected: &str,
    ) {
        let mut head = Fields::new();
        head.append(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some((name, value)) = more {
            let name = HeaderName::from_static(name);
            head.append(name, HeaderValue::from_static(value));
        }
        let words = match LastWords::of(&head, ErrorForm::Openai, is_grpc) {
            LastWords::Event(..) => "event",
            LastWords::Status => "status",
            LastWords::Nothing => "nothing",
        };
        assert_eq!(words, expected);
    }
}
