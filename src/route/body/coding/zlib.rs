use flate2::Decompress;

use super::gzip::inflate;
use super::{BodyFault, Step};

/// The zlib format; its checksum is right.
///
/// Some readers take what is called `deflate` for DEFLATE alone. To them the head of the format is that of a stored block,
/// whose length then stands twice; a body in which it does is refused.
pub(super) struct Zlib {
    inflate: Decompress,
    beginning: [u8; 5],
    count: usize,
}

impl Default for Zlib {
    fn default() -> Self {
        Self {
            inflate: Decompress::new(true),
            beginning: [0; 5],
            count: 0,
        }
    }
}

impl Zlib {
    /// Decodes on.
    ///
    /// # Errors
    ///
    /// When it is not made as it should be, or could be read in two ways.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BodyFault> {
        let step = inflate(&mut self.inflate, input, output)?;
        let places = self.beginning.iter_mut().skip(self.count);
        for (place, byte) in places.zip(input.iter().take(step.read)) {
            *place = *byte;
            self.count += 1;
        }
        let [_, one, other, against_one, against_other] = self.beginning;
        if self.count == 5 && [one, other] == [!against_one, !against_other] {
            return Err(BodyFault::Encoding);
        }
        Ok(step)
    }
}
