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
    run(bytes, |byte| CLASSES[usize::from(byte)] & TOKEN != 0)
}

/// How many bytes of a target stand first: visible ASCII but for what no URI holds anywhere and no browser sends raw in
/// a path. `#` begins what must not be sent at all (RFC 9112, 3.2; RFC 3986, 3.5).
pub(super) fn target_run(bytes: &[u8]) -> usize {
    run(bytes, |byte| CLASSES[usize::from(byte)] & TARGET != 0)
}

/// How many bytes of a field's value stand first (RFC 9110, 5.5).
///
/// Bytes of 0x80 and above are among them: callers do send names in UTF-8, no reader takes such a byte for the end of
/// anything, and the values that frame a body are compared to the byte.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    const WIDTH: usize = 16;

    let (blocks, _) = bytes.as_chunks::<WIDTH>();
    // No early end within a block, so that its bytes are looked at all at once.
    let is_plain = |block: &&[u8; WIDTH]| {
        let other = block.iter().map(|byte| u8::from(!is_value(*byte)));
        other.fold(0, |any, other| any | other) == 0
    };
    let plain = blocks.iter().take_while(is_plain).count() * WIDTH;
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + run(rest, is_value)
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

#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches a block of bytes is compared in a few instructions"
)]
const fn is_value(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}

fn run(bytes: &[u8], is_fit: impl Fn(u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_fit(*byte));
    end.unwrap_or(bytes.len())
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

    #[test]
    fn a_run_of_a_value_ends_at_its_first_control_byte_wherever_that_is() {
        for length in 0..70 {
            let whole = vec![b'x'; length];
            assert_eq!(value_run(&whole), length);
            for at in 0..length {
                for byte in 0..=255 {
                    let mut cut = whole.clone();
                    cut[at] = byte;
                    let is_control = byte < 0x20 && byte != b'\t' || byte == 0x7f;
                    let expected = if is_control { at } else { length };
                    assert_eq!(value_run(&cut), expected, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
