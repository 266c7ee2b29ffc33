//! Framing, judged once, before anything is made of it (SECURITY 2 and 3.1).
//!
//! A server that mends what it reads, and a next one that mends it otherwise, disagree about where a message ends;
//! that is how requests are smuggled. [`Guard`] mends nothing. It reads every byte of a connection's heads, chunk
//! lines and trailers once, before anybody else does, and where a message departs from RFC 9112 it says how far the bytes may
//! be handed on. What it lets through has one reading.
//!
//! Of HTTP/2 it judges no more than how many frames come that are no requests: hyper judges the rest of them.
//!
//! It judges where messages begin and end. What their targets and hosts mean is `proxy`'s matter.

mod bytes;
mod chunks;
mod error;
mod fields;
mod frames;
mod line;

pub use error::FramingError;
pub(super) use frames::too_many;

use super::preface::{PREFACE, Preface};
use chunks::Chunks;
use fields::{FieldLines, Progress};
use frames::Frames;
use line::RequestLine;

/// What a head may take.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, to the empty line and with it.
    pub bytes: usize,
    /// Fields; as many trailers, if that is fewer than 100.
    pub fields: usize,
}

/// The state of one connection: which byte of which message comes next. It holds no byte of any message but a field's
/// name while that comes, and never allocates.
///
/// In whatever pieces the bytes come, the result is the same.
#[derive(Debug, Clone)]
pub struct Guard {
    limits: HeadLimits,
    state: State,
    heads: usize,
}

#[derive(Debug, Clone)]
enum State {
    /// The connection may become one of HTTP/2.
    Preface(Preface),
    Head(Head),
    /// So much of a counted body is left.
    Counted(u64),
    Chunked(Chunks),
    /// The connection is one of HTTP/2.
    Frames(Frames),
    Refused(FramingError, Part),
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its head. Nothing of it was handed on.
    Head,
    /// Its body. It was handed on as far as it was good.
    Body,
}

#[derive(Debug, Clone)]
struct Head {
    line: RequestLine,
    is_line_read: bool,
    fields: FieldLines,
    taken: usize,
    most: usize,
}

impl Guard {
    /// The guard of a new connection.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Preface(Preface::default()),
            heads: 0,
        }
    }

    /// The guard of a new connection on which HTTP/1 was agreed on, so that it cannot become one of HTTP/2.
    #[must_use]
    pub fn http1(limits: HeadLimits) -> Self {
        Self {
            state: State::Head(Head::new(limits)),
            ..Self::new(limits)
        }
    }

    /// The guard of a new connection on which HTTP/2 was agreed on. The preface is hyper's to read.
    #[must_use]
    pub fn http2(limits: HeadLimits) -> Self {
        Self {
            state: State::Frames(Frames::behind(PREFACE.len())),
            ..Self::new(limits)
        }
    }

    /// Reads on, and says how many of `bytes` end outside of a head, a request's or a frame's: so many may be handed on, with
    /// all that came before them. The rest begins a head, which is to be kept back until it is whole, or is refused.
    ///
    /// Costs one pass over the bytes of heads, chunk lines and trailers, and nothing for those of bodies. A line whose end
    /// has not come, or with which something is wrong, is read once more.
    pub fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        let mut safe = 0;
        while let Some(rest) = bytes.get(read..)
            && !rest.is_empty()
        {
            match &mut self.state {
                State::Preface(preface) => match preface.take(rest) {
                    None => return safe,
                    Some(true) => {
                        let left = PREFACE.len() - preface.begun().len();
                        self.state = State::Frames(Frames::behind(left));
                    }
                    Some(false) => {
                        let begun = preface.begun();
                        self.state = State::Head(Head::new(self.limits));
                        self.take_head(begun);
                    }
                },
                State::Head(_) => {
                    read += self.take_head(rest);
                    if self.is_outside_heads() {
                        safe = read;
                    }
                }
                State::Counted(left) => {
                    let here = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    read += here;
                    safe = read;
                    if *left == 0 {
                        self.state = State::Head(Head::new(self.limits));
                    }
                }
                State::Chunked(chunks) => {
                    let (taken, progress) = chunks.take(rest);
                    read += taken;
                    safe = read;
                    match progress {
                        Progress::More => {}
                        Progress::Done => self.state = State::Head(Head::new(self.limits)),
                        Progress::Refused(error) => self.state = State::Refused(error, Part::Body),
                    }
                }
                State::Frames(frames) => {
                    let taken = frames.take(rest);
                    if taken.safe > 0 {
                        safe = read + taken.safe;
                    }
                    read += taken.read;
                    if !taken.is_paid {
                        let error = FramingError::TooManyFrames;
                        self.state = State::Refused(error, Part::Body);
                    }
                }
                State::Refused(..) => return safe,
            }
        }
        safe
    }

    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let State::Head(head) = &mut self.state else {
            return 0;
        };
        let (taken, progress) = head.take(bytes);
        match progress {
            Progress::More => {}
            Progress::Refused(error) => self.state = State::Refused(error, Part::Head),
            Progress::Done => {
                self.heads += 1;
                let said = head.fields.said();
                self.state = match said.length {
                    _ if said.is_chunked => State::Chunked(Chunks::new(self.limits.fields)),
                    None | Some(0) => State::Head(Head::new(self.limits)),
                    Some(length) => State::Counted(length),
                };
            }
        }
        taken
    }

    fn is_outside_heads(&self) -> bool {
        match &self.state {
            State::Head(head) => !head.has_begun(),
            State::Preface(_) | State::Refused(..) => false,
            State::Counted(_) | State::Chunked(_) | State::Frames(_) => true,
        }
    }

    /// Whether the connection is one of HTTP/2, and be it one whose frames were too many.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        matches!(
            self.state,
            State::Frames(_) | State::Refused(FramingError::TooManyFrames, _)
        )
    }

    /// Whether so many small frames of HTTP/2 came that their readers should have a turn; once said, it is over.
    pub fn is_turn_over(&mut self) -> bool {
        match &mut self.state {
            State::Frames(frames) => frames.is_turn_over(),
            _ => false,
        }
    }

    /// Gives an HTTP/2 connection credit for frames that are no requests.
    pub fn earn(&mut self, credit: u64) {
        if let State::Frames(frames) = &mut self.state {
            frames.earn(credit);
        }
    }

    /// What a head may take.
    #[must_use]
    pub const fn limits(&self) -> HeadLimits {
        self.limits
    }

    /// How many heads were let through.
    #[must_use]
    pub const fn heads(&self) -> usize {
        self.heads
    }

    /// Why nothing more is let through, and within which part of a message that was.
    #[must_use]
    pub const fn refused(&self) -> Option<(FramingError, Part)> {
        match self.state {
            State::Refused(error, part) => Some((error, part)),
            _ => None,
        }
    }

    /// Refuses the request whose head has begun to come, because the rest does not; `false` when there is none.
    pub fn give_up_waiting(&mut self) -> bool {
        let has_begun = match &self.state {
            State::Preface(preface) => !preface.begun().is_empty(),
            State::Head(head) => head.line.has_begun(),
            _ => false,
        };
        if has_begun {
            self.state = State::Refused(FramingError::HeadTooSlow, Part::Head);
        }
        has_begun
    }
}

impl Head {
    fn new(limits: HeadLimits) -> Self {
        Self {
            line: RequestLine::default(),
            is_line_read: false,
            fields: FieldLines::of_head(limits.fields),
            taken: 0,
            most: limits.bytes,
        }
    }

    const fn has_begun(&self) -> bool {
        self.taken > 0
    }

    /// Reads on: how many bytes were taken, and how far that led.
    fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let most = bytes.len().min(self.most - self.taken);
        let mut within = bytes.get(..most).unwrap_or_default();
        let mut read = 0;
        if !self.is_line_read {
            let (taken, progress) = self.line.take(within);
            read += taken;
            match progress {
                Progress::Done => self.is_line_read = true,
                Progress::More => {}
                Progress::Refused(_) => return (read, progress),
            }
            within = within.get(taken..).unwrap_or_default();
        }
        let mut progress = Progress::More;
        if self.is_line_read {
            let taken;
            (taken, progress) = self.fields.take(within);
            read += taken;
        }
        self.taken += read;
        let progress = match progress {
            Progress::More if most < bytes.len() => Progress::Refused(self.too_large()),
            Progress::Done => self.conclude(),
            progress => progress,
        };
        (read, progress)
    }

    fn too_large(&self) -> FramingError {
        if self.line.is_before_version() {
            FramingError::TargetTooLong
        } else {
            FramingError::HeadTooLarge
        }
    }

    /// What only a whole head shows.
    fn conclude(&self) -> Progress {
        let said = self.fields.said();
        if said.is_chunked && !self.line.is_http11() {
            return Progress::Refused(FramingError::CodingInHttp10);
        }
        if !said.has_host && self.line.is_http11() {
            return Progress::Refused(FramingError::NoHost);
        }
        Progress::Done
    }
}
