//! Compressed bodies, and what each comes to. What encodes them is not what decodes them, or stands here in bytes.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use zstd::stream::raw::CParameter;

use super::super::ModelScanner;
use super::*;

const BODY: &[u8] = br#"{"model":"m1","text":"hello hello hello hello"}"#;

/// [`BODY`] as Node's zlib module writes it, with windows of 4 MiB, 16 MiB and 256 MiB.
const BROTLI: [&str; 3] = [
    "1b2e00f81d09764ce227583c3194226d7bc512533a7db00127e085918df7012f0c510ed7a0301c7d10",
    "1f2e00f81d09764ce227583c3194226d7bc512533a7db00127e085918df7012f0c510ed7a0301c7d10",
    "115cb800e07724d831899f60f1c4508ab4ed154b4ce9f4c1069c80174636de0778c110cac135280c471f04",
];

fn rules() -> BodyRules {
    BodyRules {
        depth: 128,
        decode: Vec::new(),
        decoded_ratio: 64,
        searched_bytes: 100_000,
    }
}

fn read<'p>(
    coding: BodyCoding,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<String, BodyFault> {
    let json = BodyScanner::Json(Box::new(ModelScanner::new(128)));
    let mut scanner = DecodedScanner::new(coding, json, &rules()).unwrap();
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish().map(str::to_owned)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gzip_with(builder: GzBuilder) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Compression::default());
    encoder.write_all(BODY).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A brotli stream of stored blocks, with a window of 64 KiB.
fn brotli(body: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, block) in body.chunks(0x1_0000).enumerate() {
        // A bit for the window, once; then: not the last, four nibbles of the length less one, stored.
        let length = u32::try_from(block.len() - 1).unwrap();
        let bits = length << 3 | 1 << 19;
        let bits = if number == 0 { bits << 1 } else { bits };
        stream.extend_from_slice(&bits.to_le_bytes()[..3]);
        stream.extend_from_slice(block);
    }
    // The last, and empty.
    stream.push(0b11);
    stream
}

fn zstd(body: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for parameter in parameters {
        encoder.set_parameter(*parameter).unwrap();
    }
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn encode(coding: BodyCoding, body: &[u8]) -> Vec<u8> {
    match coding {
        BodyCoding::Gzip => gzip(body),
        BodyCoding::Deflate => zlib(body),
        BodyCoding::Br => brotli(body),
        BodyCoding::Zstd => zstd(body, &[CParameter::ChecksumFlag(true)]),
    }
}

const ALL: [BodyCoding; 4] = [
    BodyCoding::Gzip,
    BodyCoding::Deflate,
    BodyCoding::Br,
    BodyCoding::Zstd,
];

fn hexadecimal(digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes().chunks(2);
    let byte = |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn what_a_body_decodes_to_is_judged() {
    for coding in ALL {
        for (body, expected) in [
            (BODY, Ok("m1")),
            (br#"{"model":"m1","model":"m2"}"#, Err(BodyFault::Repeated)),
            (br#"{"model":"m1"} {}"#, Err(BodyFault::MoreThanOne)),
            (b"{}", Err(BodyFault::NoModel)),
            (b"x", Err(BodyFault::NotAnObject)),
        ] {
            let expected = expected.map(str::to_owned);
            let encoded = encode(coding, body);
            assert_eq!(read(coding, [&*encoded]), expected, "{coding:?}");
            assert_eq!(
                read(coding, encoded.chunks(1)),
                expected,
                "{coding:?} byte by byte"
            );
        }
    }
}

#[test]
fn a_stream_ends_once_and_the_body_with_it() {
    for coding in ALL {
        let encoded = encode(coding, BODY);
        let expected = Err(BodyFault::Encoding);
        for end in 0..encoded.len() {
            assert_eq!(
                read(coding, [&encoded[..end]]),
                expected,
                "{coding:?} cut at {end}"
            );
        }
        for more in [&b"\0"[..], b" ", &encoded, b"\x50\x2a\x4d\x18\0\0\0\0"] {
            assert_eq!(
                read(coding, [&encoded, more].concat().chunks(7)),
                expected,
                "{coding:?}"
            );
            assert_eq!(read(coding, [&encoded, more]), expected, "{coding:?} apart");
        }
        assert_eq!(read(coding, [BODY]), expected, "{coding:?} not encoded");
        for other in ALL.iter().filter(|other| **other != coding) {
            let wrongly = read(*other, [&*encoded]);
            assert!(wrongly.is_err(), "{coding:?} as {other:?}");
        }
    }
}

/// Where the format has a checksum, no changed bit makes another body of it; most make none at all.
#[test]
fn a_changed_bit_is_seen() {
    for coding in [BodyCoding::Gzip, BodyCoding::Deflate, BodyCoding::Zstd] {
        let encoded = encode(coding, BODY);
        let mut unseen = 0;
        for place in 0..encoded.len() {
            for bit in 0..8 {
                let mut changed = encoded.clone();
                changed[place] ^= 1 << bit;
                if let Ok(model) = read(coding, [&*changed]) {
                    assert_eq!(model, "m1", "{coding:?} {place} {bit}");
                    unseen += 1;
                }
            }
        }
        // A gzip member says when and where it was made; a zstd frame has a bit of no meaning, and its window; and the
        // last byte of what is deflated is seldom full.
        assert!(unseen <= 6 * 8 + 8, "{coding:?}: {unseen}");
    }
}

#[test]
fn a_gzip_member_has_a_name_and_nothing_else() {
    let named = gzip_with(GzBuilder::new().filename("body.json"));
    assert_eq!(read(BodyCoding::Gzip, named.chunks(3)).as_deref(), Ok("m1"));
    for builder in [
        GzBuilder::new().comment("x"),
        GzBuilder::new().extra("x"),
        GzBuilder::new().filename("a").comment("x"),
    ] {
        let strange = gzip_with(builder);
        assert_eq!(
            read(BodyCoding::Gzip, [&*strange]),
            Err(BodyFault::Encoding)
        );
    }
}

#[test]
fn deflate_is_the_zlib_format_and_nothing_that_can_be_read_as_another() {
    let raw = raw_deflate(BODY);
    assert_eq!(read(BodyCoding::Deflate, [&*raw]), Err(BodyFault::Encoding));
    let stored = |length: usize| {
        let beginning = br#"{"model":"m1","text":""#;
        let mut body = beginning.to_vec();
        body.resize(length - 2, b'x');
        body.extend(b"\"}");
        let short = u16::try_from(length).unwrap();
        let mut encoded = vec![0x78, 0x01, 0x00];
        encoded.extend(short.to_le_bytes());
        encoded.extend((!short).to_le_bytes());
        encoded.extend(&body);
        encoded.extend([1, 0, 0, 0xff, 0xff]);
        encoded.extend(adler(&body).to_be_bytes());
        encoded
    };
    assert_eq!(
        read(BodyCoding::Deflate, [&*stored(65_533)]).as_deref(),
        Ok("m1")
    );
    // Its first five bytes are the head of a stored block of one byte, too.
    assert_eq!(
        read(BodyCoding::Deflate, [&*stored(65_534)]),
        Err(BodyFault::Encoding)
    );
    assert_eq!(
        read(BodyCoding::Deflate, stored(65_534).chunks(1)),
        Err(BodyFault::Encoding)
    );
}

fn adler(body: &[u8]) -> u32 {
    let (one, other) = body.iter().fold((1, 0), |(one, other), byte| {
        let one = (one + u32::from(*byte)) % 65_521;
        (one, (other + one) % 65_521)
    });
    other << 16 | one
}

#[test]
fn a_window_has_a_largest() {
    let [usual, large, larger] = BROTLI.map(|digits| read(BodyCoding::Br, [&*hexadecimal(digits)]));
    assert_eq!(usual.as_deref(), Ok("m1"));
    assert_eq!(
        (large, larger),
        (Err(BodyFault::Encoding), Err(BodyFault::Encoding))
    );
    for (bits, is_read) in [(23, true), (24, false)] {
        let window = [
            CParameter::WindowLog(bits),
            CParameter::ContentSizeFlag(false),
        ];
        let encoded = zstd(BODY, &window);
        assert_eq!(
            read(BodyCoding::Zstd, [&*encoded]).is_ok(),
            is_read,
            "{bits}"
        );
    }
}

#[test]
fn zstd_is_one_frame_without_a_dictionary() {
    let skipped = hexadecimal("502a4d1804000000ffffffff");
    let frame = zstd(BODY, &[]);
    let behind = [&*skipped, &*frame].concat();
    assert_eq!(read(BodyCoding::Zstd, [&*behind]), Err(BodyFault::Encoding));
    let mut encoder = zstd::stream::write::Encoder::with_dictionary(
        Vec::new(),
        3,
        br#"{"model":"m2","text":"hello hello hello hello"}"#,
    )
    .unwrap();
    encoder.write_all(BODY).unwrap();
    let frame = encoder.finish().unwrap();
    assert!(read(BodyCoding::Zstd, [&*frame]).is_err());
}

#[test]
fn a_body_that_grows_too_much_is_refused_before_it_has() {
    let text = "x".repeat(50_000_000);
    let body = format!(r#"{{"model":"m1","text":"{text}"}}"#);
    for coding in [BodyCoding::Gzip, BodyCoding::Deflate, BodyCoding::Zstd] {
        let encoded = encode(coding, body.as_bytes());
        assert_eq!(
            read(coding, [&*encoded]),
            Err(BodyFault::GrowsTooMuch),
            "{coding:?}"
        );
        let json = BodyScanner::Json(Box::new(ModelScanner::new(128)));
        let mut scanner = DecodedScanner::new(coding, json, &rules()).unwrap();
        assert_eq!(scanner.push(&encoded), Err(BodyFault::GrowsTooMuch));
        let most = ALWAYS.max(64 * encoded.len() as u64) + PIECE as u64;
        assert!(
            scanner.made <= most,
            "{coding:?}: {} of {most}",
            scanner.made
        );
        assert_eq!(scanner.push(b""), Err(BodyFault::GrowsTooMuch));
        assert_eq!(scanner.finish(), Err(BodyFault::GrowsTooMuch));
    }
    // A little may become as large as it likes.
    let short = format!(r#"{{"model":"m1","text":"{}"}}"#, "x".repeat(60_000));
    assert_eq!(
        read(BodyCoding::Gzip, [&*gzip(short.as_bytes())]).as_deref(),
        Ok("m1")
    );
}

#[test]
fn a_model_comes_within_what_is_searched() {
    let text = |length: usize| {
        let words: Vec<String> = (0..length / 8)
            .map(|number| format!("{number:07}"))
            .collect();
        let text = words.join(" ");
        format!(r#"{{"text":"{text}","model":"m1"}}"#)
    };
    for coding in ALL {
        let within = encode(coding, text(80_000).as_bytes());
        assert_eq!(read(coding, [&*within]).as_deref(), Ok("m1"), "{coding:?}");
        let late = encode(coding, text(200_000).as_bytes());
        assert_eq!(
            read(coding, [&*late]),
            Err(BodyFault::DecodedTooLate),
            "{coding:?}"
        );
    }
}

proptest! {
    #[test]
    fn how_a_compressed_body_is_cut_changes_nothing(
        coding in prop::sample::select(ALL.to_vec()),
        text in "[a-z]{0,2000}",
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = encode(coding, format!(r#"{{"model":"m1","text":"{text}"}}"#).as_bytes());
        if let Some((place, byte)) = change {
            let place = place.index(body.len());
            body[place] = byte;
        }
        // Which of two faults is met first may depend on it.
        let whole = read(coding, [&*body]).ok();
        prop_assert_eq!(read(coding, body.chunks(1)).ok(), whole.clone());
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        places.extend([0, body.len()]);
        places.sort_unstable();
        prop_assert_eq!(read(coding, places.windows(2).map(|ends| &body[ends[0]..ends[1]])).ok(), whole);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        coding in prop::sample::select(ALL.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assert!(read(coding, [&*bytes]).is_err());
    }
}
