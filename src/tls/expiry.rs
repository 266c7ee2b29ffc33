//! When a certificate ends (RFC 5280, 4.1): the one field of it that rustls does not tell.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which a certificate of the first version leaves out.
const VERSION: u8 = 0xa0;

/// The last second of the certificate in DER, in Unix time. `None` when the bytes are no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let mut outer = Der(certificate).take(SEQUENCE)?;
    let mut body = outer.take(SEQUENCE)?;
    if body.next_is(VERSION) {
        body.take(VERSION)?;
    }
    body.take(INTEGER)?;
    for _algorithm_and_issuer in 0..2 {
        body.take(SEQUENCE)?;
    }
    let mut validity = body.take(SEQUENCE)?;
    validity.take_time()?;
    validity.take_time()
}

/// What is left of a sequence of elements.
struct Der<'d>(&'d [u8]);

impl Der<'_> {
    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<Self> {
        let (&[found, first], mut rest) = self.0.split_first_chunk()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            // Longer than four gigabytes is no certificate.
            0x81..=0x84 => {
                let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        (found == tag).then_some(Self(content))
    }

    /// A time as certificates write it: to the second, in UTC (RFC 5280, 4.1.2.5).
    fn take_time(&mut self) -> Option<i64> {
        let (tag, digits_of_year) = if self.next_is(UTC_TIME) {
            (UTC_TIME, 2)
        } else {
            (GENERALIZED_TIME, 4)
        };
        let text = str::from_utf8(self.take(tag)?.0).ok()?;
        let (year, rest) = text.strip_suffix('Z')?.split_at_checked(digits_of_year)?;
        if rest.len() != 10 || !text.bytes().rev().skip(1).all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut year: i16 = year.parse().ok()?;
        if tag == UTC_TIME {
            year += if year < 50 { 2000 } else { 1900 };
        }
        let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
        let moment = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
        let zoned = moment.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp().as_second())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rstest::rstest;

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["h".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 2, 3);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    // Up to 2049 a certificate writes two digits of the year, and four after.
    #[rstest]
    #[case(1999, 918_000_000)]
    #[case(2049, 2_495_923_200)]
    #[case(2050, 2_527_459_200)]
    fn the_end_of_a_certificate_is_read(#[case] year: i32, #[case] end: i64) {
        assert_eq!(not_after(&certificate(year)), Some(end));
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        let whole = certificate(2030);
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = not_after(&bytes);
            let mut whole = certificate(2030);
            *at.get_mut(&mut whole) = byte;
            let _ = not_after(&whole);
        }
    }
}
