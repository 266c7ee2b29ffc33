use std::fmt;

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

/// Shows only the first bytes: enough to tell two apart in a log, too little to look one up.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "KeyDigest({a:02x}{b:02x}{c:02x}…)")
    }
}

#[cfg(test)]
mod tests {
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
}
