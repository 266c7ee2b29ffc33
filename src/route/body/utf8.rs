use std::str::from_utf8;

use super::BodyFault;

/// Lets the pieces of a text through in whole characters, and nothing that is no UTF-8.
#[derive(Debug, Default)]
pub(super) struct Utf8Gate {
    /// The beginning of a character whose rest has not come.
    begun: [u8; 4],
    count: usize,
}

impl Utf8Gate {
    /// Gives `pass` what is now known to be text, in order.
    ///
    /// # Errors
    ///
    /// [`BodyFault::NotUtf8`] once all before it was passed on, or what `pass` finds.
    pub fn push(
        &mut self,
        mut piece: &[u8],
        mut pass: impl FnMut(&[u8]) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        while self.count > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            // No beginning is longer than three bytes: a fourth makes it a character or a fault.
            self.begun[self.count] = byte;
            self.count += 1;
            let begun = &self.begun[..self.count];
            match from_utf8(begun) {
                Ok(_) => {
                    pass(begun)?;
                    self.count = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(BodyFault::NotUtf8),
                Err(_) => {}
            }
        }
        let Err(error) = from_utf8(piece) else {
            return pass(piece);
        };
        let (text, rest) = piece.split_at(error.valid_up_to());
        pass(text)?;
        if error.error_len().is_some() {
            return Err(BodyFault::NotUtf8);
        }
        self.begun[..rest.len()].copy_from_slice(rest);
        self.count = rest.len();
        Ok(())
    }

    /// Checks that no character is left unfinished.
    ///
    /// # Errors
    ///
    /// [`BodyFault::NotUtf8`] when one is.
    pub const fn finish(&self) -> Result<(), BodyFault> {
        match self.count {
            0 => Ok(()),
            _ => Err(BodyFault::NotUtf8),
        }
    }
}
