use super::FramingError;
use super::bytes::{is_token, is_white};
use super::fields::{FieldLines, LONGEST, Progress};

/// How much all extensions of a body may take together, in bytes: hyper's number.
const MOST_EXTENSIONS: usize = 16 * 1024 - 1;
/// How much a trailer section may take, its last line included, in bytes: hyper's number.
const MOST_TRAILERS: usize = 16 * 1024 - 1;
/// How many trailer fields there may be, at most.
const MOST_TRAILER_FIELDS: usize = 100;
/// How many digits a size may have: those of 64 bits.
const MOST_DIGITS: usize = 16;

/// A body in chunks, and the trailers behind it (RFC 9112, 7.1). Its data are counted past.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    at: At,
    digits: usize,
    /// The size, as far as it has come; then what is left of the data.
    left: u64,
    extensions: usize,
    trailer_bytes: usize,
    trailers: FieldLines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// Behind a semicolon: white space, then a name.
    ExtensionStart,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
}

impl Chunks {
    /// A new body, with at most `most_fields` trailers.
    pub(super) fn new(most_fields: usize) -> Self {
        Self {
            at: At::Size,
            digits: 0,
            left: 0,
            extensions: 0,
            trailer_bytes: 0,
            trailers: FieldLines::of_trailers(most_fields.min(MOST_TRAILER_FIELDS)),
        }
    }

    /// Reads on: how many bytes were taken, and how far that led. All that was taken may be handed on, even before a
    /// refusal: it is no whole chunk, or no whole body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..)
            && let Some(&byte) = rest.first()
        {
            match self.at {
                At::Data => {
                    let here = rest
                        .len()
                        .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= here as u64;
                    read += here;
                    if self.left == 0 {
                        self.at = At::DataReturn;
                    }
                }
                At::Trailers => {
                    let (taken, progress) = self.take_trailers(rest);
                    read += taken;
                    if progress != Progress::More {
                        return (read, progress);
                    }
                }
                _ => match self.next(byte) {
                    Ok(at) => {
                        self.at = at;
                        read += 1;
                    }
                    Err(error) => return (read, Progress::Refused(error)),
                },
            }
        }
        (read, Progress::More)
    }

    /// Where one byte of the framing leads.
    fn next(&mut self, byte: u8) -> Result<At, FramingError> {
        match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLineFeed),
            (At::Size, b';') if self.digits > 0 => Ok(At::ExtensionStart),
            (At::Size, byte) => {
                self.left = self.size_with(byte).ok_or(FramingError::ChunkSize)?;
                Ok(At::Size)
            }
            (At::ExtensionStart, byte) if is_white(byte) => self.extended(At::ExtensionStart),
            (At::ExtensionStart, byte) if is_token(byte) => self.extended(At::Extension),
            (At::Extension, b'\r') => Ok(At::SizeLineFeed),
            (At::Extension, byte) if is_white(byte) || byte.is_ascii_graphic() => {
                self.extended(At::Extension)
            }
            (At::ExtensionStart | At::Extension, _) => Err(FramingError::ChunkExtension),
            (At::SizeLineFeed, b'\n') => {
                self.digits = 0;
                Ok(if self.left > 0 {
                    At::Data
                } else {
                    At::Trailers
                })
            }
            (At::DataReturn, b'\r') => Ok(At::DataLineFeed),
            (At::DataLineFeed, b'\n') => Ok(At::Size),
            (At::DataReturn | At::DataLineFeed, _) => Err(FramingError::ChunkEnd),
            (At::SizeLineFeed | At::Data | At::Trailers, _) => {
                Err(FramingError::BareCarriageReturn)
            }
        }
    }

    /// The size with one more digit; `None` when that is none, or one too many.
    fn size_with(&mut self, byte: u8) -> Option<u64> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits += 1;
        let size = self.left.checked_mul(16)?.checked_add(u64::from(digit))?;
        (self.digits <= MOST_DIGITS && size <= LONGEST).then_some(size)
    }

    /// Counts a byte of an extension, and goes on `at`.
    fn extended(&mut self, at: At) -> Result<At, FramingError> {
        self.extensions += 1;
        if self.extensions > MOST_EXTENSIONS {
            return Err(FramingError::ExtensionsTooLong);
        }
        Ok(at)
    }

    fn take_trailers(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let most = bytes.len().min(MOST_TRAILERS - self.trailer_bytes);
        if most == 0 {
            return (0, Progress::Refused(FramingError::TrailersTooLong));
        }
        let (taken, progress) = self.trailers.take(bytes.get(..most).unwrap_or_default());
        self.trailer_bytes += taken;
        (taken, progress)
    }
}
