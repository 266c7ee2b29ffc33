//! Bodies that are compressed: what judges them decodes them on the side, and they go on as they came.
//!
//! Decoders differ about streams that follow one another, about what stands behind the last, and about windows and
//! dictionaries: so there is one stream, made as its format says, and nothing behind it.

mod brotli;
mod gzip;
mod zlib;
mod zstandard;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BodyFault, BodyScanner};

/// How much is decoded at once, in bytes.
const PIECE: usize = 16 * 1024;
/// So much a body may always come to, in bytes, whatever it was compressed to.
const ALWAYS: u64 = 64 * 1024;

/// A content coding that can be decoded (RFC 9110 8.4.1; RFC 7932; RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyCoding {
    /// One member of RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950, and not what some send by this name.
    Deflate,
    /// RFC 7932, with a window of 4 MiB at most.
    Br,
    /// One frame of RFC 8878, with a window of 8 MiB at most (RFC 9659) and no dictionary.
    Zstd,
}

/// How bodies are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyRules {
    /// How deep JSON may nest.
    pub depth: u16,
    /// Which codings are decoded; a body in any other is not read.
    pub decode: Vec<BodyCoding>,
    /// How many times larger than it came a body may become by decoding. A few kilobytes may always.
    pub decoded_ratio: u32,
    /// Within how many decoded bytes its model must come.
    pub searched_bytes: u64,
}

/// Judges a body that is compressed by what it decodes to.
pub struct DecodedScanner {
    decoder: Decoder,
    inner: BodyScanner,
    output: Box<[u8]>,
    /// How many bytes came.
    taken: u64,
    /// How many they came to.
    made: u64,
    ratio: u32,
    searched: u64,
    is_over: bool,
    fault: Option<BodyFault>,
}

enum Decoder {
    Gzip(gzip::Gzip),
    Deflate(zlib::Zlib),
    Br(Box<brotli::Brotli>),
    Zstd(zstandard::Zstandard),
}

/// How far a decoder came.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    /// How many bytes it read.
    read: usize,
    /// How many it made of them.
    made: usize,
    /// Whether its stream ended there.
    is_over: bool,
}

impl BodyCoding {
    /// The coding of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Br),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// How much memory its decoder may take, in bytes: above all its window.
    const fn memory(self) -> usize {
        const KIB: usize = 1024;
        PIECE
            + match self {
                Self::Gzip | Self::Deflate => 64 * KIB,
                Self::Br => (4 + 1) * 1024 * KIB,
                Self::Zstd => (8 + 1) * 1024 * KIB,
            }
    }
}

impl DecodedScanner {
    /// Lets `inner` judge what a body in `coding` decodes to.
    ///
    /// # Errors
    ///
    /// [`BodyFault::Encoding`] when no decoder can be had.
    pub(super) fn new(
        coding: BodyCoding,
        inner: BodyScanner,
        rules: &BodyRules,
    ) -> Result<Self, BodyFault> {
        let decoder = match coding {
            BodyCoding::Gzip => Decoder::Gzip(gzip::Gzip::default()),
            BodyCoding::Deflate => Decoder::Deflate(zlib::Zlib::default()),
            BodyCoding::Br => Decoder::Br(Box::default()),
            BodyCoding::Zstd => Decoder::Zstd(zstandard::Zstandard::new()?),
        };
        Ok(Self {
            decoder,
            inner,
            output: vec![0; PIECE].into(),
            taken: 0,
            made: 0,
            ratio: rules.decoded_ratio,
            searched: rules.searched_bytes,
            is_over: false,
            fault: None,
        })
    }

    /// How much memory the decoder may take, in bytes, however little it has decoded.
    #[must_use]
    pub const fn memory(&self) -> usize {
        let coding = match self.decoder {
            Decoder::Gzip(_) => BodyCoding::Gzip,
            Decoder::Deflate(_) => BodyCoding::Deflate,
            Decoder::Br(_) => BodyCoding::Br,
            Decoder::Zstd(_) => BodyCoding::Zstd,
        };
        coding.memory()
    }

    /// Decodes the next piece, and judges what it comes to.
    ///
    /// # Errors
    ///
    /// The first fault of the body, now and at every later call. What was pushed with it must not go on.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.take(piece)
            .inspect_err(|fault| self.fault = Some(*fault))
    }

    /// The model, once it is known. What comes later may still be a fault.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.inner.model()
    }

    /// Judges that the body ends here; gives its model.
    ///
    /// # Errors
    ///
    /// The first fault of the body; that it is cut short or names no model is one.
    pub fn finish(&mut self) -> Result<&str, BodyFault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if !self.is_over => Err(BodyFault::Encoding),
            None => self.inner.finish(),
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), BodyFault> {
        self.taken += piece.len() as u64;
        let mut rest = piece;
        while !self.is_over {
            let step = match &mut self.decoder {
                Decoder::Gzip(gzip) => gzip.step(rest, &mut self.output),
                Decoder::Deflate(zlib) => zlib.step(rest, &mut self.output),
                Decoder::Br(brotli) => brotli.step(rest, &mut self.output),
                Decoder::Zstd(zstandard) => zstandard.step(rest, &mut self.output),
            }?;
            self.is_over = step.is_over;
            rest = rest.get(step.read..).unwrap_or_default();
            self.count(step.made)?;
            let decoded = self.output.get(..step.made).unwrap_or_default();
            self.inner.push(decoded)?;
            if self.made > self.searched && self.inner.model().is_none() {
                return Err(BodyFault::DecodedTooLate);
            }
            if rest.is_empty() && step.made < self.output.len() {
                return Ok(());
            }
            if step.read == 0 && step.made == 0 && !step.is_over {
                return Err(BodyFault::Encoding);
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(BodyFault::Encoding)
        }
    }

    fn count(&mut self, made: usize) -> Result<(), BodyFault> {
        self.made += made as u64;
        let most = self.taken.saturating_mul(u64::from(self.ratio));
        if self.made > most.max(ALWAYS) {
            return Err(BodyFault::GrowsTooMuch);
        }
        Ok(())
    }
}

impl fmt::Debug for DecodedScanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedScanner")
            .field("inner", &self.inner)
            .field("taken", &self.taken)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}
