use super::FramingError;
use super::bytes::{is_target, is_token, target_run, token_run};
use super::fields::Progress;

/// A request line: `METHOD SP target SP HTTP/1.x CRLF`, and at most one empty line before it (RFC 9112, 2.2 and 3).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RequestLine {
    at: At,
    /// Whether it is HTTP/1.1, once its end is reached.
    is_http11: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// Behind the carriage return of an empty line.
    EmptyLine,
    /// An empty line has come; there may be no other.
    StartAgain,
    Method,
    /// The target's first byte is to come.
    TargetStart,
    Target,
    /// So much of [`VERSION`] has come.
    Version(usize),
    Minor,
    Return,
    LineFeed,
}

/// What every version begins with that is accepted.
const VERSION: &[u8; 7] = b"HTTP/1.";

impl RequestLine {
    /// Whether it is HTTP/1.1 and not 1.0; known at its end.
    pub(super) const fn is_http11(self) -> bool {
        self.is_http11
    }

    /// Whether anything but an empty line has come.
    pub(super) fn has_begun(self) -> bool {
        !matches!(self.at, At::Start | At::EmptyLine | At::StartAgain)
    }

    /// Whether its target has not ended.
    pub(super) fn is_before_version(self) -> bool {
        matches!(self.at, At::Method | At::TargetStart | At::Target)
    }

    /// Reads on: how many bytes were taken, and how far that led.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        if self.at == At::Start
            && let Some((taken, is_http11)) = whole(bytes)
        {
            self.is_http11 = is_http11;
            self.at = At::LineFeed;
            return (taken, Progress::Done);
        }
        let mut read = 0;
        while let Some(rest) = bytes.get(read..)
            && let Some(&byte) = rest.first()
        {
            let step = match self.at {
                At::Method => token_run(rest),
                At::Target => target_run(rest),
                _ => 0,
            };
            if step > 0 {
                read += step;
                continue;
            }
            match self.next(byte) {
                Ok(Some(at)) => self.at = at,
                Ok(None) => return (read + 1, Progress::Done),
                Err(error) => return (read, Progress::Refused(error)),
            }
            read += 1;
        }
        (read, Progress::More)
    }

    /// Where one byte leads; `None` at the end of the line.
    fn next(&mut self, byte: u8) -> Result<Option<At>, FramingError> {
        Ok(Some(match (self.at, byte) {
            (At::Start, b'\r') => At::EmptyLine,
            (At::EmptyLine, b'\n') => At::StartAgain,
            (At::StartAgain, b'\r') => return Err(FramingError::EmptyLines),
            (At::Start | At::StartAgain, byte) if is_token(byte) => At::Method,
            (At::Method, b' ') => At::TargetStart,
            (At::TargetStart, byte) if is_target(byte) => At::Target,
            (At::Target, b' ') => At::Version(0),
            (At::Version(matched), byte) if VERSION.get(matched) == Some(&byte) => {
                if matched + 1 == VERSION.len() {
                    At::Minor
                } else {
                    At::Version(matched + 1)
                }
            }
            (At::Minor, b'0' | b'1') => {
                self.is_http11 = byte == b'1';
                At::Return
            }
            (At::Return, b'\r') => At::LineFeed,
            (At::LineFeed, b'\n') => return Ok(None),
            (At::EmptyLine | At::LineFeed, _) => return Err(FramingError::BareCarriageReturn),
            (_, b'\n') => return Err(FramingError::BareLineFeed),
            (At::TargetStart | At::Target, byte) if byte != b' ' && byte != b'\r' => {
                return Err(FramingError::Target);
            }
            _ => return Err(FramingError::RequestLine),
        }))
    }
}

/// The length of the line that stands first, and whether it is HTTP/1.1, where it is whole and nothing is wrong with it.
fn whole(bytes: &[u8]) -> Option<(usize, bool)> {
    let method = token_run(bytes);
    let behind = bytes.get(method..)?.strip_prefix(b" ")?;
    let target = target_run(behind);
    let behind = behind.get(target..)?.strip_prefix(b" ")?;
    let [minor @ (b'0' | b'1'), b'\r', b'\n', rest @ ..] = behind.strip_prefix(VERSION)? else {
        return None;
    };
    (method > 0 && target > 0).then_some((bytes.len() - rest.len(), *minor == b'1'))
}
