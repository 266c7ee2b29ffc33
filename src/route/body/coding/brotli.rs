use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BodyFault, Step};

/// The largest window, as its logarithm: what encoders take when nobody says otherwise.
const MOST_WINDOW_BITS: u8 = 22;

/// One stream.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    has_begun: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let allocator = StandardAlloc::default;
        Self {
            // Strict: windows beyond RFC 7932 are an invention of one implementation.
            state: BrotliState::new_strict(allocator(), allocator(), allocator()),
            has_begun: false,
        }
    }
}

impl Brotli {
    /// Decodes on.
    ///
    /// # Errors
    ///
    /// When it is not made as it should be, or its window is larger than allowed.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BodyFault> {
        if let Some(first) = input.first().filter(|_| !self.has_begun) {
            self.has_begun = true;
            if window_bits(*first).is_none_or(|bits| bits > MOST_WINDOW_BITS) {
                return Err(BodyFault::Encoding);
            }
        }
        let (mut read, mut made, mut total) = (0, 0, 0);
        let result = BrotliDecompressStream(
            &mut input.len(),
            &mut read,
            input,
            &mut output.len(),
            &mut made,
            output,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::ResultFailure => Err(BodyFault::Encoding),
            result => Ok(Step {
                read,
                made,
                is_over: matches!(result, BrotliResult::ResultSuccess),
            }),
        }
    }
}

/// The logarithm of the window as the first byte says it (RFC 7932 9.1); `None` for the one that is reserved.
const fn window_bits(first: u8) -> Option<u8> {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, bits) => Some(8 + bits),
        (_, bits, _) => Some(17 + bits),
    }
}
