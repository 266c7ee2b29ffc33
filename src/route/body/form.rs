use memchr::memchr2;

use super::BodyFault;
use super::matcher::Matcher;
use super::part::{self, PartKind};
use crate::key::MAX_MODEL_BYTES;

/// The longest head of a part, in bytes: a name, a filename and a type.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Finds the part `model` of a multipart form that comes in pieces of any size, and judges all of it.
///
/// Fed to the end, it has accepted only forms that every reader takes apart at the same places: as RFC 2046 5.1.1 and
/// RFC 7578 write them, without preamble, without text after the end, and with the boundary nowhere else. Pure; holds
/// the head of one part and the model.
#[derive(Debug)]
pub struct FormScanner {
    state: State,
    /// Finds what must stand between parts: a line end, two dashes and the boundary.
    delimiter: Matcher,
    /// Finds the boundary wherever some reader may see it.
    boundary: Matcher,
    head: Vec<u8>,
    model: Model,
    /// How many bytes there are once the piece in hand is read.
    end: u64,
    fault: Option<BodyFault>,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter, where nothing may stand.
    Start,
    /// After a delimiter: the line end, or the dashes of the last one.
    Delimiter,
    DelimiterLineEnd,
    DelimiterDash,
    Head,
    Content,
    /// The content of the part `model`.
    ModelContent,
    /// After the last delimiter, where a line end may stand.
    End,
    EndLineEnd,
    Over,
}

#[derive(Debug)]
enum Model {
    NotSeen,
    /// What has come of it, and perhaps of the delimiter after it.
    Coming(Vec<u8>),
    Known {
        name: String,
        at: u64,
    },
}

impl FormScanner {
    /// A scanner of a form whose parts `boundary` divides.
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        let mut delimiter = Matcher::new(format!("\r\n--{boundary}").into_bytes());
        // The first delimiter needs no line end before it (RFC 2046, `dash-boundary`).
        delimiter.step(b'\r');
        delimiter.step(b'\n');
        Self {
            state: State::Start,
            delimiter,
            boundary: Matcher::new(format!("--{boundary}").into_bytes()),
            head: Vec::new(),
            model: Model::NotSeen,
            end: 0,
            fault: None,
        }
    }

    /// Judges the next piece.
    ///
    /// # Errors
    ///
    /// The first fault of the form, now and at every later call. What was pushed with it must not go on.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.end += piece.len() as u64;
        self.take(piece)
            .inspect_err(|fault| self.fault = Some(*fault))
    }

    /// The model, once it is known.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match &self.model {
            Model::Known { name, .. } => Some(name),
            Model::NotSeen | Model::Coming(_) => None,
        }
    }

    /// How many bytes of the form there were when the model became known.
    #[must_use]
    pub const fn found_at(&self) -> Option<u64> {
        match &self.model {
            Model::Known { at, .. } => Some(*at),
            Model::NotSeen | Model::Coming(_) => None,
        }
    }

    /// Judges that the form ends here; gives its model.
    ///
    /// # Errors
    ///
    /// The first fault of the form; that it is cut short or names no model is one.
    pub fn finish(&mut self) -> Result<&str, BodyFault> {
        if self.fault.is_none() && !matches!(self.state, State::End | State::Over) {
            self.fault = Some(BodyFault::NotForm);
        }
        match (self.fault, self.model()) {
            (Some(fault), _) => Err(fault),
            (None, Some(_)) => Ok(self.model().unwrap_or_default()),
            (None, None) => Err(BodyFault::NoModel),
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Start | State::Content => self.take_content(rest)?,
                State::ModelContent => self.take_model(byte, after).map(|()| after)?,
                State::Head => self.take_head(byte).map(|()| after)?,
                state => {
                    self.state = match (state, byte) {
                        (State::Delimiter, b'\r') => State::DelimiterLineEnd,
                        (State::Delimiter, b'-') => State::DelimiterDash,
                        (State::DelimiterLineEnd, b'\n') => State::Head,
                        (State::DelimiterDash, b'-') => State::End,
                        (State::End, b'\r') => State::EndLineEnd,
                        (State::EndLineEnd, b'\n') => State::Over,
                        _ => return Err(BodyFault::NotForm),
                    };
                    after
                }
            };
        }
        Ok(())
    }

    /// Reads content up to the end of a delimiter, or of the piece.
    fn take_content<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], BodyFault> {
        let mut rest = piece;
        loop {
            if self.state == State::Content && self.delimiter.is_idle() && self.boundary.is_idle() {
                let next = memchr2(b'\r', b'-', rest);
                rest = &rest[next.unwrap_or(rest.len())..];
            }
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(rest);
            };
            rest = after;
            if self.divides(byte)? {
                self.state = State::Delimiter;
                return Ok(rest);
            }
            if self.state == State::Start && self.boundary.is_idle() {
                return Err(BodyFault::NotForm);
            }
        }
    }

    fn take_model(&mut self, byte: u8, after: &[u8]) -> Result<(), BodyFault> {
        let divides = self.divides(byte)?;
        let delimiter = self.delimiter.len();
        let Model::Coming(value) = &mut self.model else {
            return Err(BodyFault::NotForm);
        };
        value.push(byte);
        if divides {
            value.truncate(value.len().saturating_sub(delimiter));
            let name = str::from_utf8(value).map_err(|_| BodyFault::NotUtf8)?;
            if !super::is_usable(name) {
                return Err(BodyFault::Unusable);
            }
            self.model = Model::Known {
                name: name.to_owned(),
                at: self.end - after.len() as u64,
            };
            self.state = State::Delimiter;
        } else if value.len() > MAX_MODEL_BYTES + delimiter {
            return Err(BodyFault::Unusable);
        }
        Ok(())
    }

    /// Whether a delimiter ends with this byte of content. The boundary anywhere else is a delimiter to some readers.
    fn divides(&mut self, byte: u8) -> Result<bool, BodyFault> {
        let divides = self.delimiter.step(byte);
        if self.boundary.step(byte) == divides {
            Ok(divides)
        } else {
            Err(BodyFault::NotForm)
        }
    }

    fn take_head(&mut self, byte: u8) -> Result<(), BodyFault> {
        if self.head.len() == MAX_HEAD_BYTES {
            return Err(BodyFault::NotForm);
        }
        self.head.push(byte);
        if !self.head.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let kind = part::kind_of(&self.head)?;
        self.head.clear();
        self.delimiter.reset();
        self.boundary.reset();
        self.state = State::Content;
        if kind == PartKind::Model {
            if !matches!(self.model, Model::NotSeen) {
                return Err(BodyFault::Repeated);
            }
            self.model = Model::Coming(Vec::new());
            self.state = State::ModelContent;
        }
        Ok(())
    }
}
