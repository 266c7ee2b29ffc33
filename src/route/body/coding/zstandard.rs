use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{BodyFault, Step};

/// What a frame begins with (RFC 8878 3.1.1); the other kind of frame is skipped by some, and refused here.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// The largest window, as its logarithm (RFC 9659).
const MOST_WINDOW_BITS: u32 = 23;

/// One frame.
pub(super) struct Zstandard {
    decoder: Decoder<'static>,
    begun: usize,
}

impl Zstandard {
    /// A decoder of a new frame.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(super) fn new() -> Result<Self, BodyFault> {
        let mut decoder = Decoder::new().map_err(|_| BodyFault::Encoding)?;
        let most = DParameter::WindowLogMax(MOST_WINDOW_BITS);
        decoder
            .set_parameter(most)
            .map_err(|_| BodyFault::Encoding)?;
        Ok(Self { decoder, begun: 0 })
    }

    /// Decodes on.
    ///
    /// # Errors
    ///
    /// When it is not made as it should be, or its window is larger than allowed.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BodyFault> {
        let magic = MAGIC.iter().skip(self.begun);
        if input.iter().zip(magic).any(|(byte, wanted)| byte != wanted) {
            return Err(BodyFault::Encoding);
        }
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
        let hint = self.decoder.run(&mut from, &mut to);
        let hint = hint.map_err(|_| BodyFault::Encoding)?;
        let (read, made) = (from.pos(), to.pos());
        self.begun = self.begun.saturating_add(read).min(MAGIC.len());
        Ok(Step {
            read,
            made,
            is_over: hint == 0 && self.begun == MAGIC.len(),
        })
    }
}
