//! A body in chunks, as it is read (RFC 9112, 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::{memchr, memchr_iter};

use super::MOST_FIELDS;

/// The longest line that says how long a chunk is, in bytes: its extensions say nothing to us, and may be long. As much as the
/// guard of the caller's side lets through, and a size before it.
const LONGEST_LINE: usize = 17 * 1024;

/// The most that trailers may take, in bytes: hyper's number.
const MOST_TRAILER_BYTES: usize = 16 * 1024;

/// Why what was read is no body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChunkError(&'static str);

/// How far a chunked body was read.
#[derive(Debug, Default)]
pub struct Chunks(State);

#[derive(Debug, Default)]
enum State {
    /// A chunk's size comes.
    #[default]
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// A chunk's data is over, and its line's end comes.
    LineEnd,
    /// The last chunk was there; trailers, or none, and the end come.
    Trailers,
    End,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A part of the body, as much as is there.
    Data(Bytes),
    /// The trailers behind it, which are its end.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// More must be read first.
    More,
}

impl Chunks {
    /// Takes from `read` what comes next.
    ///
    /// # Errors
    ///
    /// When it is not what RFC 9112 says: nothing is guessed. What is left of the connection is of no use then.
    pub fn next(&mut self, read: &mut BytesMut) -> Result<Next, ChunkError> {
        loop {
            self.0 = match self.0 {
                State::Size => match take_line(read, LONGEST_LINE)? {
                    None => return Ok(Next::More),
                    Some(line) => match size(&line)? {
                        0 => State::Trailers,
                        size => State::Data(size),
                    },
                },
                State::Data(left) => {
                    if read.is_empty() {
                        return Ok(Next::More);
                    }
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
                    let left = left - here as u64;
                    self.0 = if left == 0 {
                        State::LineEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Next::Data(read.split_to(here).freeze()));
                }
                State::LineEnd => match &**read {
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        State::Size
                    }
                    [] | [b'\r'] => return Ok(Next::More),
                    _ => return Err(ChunkError("a chunk is longer than it says")),
                },
                State::Trailers => {
                    let trailers = take_trailers(read)?;
                    let Some(trailers) = trailers else {
                        return Ok(Next::More);
                    };
                    self.0 = State::End;
                    if trailers.is_empty() {
                        return Ok(Next::End);
                    }
                    return Ok(Next::Trailers(trailers));
                }
                State::End => return Ok(Next::End),
            };
        }
    }

    /// Whether the end was read.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.0, State::End)
    }
}

/// A line without its end; `None` while that has not come.
fn take_line(read: &mut BytesMut, longest: usize) -> Result<Option<BytesMut>, ChunkError> {
    let too_long = Err(ChunkError("a line is too long"));
    match memchr(b'\n', read) {
        None if read.len() > longest => too_long,
        None => Ok(None),
        Some(end) if end > longest => too_long,
        Some(end) => {
            let mut line = read.split_to(end + 1);
            if !line.ends_with(b"\r\n") {
                return Err(ChunkError("a line ends without a carriage return"));
            }
            line.truncate(end - 1);
            Ok(Some(line))
        }
    }
}

/// How long a chunk is; what extensions say is left out.
fn size(line: &[u8]) -> Result<u64, ChunkError> {
    let malformed = ChunkError("a chunk does not say its size");
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let digits = digits.count();
    let (size, rest) = line.split_at(digits);
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    let extension = rest.get(blank.count()..).unwrap_or_default();
    let is_extension = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    match extension {
        [] | [b';', ..] if extension.iter().all(is_extension) => {}
        _ => return Err(malformed),
    }
    let size = std::str::from_utf8(size).ok();
    // Sixteen digits are all that a length can have; more would overflow, zeros before them or not.
    size.filter(|size| size.len() <= 16)
        .and_then(|size| u64::from_str_radix(size, 16).ok())
        .ok_or(malformed)
}

/// The trailers, or none, once the empty line behind them has come.
fn take_trailers(read: &mut BytesMut) -> Result<Option<HeaderMap>, ChunkError> {
    if let [b'\r', b'\n', ..] = **read {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let malformed = |_| ChunkError("trailers are malformed");
    match httparse::parse_headers(read, &mut fields).map_err(malformed)? {
        httparse::Status::Partial if read.len() > MOST_TRAILER_BYTES => {
            Err(ChunkError("trailers are too long"))
        }
        httparse::Status::Complete((end, _)) if end > MOST_TRAILER_BYTES => {
            Err(ChunkError("trailers are too long"))
        }
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete((end, fields)) => {
            let malformed = || ChunkError("trailers are malformed");
            let section = read.get(..end).unwrap_or_default();
            let is_ended = |at: usize| section.get(..at).unwrap_or_default().ends_with(b"\r");
            if !memchr_iter(b'\n', section).all(is_ended) {
                // Some take it for a line's end, and some do not.
                return Err(ChunkError("a line ends without a carriage return"));
            }
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let value = HeaderValue::from_bytes(field.value);
                trailers.append(
                    name.map_err(|_| malformed())?,
                    value.map_err(|_| malformed())?,
                );
            }
            read.advance(end);
            Ok(Some(trailers))
        }
    }
}

#[cfg(test)]
mod tests;
