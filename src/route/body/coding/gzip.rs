use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{BodyFault, Step};

/// The magic, and DEFLATE, which is the one method there is (RFC 1952 2.3.1).
const BEGINNING: [u8; 3] = [0x1f, 0x8b, 8];
/// The name of the file, ended by a NUL: what `gzip` writes.
const HAS_NAME: u8 = 8;

/// One member, with no more in its head than a file's name; its length and its checksum are right.
pub(super) struct Gzip {
    at: At,
    inflate: Decompress,
    crc: Crc,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes of the head have come, and what its flags were.
    Head(usize, u8),
    Name,
    Data,
    /// So many bytes of the end have come.
    End(usize),
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            at: At::Head(0, 0),
            inflate: Decompress::new(false),
            crc: Crc::new(),
        }
    }
}

impl Gzip {
    /// Decodes on.
    ///
    /// # Errors
    ///
    /// When it is not made as it should be.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BodyFault> {
        if matches!(self.at, At::Data) {
            let step = inflate(&mut self.inflate, input, output)?;
            self.crc.update(output.get(..step.made).unwrap_or_default());
            if step.is_over {
                self.at = At::End(0);
            }
            return Ok(Step {
                is_over: false,
                ..step
            });
        }
        let Some(&byte) = input.first() else {
            return Ok(Step::default());
        };
        let is_over = self.take(byte)?;
        Ok(Step {
            read: 1,
            made: 0,
            is_over,
        })
    }

    /// Takes a byte of the head or of the end; whether it is the last.
    fn take(&mut self, byte: u8) -> Result<bool, BodyFault> {
        self.at = match self.at {
            At::Head(at @ 0..3, _) if byte == BEGINNING[at] => At::Head(at + 1, 0),
            At::Head(3, _) if byte & !HAS_NAME == 0 => At::Head(4, byte),
            // A time, and which program on which system.
            At::Head(at @ 4..9, flags) => At::Head(at + 1, flags),
            At::Head(9, 0) => At::Data,
            At::Name if byte == 0 => At::Data,
            At::Name | At::Head(9, _) => At::Name,
            At::End(at) if byte == self.ending()[at] => {
                if at == 7 {
                    return Ok(true);
                }
                At::End(at + 1)
            }
            At::Head(..) | At::End(_) | At::Data => return Err(BodyFault::Encoding),
        };
        Ok(false)
    }

    /// The checksum, and the length without what is above 32 bits.
    fn ending(&self) -> [u8; 8] {
        let [crc, length] = [self.crc.sum(), self.crc.amount()].map(u32::to_le_bytes);
        let mut ending = [0; 8];
        ending[..4].copy_from_slice(&crc);
        ending[4..].copy_from_slice(&length);
        ending
    }
}

/// Inflates on.
///
/// # Errors
///
/// When it is not made as it should be.
pub(super) fn inflate(
    inflate: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<Step, BodyFault> {
    let (read, made) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, output, FlushDecompress::None);
    let status = status.map_err(|_| BodyFault::Encoding)?;
    let grown = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    Ok(Step {
        read: grown(inflate.total_in(), read),
        made: grown(inflate.total_out(), made),
        is_over: status == Status::StreamEnd,
    })
}
