use super::FramingError;
use super::bytes::{is_token, is_value, token_run, value_run, white_run};

/// How far the bytes led that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All were taken; more are wanted.
    More,
    /// It is complete; what follows belongs to something else.
    Done,
    /// The next byte, or what it completes, is not allowed.
    Refused(FramingError),
}

/// Field lines to the empty line that ends them: `name ":" OWS value OWS CRLF` (RFC 9112, 5), a head's or a trailer
/// section's.
#[derive(Debug, Clone)]
pub(super) struct FieldLines {
    at: At,
    name: Name,
    meaning: Meaning,
    count: usize,
    most: usize,
    /// `None` in a trailer section, which may say nothing of the framing.
    said: Option<Said>,
}

/// What a head's fields say of where its message ends, and of the host.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said {
    /// The length that `Content-Length` says.
    pub(super) length: Option<u64>,
    /// Whether `Transfer-Encoding: chunked` stands there.
    pub(super) is_chunked: bool,
    /// Whether there is a `Host`.
    pub(super) has_host: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Name,
    /// Behind the colon, before the value.
    Lead,
    Value,
    LineFeed,
    /// Behind the carriage return of the last, empty line.
    LastLineFeed,
}

/// What a field means to us, and how far its value has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Nothing,
    /// `Content-Length`.
    Length(Length),
    /// `Transfer-Encoding`.
    Coding(Coding),
}

impl Meaning {
    /// Takes a part of the value.
    fn take(&mut self, run: &[u8]) -> Result<(), FramingError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Length(length) => run.iter().try_for_each(|byte| length.take(*byte)),
            Self::Coding(coding) => run.iter().try_for_each(|byte| coding.take(*byte)),
        }
    }
}

/// The largest length: more than that, others who count bytes in 64 bits take for a negative number.
pub(super) const LONGEST: u64 = i64::MAX.unsigned_abs();

const CHUNKED: &[u8; 7] = b"chunked";

/// Digits, and nothing behind them but white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Length {
    value: Option<u64>,
    is_over: bool,
}

impl Length {
    fn take(&mut self, byte: u8) -> Result<(), FramingError> {
        let digit = match byte {
            b' ' | b'\t' => {
                self.is_over = true;
                return Ok(());
            }
            b'0'..=b'9' if !self.is_over => u64::from(byte - b'0'),
            _ => return Err(FramingError::Length),
        };
        let value = match self.value {
            None => Some(digit),
            // A zero that is not alone: some read it as octal.
            Some(0) => None,
            Some(value) => value.checked_mul(10).and_then(|ten| ten.checked_add(digit)),
        };
        let value = value.filter(|value| *value <= LONGEST);
        self.value = Some(value.ok_or(FramingError::Length)?);
        Ok(())
    }
}

/// So much of [`CHUNKED`] has come, and nothing behind it but white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Coding {
    matched: usize,
    is_over: bool,
}

impl Coding {
    fn take(&mut self, byte: u8) -> Result<(), FramingError> {
        if matches!(byte, b' ' | b'\t') {
            self.is_over = true;
            return Ok(());
        }
        let wanted = CHUNKED.get(self.matched).filter(|_| !self.is_over);
        if wanted != Some(&byte.to_ascii_lowercase()) {
            return Err(FramingError::NotChunked);
        }
        self.matched += 1;
        Ok(())
    }
}

/// A name that means something to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Host,
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding`.
    Coding,
}

impl Known {
    /// Which of them `name` is, if any; an error when it only would be one to a reader for whom `_` or `.` is `-`, as it is
    /// to many who hand headers on as variables.
    fn named(name: &[u8]) -> Result<Option<Self>, FramingError> {
        Ok(if is(name, b"host", b"Host")? {
            Some(Self::Host)
        } else if is(name, b"content-length", b"Content-Length")? {
            Some(Self::Length)
        } else if is(name, b"transfer-encoding", b"Transfer-Encoding")? {
            Some(Self::Coding)
        } else {
            None
        })
    }
}

/// Whether `name` is `known`, which most write so, or as is `usual`; an error when it only looks like it.
fn is<const LENGTH: usize>(
    name: &[u8],
    known: &[u8; LENGTH],
    usual: &[u8; LENGTH],
) -> Result<bool, FramingError> {
    match name.as_array() {
        Some(name) => Ok(name == known || name == usual || is_otherwise(name, known)?),
        None => Ok(false),
    }
}

/// The same, however it is written, of a name as long as `known`.
#[inline(never)]
fn is_otherwise(name: &[u8], known: &[u8]) -> Result<bool, FramingError> {
    if name.eq_ignore_ascii_case(known) {
        return Ok(true);
    }
    let looks_alike = name.iter().zip(known).all(|(byte, known)| {
        byte.eq_ignore_ascii_case(known) || (*known == b'-' && matches!(byte, b'_' | b'.'))
    });
    if looks_alike {
        return Err(FramingError::LookalikeName);
    }
    Ok(false)
}

/// The longest name that means something to us.
const LONGEST_NAME: usize = 17;

/// A name, as far as it can matter.
#[derive(Debug, Clone, Default)]
struct Name {
    text: [u8; LONGEST_NAME],
    /// More than fit when it is too long to matter.
    length: usize,
}

impl Name {
    fn push(&mut self, run: &[u8]) {
        let end = self.length.saturating_add(run.len());
        if let Some(place) = self.text.get_mut(self.length..end) {
            place.copy_from_slice(run);
        }
        self.length = end;
    }

    /// The name; nothing of one that is too long to matter.
    fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

impl FieldLines {
    /// Those of a head, of which there may be `most`.
    pub(super) fn of_head(most: usize) -> Self {
        Self::new(most, Some(Said::default()))
    }

    /// Those of a trailer section, of which there may be `most`.
    pub(super) fn of_trailers(most: usize) -> Self {
        Self::new(most, None)
    }

    fn new(most: usize, said: Option<Said>) -> Self {
        Self {
            at: At::LineStart,
            name: Name::default(),
            meaning: Meaning::Nothing,
            count: 0,
            most,
            said,
        }
    }

    /// What a head's fields have said so far.
    pub(super) fn said(&self) -> Said {
        self.said.unwrap_or_default()
    }

    /// Reads on: how many bytes were taken, and how far that led.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..)
            && let Some(&first) = rest.first()
        {
            if self.at == At::LineStart
                && let Some(taken) = self.take_line(rest)
            {
                read += taken;
                continue;
            }
            match self.step(first, rest) {
                Ok(Some(taken)) => read += taken,
                Ok(None) => return (read + 1, Progress::Done),
                Err(error) => return (read, Progress::Refused(error)),
            }
        }
        (read, Progress::More)
    }

    /// Takes the line that stands first, where it is whole and nothing is wrong with it. Anything else changes nothing:
    /// what is wrong is for [`FieldLines::next`] to say.
    fn take_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let (name, behind) = bytes.split_at_checked(token_run(bytes))?;
        let behind = behind.strip_prefix(b":")?;
        let (value, behind) = behind.split_at_checked(value_run(behind))?;
        let rest = behind.strip_prefix(b"\r\n")?;
        if name.is_empty() || self.count == self.most {
            return None;
        }
        if let Some(known) = Known::named(name).ok()? {
            let mut meaning = self.understand(known).ok()?;
            meaning.take(value.get(white_run(value)..)?).ok()?;
            self.conclude(meaning).ok()?;
        }
        self.count += 1;
        Some(bytes.len() - rest.len())
    }

    /// Takes as much as leads somewhere else, or nowhere yet; `None` at the end of the section, one byte on.
    fn step(&mut self, first: u8, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        let run = self.take_run(bytes)?;
        if run > 0 {
            return Ok(Some(run));
        }
        let at = self.next(first)?;
        Ok(at.map(|at| {
            self.at = at;
            1
        }))
    }

    /// Takes the bytes that change nothing about where we are.
    fn take_run(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        match self.at {
            At::Name => {
                let run = token_run(bytes);
                self.name.push(bytes.get(..run).unwrap_or_default());
                Ok(run)
            }
            At::Lead => Ok(white_run(bytes)),
            At::Value => {
                let run = value_run(bytes);
                self.meaning.take(bytes.get(..run).unwrap_or_default())?;
                Ok(run)
            }
            At::LineStart | At::LineFeed | At::LastLineFeed => Ok(0),
        }
    }

    /// Where one byte leads; `None` at the end of the section.
    fn next(&mut self, byte: u8) -> Result<Option<At>, FramingError> {
        Ok(Some(match (self.at, byte) {
            (At::LineStart, b'\r') => At::LastLineFeed,
            (At::LineStart, b' ' | b'\t') => return Err(FramingError::FoldedLine),
            (At::LineStart, byte) if is_token(byte) => {
                self.count += 1;
                if self.count > self.most {
                    return Err(FramingError::TooManyFields);
                }
                self.name.length = 0;
                self.name.push(&[byte]);
                At::Name
            }
            (At::Name, b':') => {
                self.meaning = match Known::named(self.name.text())? {
                    Some(known) => self.understand(known)?,
                    None => Meaning::Nothing,
                };
                At::Lead
            }
            (At::Name, b' ' | b'\t') => return Err(FramingError::SpaceBeforeColon),
            (At::Lead | At::Value, b'\r') => At::LineFeed,
            (At::LineFeed, b'\n') => {
                let meaning = std::mem::replace(&mut self.meaning, Meaning::Nothing);
                self.conclude(meaning)?;
                At::LineStart
            }
            (At::LastLineFeed, b'\n') => return Ok(None),
            (At::LineFeed | At::LastLineFeed, _) => return Err(FramingError::BareCarriageReturn),
            (_, b'\n') => return Err(FramingError::BareLineFeed),
            (At::Lead, byte) if is_value(byte) => {
                self.meaning.take(&[byte])?;
                At::Value
            }
            (At::Lead | At::Value, _) => return Err(FramingError::FieldValue),
            (At::LineStart | At::Name, _) => return Err(FramingError::FieldName),
        }))
    }

    /// What it means that a field of this name is there. Where that is an error, nothing is noted.
    fn understand(&mut self, name: Known) -> Result<Meaning, FramingError> {
        let said = self.said.as_mut().ok_or(FramingError::ForbiddenTrailer)?;
        match (name, said.length, said.is_chunked) {
            (Known::Host, ..) if said.has_host => Err(FramingError::TwoHosts),
            (Known::Host, ..) => {
                said.has_host = true;
                Ok(Meaning::Nothing)
            }
            (Known::Length, Some(_), _) => Err(FramingError::Length),
            (Known::Coding, _, true) => Err(FramingError::NotChunked),
            (Known::Length, None, true) | (Known::Coding, Some(_), false) => {
                Err(FramingError::TwoFramings)
            }
            (Known::Length, None, false) => Ok(Meaning::Length(Length::default())),
            (Known::Coding, None, false) => Ok(Meaning::Coding(Coding::default())),
        }
    }

    /// Notes what the value that has ended says. Where that is an error, nothing is noted.
    fn conclude(&mut self, meaning: Meaning) -> Result<(), FramingError> {
        let Some(said) = &mut self.said else {
            return Ok(());
        };
        match meaning {
            Meaning::Nothing => {}
            Meaning::Length(Length { value: None, .. }) => return Err(FramingError::Length),
            Meaning::Length(length) => said.length = length.value,
            Meaning::Coding(coding) if coding.matched < CHUNKED.len() => {
                return Err(FramingError::NotChunked);
            }
            Meaning::Coding(_) => said.is_chunked = true,
        }
        Ok(())
    }
}
