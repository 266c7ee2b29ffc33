use std::fmt;
use std::str::FromStr;

use memchr::memchr_iter;
use xxhash_rust::xxh3::xxh3_64;
use zeroize::Zeroizing;

use super::KeyDigest;

/// What every text of ours begins with. Texts that begin otherwise are foreign: imported by their digest.
const MARK: &str = "kw_";
/// What an admin token made by us begins with: told apart from a key by people and by secret scanners.
const ADMIN_MARK: &str = "kwadmin_";
const PREFIX_CHARS: usize = 8;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const PREFIX_BYTES: usize = MARK.len() + PREFIX_CHARS;
const UNCHECKED_BYTES: usize = PREFIX_BYTES + 1 + SECRET_CHARS;
const TEXT_BYTES: usize = UNCHECKED_BYTES + CHECKSUM_CHARS;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The longest text that can be a key, ours or foreign, in bytes.
pub const MAX_PRESENTED_BYTES: usize = 512;

/// The bytes of entropy that [`NewSecret::from_entropy`] wants; see there.
pub const ENTROPY_BYTES: usize = 128;

/// The bytes a caller sent as its key: borrowed from the request, gone with it, never printed.
#[derive(Clone, Copy)]
pub struct PresentedKey<'r>(&'r [u8]);

/// The text cannot be a key: its form is wrong, or its checksum. Nothing needs to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text cannot be a key")]
pub struct MalformedKey;

impl<'r> PresentedKey<'r> {
    /// Reads a presented text.
    ///
    /// # Errors
    ///
    /// When the text is empty, longer than [`MAX_PRESENTED_BYTES`], not visible ASCII, or begins like one of ours
    /// and is not one (length, alphabet, checksum). Costs neither a digest nor a look-up (CONTRACTS 1).
    pub fn parse(text: &'r [u8]) -> Result<Self, MalformedKey> {
        let well_formed = if text.starts_with(MARK.as_bytes()) {
            is_ours(text)
        } else {
            (1..=MAX_PRESENTED_BYTES).contains(&text.len()) && every(text, u8::is_ascii_graphic)
        };
        well_formed.then_some(Self(text)).ok_or(MalformedKey)
    }

    /// The digest under which the key is known, if it is.
    #[must_use]
    pub fn digest(self) -> KeyDigest {
        KeyDigest::of(self.0)
    }

    /// Whether the key's text stands somewhere in `bytes`. A text below 16 bytes is never found: it would be by chance.
    #[must_use]
    pub fn is_within(self, bytes: &[u8]) -> bool {
        let key = self.0;
        let Some(&first) = key.first().filter(|_| key.len() >= 16) else {
            return false;
        };
        let mut texts = parts(bytes, key.len(), 0, first);
        texts.any(|text| text == key)
    }

    /// Whether both are the same text. Both come from one request, so time tells nothing.
    #[must_use]
    pub fn is_same_text(self, other: PresentedKey<'_>) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey(***)")
    }
}

/// Whether a key of ours stands somewhere in `bytes`, known by its form and its checksum, whether it works or not. For
/// what is written down or passed on and should never hold one. A foreign key has no form to be known by.
#[must_use]
pub fn holds_a_key(bytes: &[u8]) -> bool {
    let mut texts = parts(bytes, TEXT_BYTES, MARK.len() - 1, b'_');
    texts.any(|text| text.starts_with(MARK.as_bytes()) && is_ours(text))
}

/// The parts of `bytes` that are so long and hold `byte` at `place`, which is within them.
fn parts(bytes: &[u8], length: usize, place: usize, byte: u8) -> impl Iterator<Item = &[u8]> {
    let last = bytes.len().checked_sub(length);
    let places = last.and_then(|last| bytes.get(place..=last + place));
    let begins = places.map(|places| memchr_iter(byte, places)).into_iter();
    begins
        .flatten()
        .filter_map(move |at| bytes.get(at..at + length))
}

fn is_ours(text: &[u8]) -> bool {
    let Some(text) = text.as_array::<TEXT_BYTES>() else {
        return false;
    };
    let (unchecked, checksum) = text.split_at(UNCHECKED_BYTES);
    text[PREFIX_BYTES] == b'.'
        && every(
            &unchecked[MARK.len()..PREFIX_BYTES],
            u8::is_ascii_alphanumeric,
        )
        && every(&unchecked[PREFIX_BYTES + 1..], u8::is_ascii_alphanumeric)
        && checksum == checksum_of(unchecked)
}

/// Whether all of `bytes` are such. It does not end early, so that many of them are looked at in one instruction.
fn every(bytes: &[u8], is_such: impl Fn(&u8) -> bool) -> bool {
    let others = bytes.iter().map(|byte| u8::from(!is_such(byte)));
    others.fold(0, |any, other| any | other) == 0
}

/// XXH3 of everything before it, in base 62, least significant first. It finds typing mistakes and noise and lets
/// scanners recognise a key; anyone can compute it, so it never admits.
fn checksum_of(unchecked: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = xxh3_64(unchecked);
    let mut checksum = [0; CHECKSUM_CHARS];
    for place in &mut checksum {
        let digit = usize::try_from(rest % 62).unwrap_or(0);
        *place = BASE62[digit];
        rest /= 62;
    }
    checksum
}

/// A secret made by us. Shown once, to whoever asked for it, and never printed. Wiped when dropped.
pub struct NewSecret(Zeroizing<String>);

impl NewSecret {
    /// Makes a key's text (CONTRACTS 1) from random bytes: 40 characters drawn without bias, 190 bits of them secret.
    ///
    /// `None` when too many bytes fell outside the alphabet; with [`ENTROPY_BYTES`] random bytes that has a chance
    /// below 2⁻²⁰⁰, and means that the source of randomness is broken.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; ENTROPY_BYTES]) -> Option<Self> {
        Self::with_mark(MARK, entropy)
    }

    /// Makes an admin token's text: a key's form behind another mark. `None` as above.
    #[must_use]
    pub fn admin_token_from_entropy(entropy: &[u8; ENTROPY_BYTES]) -> Option<Self> {
        Self::with_mark(ADMIN_MARK, entropy)
    }

    fn with_mark(mark: &str, entropy: &[u8; ENTROPY_BYTES]) -> Option<Self> {
        // 248 is the largest multiple of 62 a byte can hold: values above would favour the first characters.
        let mut drawn = entropy
            .iter()
            .filter(|&&byte| byte < 248)
            .map(|&byte| char::from(BASE62[usize::from(byte % 62)]));
        // Room for the longer mark, so that the text never moves and leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(ADMIN_MARK.len() + TEXT_BYTES));
        text.push_str(mark);
        for _ in 0..PREFIX_CHARS {
            text.push(drawn.next()?);
        }
        text.push('.');
        for _ in 0..SECRET_CHARS {
            text.push(drawn.next()?);
        }
        for byte in checksum_of(text.as_bytes()) {
            text.push(char::from(byte));
        }
        Some(Self(text))
    }

    /// The public name of the key: what stands before the dot.
    #[must_use]
    pub fn prefix(&self) -> KeyPrefix {
        let prefix = self.0.split('.').next().unwrap_or_default();
        KeyPrefix(prefix.into())
    }

    /// The digest that is kept.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.0.as_bytes())
    }

    /// The text itself, for the one answer that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(***)")
    }
}

/// The public name of a key: unique, safe to show, shown in lists as `prefix****`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPrefix(Box<str>);

/// The text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key prefix has 1 to 64 letters, digits, `_` or `-`")]
pub struct InvalidPrefix;

impl KeyPrefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPrefix)
        }
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPrefix({})", self.0)
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the texts cut here are ASCII")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(seed: u8) -> NewSecret {
        let mut entropy = [0; ENTROPY_BYTES];
        for (place, byte) in entropy.iter_mut().enumerate() {
            *byte = seed.wrapping_add(u8::try_from(place).unwrap().wrapping_mul(37));
        }
        NewSecret::from_entropy(&entropy).unwrap()
    }

    #[test]
    fn a_new_secret_is_a_well_formed_key_of_one_sha_256_block() {
        let secret = secret(1);
        let text = secret.reveal();
        assert_eq!(text.len(), 50);
        assert!(text.len() <= 55);
        assert!(text.starts_with("kw_"));
        let presented = PresentedKey::parse(text.as_bytes()).unwrap();
        assert_eq!(presented.digest(), secret.digest());
        assert_eq!(secret.prefix().as_str(), &text[..11]);
    }

    #[test]
    fn an_admin_token_is_no_key_of_ours_and_hides_behind_its_prefix_like_one() {
        let mut entropy = [0; ENTROPY_BYTES];
        entropy[40] = 7;
        let token = NewSecret::admin_token_from_entropy(&entropy).unwrap();
        let text = token.reveal();
        assert_eq!(text.len(), 55);
        assert!(!text.starts_with(MARK));
        assert_eq!(token.prefix().as_str(), "kwadmin_00000000");
        let presented = PresentedKey::parse(text.as_bytes()).unwrap();
        assert_eq!(presented.digest(), token.digest());
    }

    #[test]
    fn biased_bytes_are_not_used() {
        assert!(NewSecret::from_entropy(&[255; ENTROPY_BYTES]).is_none());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = secret(2);
        assert_eq!(format!("{secret:?}"), "NewSecret(***)");
        let presented = PresentedKey::parse(secret.reveal().as_bytes()).unwrap();
        assert_eq!(format!("{presented:?}"), "PresentedKey(***)");
    }

    #[test]
    fn a_near_key_is_malformed() {
        let text = secret(3).reveal().to_owned();
        let other = secret(4).reveal().to_owned();
        let near = [
            text[..49].to_owned(),
            format!("{text}a"),
            format!("kw_{}", text[3..].to_uppercase()),
            text.replace('.', "-"),
            format!("{}{}", &text[..11], &other[11..]),
            format!("{text} "),
            "kw_".to_owned(),
            String::new(),
        ];
        for near in near {
            assert_eq!(
                PresentedKey::parse(near.as_bytes()).err(),
                Some(MalformedKey),
                "{near}"
            );
        }
    }

    #[test]
    fn a_key_is_found_in_a_text_that_holds_it() {
        let text = secret(5).reveal().to_owned();
        let key = PresentedKey::parse(text.as_bytes()).unwrap();
        assert!(key.is_within(format!("a={text}; b=c").as_bytes()));
        assert!(key.is_within(text.as_bytes()));
        assert!(!key.is_within(&text.as_bytes()[1..]));
        let short = PresentedKey::parse(b"s3cr3t").unwrap();
        assert!(!short.is_within(b"s3cr3t"));
    }

    #[test]
    fn any_key_of_ours_is_found_in_a_text_and_nothing_like_one() {
        let text = secret(6).reveal().to_owned();
        assert!(holds_a_key(format!("kw_a, {text}0").as_bytes()));
        assert!(holds_a_key(text.as_bytes()));
        assert!(!holds_a_key(&text.as_bytes()[..49]));
        assert!(!holds_a_key(text.to_uppercase().as_bytes()));
        assert!(!holds_a_key(text.replace('.', "0").as_bytes()));
    }

    #[test]
    fn a_foreign_key_is_visible_ascii_of_bounded_length() {
        assert!(PresentedKey::parse(b"sk-1234").is_ok());
        assert!(PresentedKey::parse(&[b'a'; MAX_PRESENTED_BYTES]).is_ok());
        assert!(PresentedKey::parse(&[b'a'; MAX_PRESENTED_BYTES + 1]).is_err());
        assert!(PresentedKey::parse(b"sk 1234").is_err());
        assert!(PresentedKey::parse(b"sk\x001234").is_err());
        assert!(PresentedKey::parse("schlüssel".as_bytes()).is_err());
    }

    #[test]
    fn a_prefix_holds_nothing_that_a_path_or_a_terminal_reads() {
        for bad in ["", "a.b", "a/b", "a b", "a%", "ä", "a\n", &"a".repeat(65)] {
            assert!(bad.parse::<KeyPrefix>().is_err(), "{bad}");
        }
        assert!("kw_8fJ2mQ4x".parse::<KeyPrefix>().is_ok());
    }

    proptest! {
        #[test]
        fn any_changed_character_is_found(seed: u8, place in 3usize..50, with in "[0-9A-Za-z]") {
            let text = secret(seed).reveal().to_owned();
            let mut changed = text.clone();
            changed.replace_range(place..=place, &with);
            prop_assert_eq!(PresentedKey::parse(changed.as_bytes()).is_ok(), changed == text);
        }

        #[test]
        fn a_key_is_found_wherever_it_stands_and_nowhere_else(
            before in "[kw_0.]{0,60}",
            length in prop_oneof![Just(TEXT_BYTES), 0..TEXT_BYTES],
            after in "[kw_0.]{0,60}",
        ) {
            let text = secret(7).reveal().to_owned();
            let key = PresentedKey::parse(text.as_bytes()).unwrap();
            let whole = format!("{before}{}{after}", &text[..length]);
            let is_there = whole.contains(&text);
            prop_assert_eq!(key.is_within(whole.as_bytes()), is_there);
            prop_assert_eq!(holds_a_key(whole.as_bytes()), is_there);
        }

        #[test]
        fn no_bytes_panic(text: Vec<u8>) {
            let _ = PresentedKey::parse(&text);
        }
    }
}
