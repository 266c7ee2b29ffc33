//! Which bytes may stand where, and how many of them stand in a row.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;

/// The classes of every byte.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        let mut class = 0;
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`') {
            class |= TARGET;
        }
        classes[byte as usize] = class;
        byte += 1;
    }
    classes
};

/// How many bytes of a token stand first (RFC 9110, 5.6.2).
pub(super) fn token_run(bytes: &[u8]) -> usize {
    run_by_words(bytes, unusual_in_tokens, is_token)
}

/// How many bytes of a target stand first: visible ASCII but for what no URI holds anywhere and no browser sends raw in
/// a path. `#` begins what must not be sent at all (RFC 9112, 3.2; RFC 3986, 3.5).
pub(super) fn target_run(bytes: &[u8]) -> usize {
    run_by_words(bytes, unusual_in_targets, is_target)
}

/// How many bytes of a field's value stand first (RFC 9110, 5.5).
///
/// Bytes of 0x80 and above are among them: callers do send names in UTF-8, no reader takes such a byte for the end of
/// anything, and the values that frame a body are compared to the byte.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    run_by_words(bytes, control_bytes, is_value)
}

/// How many spaces and tabs stand first.
pub(super) fn white_run(bytes: &[u8]) -> usize {
    run(bytes, is_white)
}

/// Whether it is a space or a tab.
pub(super) const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Whether it stands in tokens.
pub(super) const fn is_token(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Whether it stands in targets.
pub(super) const fn is_target(byte: u8) -> bool {
    CLASSES[byte as usize] & TARGET != 0
}

/// Whether it stands in values.
pub(super) const fn is_value(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

fn run(bytes: &[u8], is_fit: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_fit(*byte));
    end.unwrap_or(bytes.len())
}

/// The same, where most bytes fit by a rule that looks at eight of them at once: `unusual` has the high bit of each byte
/// set that does not.
fn run_by_words(bytes: &[u8], unusual: impl Fn(u64) -> u64, is_fit: impl Fn(u8) -> bool) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (number, word) in words.iter().enumerate() {
        let mut unusual = unusual(u64::from_le_bytes(*word)) & HIGH;
        while unusual != 0 {
            let at = (unusual.trailing_zeros() / u8::BITS) as usize;
            if !word.get(at).is_some_and(|byte| is_fit(*byte)) {
                return number * word.len() + at;
            }
            unusual &= unusual - 1;
        }
    }
    bytes.len() - rest.len() + run(rest, is_fit)
}

/// A one in each byte.
const EVERY: u64 = u64::from_le_bytes([1; 8]);
/// The high bit of each byte.
const HIGH: u64 = EVERY * 0x80;
/// The other bits.
const LOW: u64 = EVERY * 0x7f;

// What follows adds to the seven low bits of each byte: sums that stay below 256, so that no byte disturbs the next.

/// Sets the high bit of each byte whose low ones are none of those from `first` to `last`.
const fn outside(low: u64, first: u8, last: u8) -> u64 {
    let from_first = low + EVERY * (0x80 - first as u64);
    let behind_last = low + EVERY * (0x7f - last as u64);
    !from_first | behind_last
}

/// The bytes that are neither letters nor dashes.
const fn unusual_in_tokens(word: u64) -> u64 {
    let low = word & LOW;
    outside(low | (EVERY * 0x20), b'a', b'z') & outside(low, b'-', b'-') | word
}

/// The bytes that are neither letters nor digits, slashes, dashes or dots.
const fn unusual_in_targets(word: u64) -> u64 {
    let low = word & LOW;
    outside(low | (EVERY * 0x20), b'a', b'z') & outside(low, b'-', b'9') | word
}

/// The control bytes.
const fn control_bytes(word: u64) -> u64 {
    outside(word & LOW, b' ', b'~') & !word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_standard() {
        let tokens: Vec<u8> = (0..=255).filter(|byte| is_token(*byte)).collect();
        let mut expected = b"!#$%&'*+-.^_`|~".to_vec();
        expected.extend(b'0'..=b'9');
        expected.extend(b'a'..=b'z');
        expected.extend(b'A'..=b'Z');
        expected.sort_unstable();
        assert_eq!(tokens, expected);
    }

    fn is_no_control(byte: u8) -> bool {
        byte >= 0x20 && byte != 0x7f || byte == b'\t'
    }

    type Run = (fn(&[u8]) -> usize, fn(u8) -> bool);

    const RUNS: [Run; 3] = [
        (token_run, is_token),
        (target_run, is_target),
        (value_run, is_no_control),
    ];

    #[test]
    fn a_run_ends_at_its_first_other_byte_wherever_that_is() {
        for length in 0..40 {
            let whole = vec![b'x'; length];
            for (run, is_fit) in RUNS {
                assert_eq!(run(&whole), length);
                for at in 0..length {
                    for byte in 0..=255 {
                        let mut cut = whole.clone();
                        cut[at] = byte;
                        let expected = if is_fit(byte) { length } else { at };
                        assert_eq!(run(&cut), expected, "{byte} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_byte_disturbs_the_next() {
        for first in 0..=255 {
            for second in 0..=255 {
                let bytes = [b'x', b'x', first, second, b'x', b'x', b'x', b'x'];
                for (run, is_fit) in RUNS {
                    let expected = bytes.iter().position(|byte| !is_fit(*byte)).unwrap_or(8);
                    assert_eq!(run(&bytes), expected, "{first} and {second}");
                }
            }
        }
    }
}
