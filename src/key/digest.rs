use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The SHA-256 of a secret's whole text: the only form of a secret that is ever kept.
///
/// It is a key's identity in the database and in memory, and is always compared whole (SECURITY C11): no shorter or
/// non-cryptographic hash stands for a secret anywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a secret's text. A text of at most 55 bytes costs one SHA-256 block.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A digest as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads a stored digest; anything but 32 bytes is none.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as a number: where in a table this digest belongs, never what it is.
    #[must_use]
    pub fn bucket(&self) -> u64 {
        self.0
            .first_chunk()
            .map_or(0, |first| u64::from_le_bytes(*first))
    }
}

/// The text is no digest. It is not shown: it may be the secret itself, put in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest is the SHA-256 of a key, as 64 hexadecimal digits or in base64")]
pub struct InvalidDigest;

impl KeyDigest {
    /// The digest as 64 hexadecimal digits in lower case: the form in which it leaves this program. Whoever has it can
    /// neither call with it nor find the text behind it, but can tell whether a text that they have is the key's.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for KeyDigest {
    type Err = InvalidDigest;

    /// Reads 64 hexadecimal digits of either case, or base64 (RFC 4648, either alphabet, with or without `=`).
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let text = text.as_bytes();
        let bytes = match text {
            [base64 @ .., b'='] if base64.len() == 43 => from_base64(base64),
            _ if text.len() == 43 => from_base64(text),
            _ if text.len() == 64 => from_hex(text),
            _ => None,
        };
        bytes.map(Self).ok_or(InvalidDigest)
    }
}

/// By a look for each digit, and one decision at the end: no processor guesses of which kind the next digit of a digest is, and a
/// fill reads millions.
fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut every = 0;
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = [digits[0], digits[1]].map(|digit| DIGITS[usize::from(digit)]);
        every |= high | low;
        *byte = (high << 4) | (low & 0x0f);
    }
    (every < NO_DIGIT).then_some(bytes)
}

const NO_DIGIT: u8 = 0x10;

/// What each byte is worth as a hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// 43 characters of six bits: 32 bytes and two bits, which must be zero, so that a digest has one spelling only.
fn from_base64(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut places = bytes.iter_mut();
    let (mut bits, mut held) = (0_u32, 0);
    for &character in text {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            *places.next()? = u8::try_from(bits >> held).ok()?;
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

/// Shows only the first bytes: enough to tell two apart in a log, too little to look one up.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "KeyDigest({a:02x}{b:02x}{c:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_digest_is_the_sha_256_of_the_text() {
        // FIPS 180-2, appendix B.1
        assert_eq!(
            KeyDigest::of(b"abc").as_bytes()[..4],
            [0xba, 0x78, 0x16, 0xbf]
        );
    }

    #[test]
    fn debug_does_not_show_a_whole_digest() {
        assert_eq!(format!("{:?}", KeyDigest::of(b"abc")), "KeyDigest(ba7816…)");
    }

    #[test]
    fn only_32_bytes_are_a_digest() {
        assert_eq!(KeyDigest::from_stored(&[0; 31]), None);
        assert_eq!(KeyDigest::from_stored(&[0; 33]), None);
        assert_eq!(
            KeyDigest::from_stored(&[7; 32]),
            Some(KeyDigest::from_bytes([7; 32]))
        );
    }

    // SHA-256 of "sk-1234", by `printf %s sk-1234 | sha256sum` and `… | openssl dgst -sha256 -binary | base64`.
    const HEX: &str = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b";
    const BASE64: &str = "iNwo0PAwxV7Uq3ftj68JgZbLHAXfd4U5gAyfEkP+a0s=";

    #[rstest]
    #[case::hex(HEX.to_owned())]
    #[case::upper_case(HEX.to_uppercase())]
    #[case::base64(BASE64.to_owned())]
    #[case::unpadded(BASE64.replace('=', ""))]
    #[case::url_safe(BASE64.replace('+', "-"))]
    fn a_digest_is_read_in_hex_and_in_base64(#[case] text: String) {
        assert_eq!(text.parse(), Ok(KeyDigest::of(b"sk-1234")));
    }

    #[rstest]
    #[case::nothing(String::new())]
    #[case::the_key_itself("sk-1234".to_owned())]
    #[case::short(HEX.replacen('8', "", 1))]
    #[case::long(format!("{HEX}0"))]
    #[case::no_digit(HEX.replacen('8', "g", 1))]
    #[case::sign(HEX.replacen('8', "+", 1))]
    #[case::space(HEX.replacen('8', " ", 1))]
    #[case::padding_inside(BASE64.replacen('0', "=", 1))]
    #[case::no_base64(BASE64.replacen('0', "!", 1))]
    #[case::another_spelling_of_the_last_bits(BASE64.replace("0s=", "0t="))]
    #[case::half("0".repeat(32))]
    fn what_is_no_digest_is_refused(#[case] text: String) {
        assert_eq!(text.parse::<KeyDigest>(), Err(InvalidDigest));
    }

    proptest! {
        #[test]
        fn a_digest_survives_being_written(bytes: [u8; 32]) {
            let digest = KeyDigest::from_bytes(bytes);
            prop_assert_eq!(digest.to_hex().parse(), Ok(digest));
        }

        #[test]
        fn every_byte_is_a_digit_or_none(bytes: [u8; 32], place in 0_usize..64, byte: u8) {
            let mut text = hex::encode(bytes).into_bytes();
            text[place] = byte;
            let read = hex::decode(&text).ok();
            prop_assert_eq!(from_hex(&text).map(Vec::from), read);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<KeyDigest>();
        }
    }
}
