/// How far a number has come (RFC 8259 6).
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Sign,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

use Number::{Digits, Exponent, ExponentDigits, ExponentSign, Fraction, Point, Sign, Zero};

impl Number {
    /// A number that begins with a digit.
    pub const fn begun(digit: u8) -> Self {
        if digit == b'0' { Zero } else { Digits }
    }

    /// The number with one more byte; `None` when that is no part of it.
    pub const fn then(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Digits, b'0'..=b'9') | (Sign, b'1'..=b'9') => Digits,
            (Sign, b'0') => Zero,
            (Zero | Digits, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Digits | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            _ => return None,
        })
    }

    /// Whether it may end here.
    pub const fn is_whole(self) -> bool {
        matches!(self, Zero | Digits | Fraction | ExponentDigits)
    }
}
