//! Secrets of a test, and whether one of them has got out.

use std::fmt::Write;

/// A secret, in every form in which it could stand somewhere.
pub struct Canary {
    pub what: &'static str,
    /// Each with its name.
    forms: Vec<(&'static str, String)>,
}

impl Canary {
    /// Of a key, what follows the dot is a secret, too, and each third of that.
    pub fn new(what: &'static str, text: &str) -> Self {
        let (_, half) = text.split_once('.').unwrap_or(("", text));
        let mut forms = vec![("plain", text.to_owned())];
        for third in half.as_bytes().chunks_exact((half.len() / 3).max(8)) {
            forms.push(("a part", String::from_utf8_lossy(third).into_owned()));
        }
        for text in [text, half] {
            forms.push(("hex", hex(text.as_bytes())));
            let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
            forms.push(("numbers", numbers.join(", ")));
            // What stands before it shifts it.
            for shift in 0..3 {
                forms.push(("base64", base64(text.as_bytes(), shift)));
            }
        }
        for (_, form) in &mut forms {
            form.make_ascii_lowercase();
        }
        Self { what, forms }
    }

    /// The form in which it stands there, in whatever case, if it does.
    pub fn found_in(&self, text: &Searched) -> Option<&'static str> {
        let mut forms = self.forms.iter();
        let found = forms.find(|(_, form)| text.0.contains(form.as_str()));
        found.map(|(name, _)| *name)
    }
}

/// Bytes made ready for looking.
pub struct Searched(String);

impl Searched {
    pub fn new(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).to_ascii_lowercase())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("memory takes it");
        hex
    })
}

/// What of base64 is the same whatever stands behind, and whatever `shift` bytes stand before. Keys are ASCII, so that
/// the two characters in which alphabets differ never occur.
pub fn base64(bytes: &[u8], shift: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let shifted: Vec<u8> = std::iter::repeat_n(0, shift)
        .chain(bytes.iter().copied())
        .collect();
    let sixes = shifted.chunks_exact(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|place| char::from(ALPHABET[bits >> place & 63]))
    });
    let first_whole = (shift * 8).div_ceil(6);
    sixes.skip(first_whole).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const KEY: &str = "kw_EkhudHL7.A7ZLjJpLC5rqJtq8L3rbFOmls6ln8cxIzT9dGU";

    #[rstest]
    #[case("the key kw_EkhudHL7.A7ZLjJpLC5rqJtq8L3rbFOmls6ln8cxIzT9dGU!", true)]
    #[case("KW_EKHUDHL7.A7ZLJJPLC5RQJTQ8L3RBFOMLS6LN8CXIZT9DGU", true)]
    #[case("a7ZLjJpLC5rqJtq8L3…", true)]
    #[case("xxs6ln8cxIzT9dyy", true)]
    #[case("\\x41375a4c6a4a704c43357271", false)]
    #[case(
        "41375A4C6A4A704C433572714A7471384C337262464F6D6C73366C6E386378497A5439644755",
        true
    )]
    // `user:KEY`, `u:KEY`, `KEY` as `base64` writes them.
    #[case(
        "dXNlcjprd19Fa2h1ZEhMNy5BN1pMakpwTEM1cnFKdHE4TDNyYkZPbWxzNmxuOGN4SXpUOWRHVQ==",
        true
    )]
    #[case(
        "dTprd19Fa2h1ZEhMNy5BN1pMakpwTEM1cnFKdHE4TDNyYkZPbWxzNmxuOGN4SXpUOWRHVQ==",
        true
    )]
    #[case(
        "a3dfRWtodWRITDcuQTdaTGpKcExDNXJxSnRxOEwzcmJGT21sczZsbjhjeEl6VDlkR1U=",
        true
    )]
    #[case("[107, 119, 95, 69, 107, 104, 117, 100, 72, 76, 55, 46]", false)]
    #[case("the key kw_EkhudHL7, and no more", false)]
    fn a_secret_is_found_in_every_form(#[case] text: &str, #[case] is_there: bool) {
        let canary = Canary::new("a key", KEY);
        assert_eq!(
            canary.found_in(&Searched::new(text.as_bytes())).is_some(),
            is_there
        );
    }
}
