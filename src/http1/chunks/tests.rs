use rstest::rstest;

use super::*;

/// What a body in chunks is, or why it is none: `data|trailers`, and what is left behind it.
fn read(bytes: &[u8]) -> Result<(String, String), String> {
    let (mut chunks, mut read) = (Chunks::default(), BytesMut::from(bytes));
    let mut body = Vec::new();
    loop {
        match chunks.next(&mut read).map_err(|error| error.to_string())? {
            Next::Data(part) => {
                assert!(!part.is_empty());
                body.extend_from_slice(&part);
            }
            Next::Trailers(trailers) => {
                let fields = trailers.iter().map(|(name, value)| {
                    format!("|{name}={}", String::from_utf8_lossy(value.as_bytes()))
                });
                body.extend(fields.collect::<String>().into_bytes());
            }
            Next::More => return Err("more".to_owned()),
            Next::End => {
                assert!(chunks.is_over());
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Ok((text(&body), text(&read)));
            }
        }
    }
}

#[rstest]
#[case::one("5\r\nhello\r\n0\r\n\r\n", "hello")]
#[case::none("0\r\n\r\n", "")]
#[case::two("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello")]
#[case::leading_zeros("0005\r\nhello\r\n000\r\n\r\n", "hello")]
#[case::sixteen_digits("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello")]
#[case::upper_case("A\r\n0123456789\r\n0\r\n\r\n", "0123456789")]
#[case::lower_case("a\r\n0123456789\r\n0\r\n\r\n", "0123456789")]
#[case::blanks_behind("5 \t\r\nhello\r\n0 \r\n\r\n", "hello")]
#[case::an_extension("5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello")]
#[case::an_extension_behind_blanks("5 ; a=\"b;\tc\"\r\nhello\r\n0\r\n\r\n", "hello")]
#[case::line_ends_in_the_data("4\r\n\r\n0\r\r\n0\r\n\r\n", "\r\n0\r")]
#[case::trailers("0\r\nX-A: 1\r\nx-b: \r\n\r\n", "|x-a=1|x-b=")]
fn a_body_is_its_chunks(#[case] bytes: &str, #[case] expected: &str) {
    let all = format!("{bytes}HTTP");
    assert_eq!(read(all.as_bytes()), Ok((expected.into(), "HTTP".into())));
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes.as_bytes()[..end]), Err("more".into()), "{end}");
    }
}

#[rstest]
#[case::no_size("\r\nhello\r\n", "does not say its size")]
#[case::only_an_extension(";a\r\n", "does not say its size")]
#[case::seventeen_digits("00000000000000005\r\nhello\r\n", "does not say its size")]
#[case::overflow("10000000000000000\r\n", "does not say its size")]
#[case::sign("+5\r\nhello\r\n", "does not say its size")]
#[case::negative("-5\r\nhello\r\n", "does not say its size")]
#[case::prefix("0x5\r\nhello\r\n", "does not say its size")]
#[case::underscore("1_0\r\n", "does not say its size")]
#[case::blank_before(" 5\r\nhello\r\n", "does not say its size")]
#[case::blank_between("5 5\r\nhello\r\n", "does not say its size")]
#[case::no_semicolon("5 a\r\nhello\r\n", "does not say its size")]
#[case::a_control_character("5;a=\x01\r\nhello\r\n", "does not say its size")]
#[case::a_delete("5;a=\x7f\r\nhello\r\n", "does not say its size")]
#[case::a_carriage_return("5;a\rb\r\nhello\r\n", "does not say its size")]
#[case::bare_line_feed("5\nhello\r\n", "without a carriage return")]
#[case::bare_line_feed_in_an_extension("5;a\nhello\r\n", "without a carriage return")]
#[case::longer_than_it_says("5\r\nhello!\r\n", "longer than it says")]
#[case::no_line_end("5\r\nhello5\r\nhello\r\n", "longer than it says")]
#[case::half_a_line_end("5\r\nhello\r5\r\n", "longer than it says")]
#[case::a_line_feed_behind_data("5\r\nhello\n0\r\n\r\n", "longer than it says")]
#[case::a_bare_end("0\r\n\n", "without a carriage return")]
#[case::a_bare_trailer("0\r\nx: 1\n\r\n", "without a carriage return")]
#[case::a_bare_end_behind_a_trailer("0\r\nx: 1\r\n\n", "without a carriage return")]
#[case::a_trailer_that_is_none("0\r\nx\r\n\r\n", "trailers are malformed")]
#[case::a_folded_trailer("0\r\nx: 1\r\n 2\r\n\r\n", "trailers are malformed")]
#[case::a_nul_in_a_trailer("0\r\nx: \0\r\n\r\n", "trailers are malformed")]
#[case::an_answer_in_place_of_the_end("0\r\nHTTP/1.1 200 OK\r\n\r\n", "trailers are malformed")]
fn what_can_be_read_in_two_ways_is_refused(#[case] bytes: &str, #[case] expected: &str) {
    let error = read(bytes.as_bytes()).unwrap_err();
    assert!(error.ends_with(expected), "{error}");
    for end in 0..bytes.len() {
        let early = read(&bytes.as_bytes()[..end]).unwrap_err();
        assert!(early == "more" || early == error, "{early} at {end}");
    }
}

/// So much of a thing, repeated, is taken, and no more; in one piece and in two.
#[rstest]
#[case::a_line("1;", "a", LONGEST_LINE - 3, "\r\nx\r\n0\r\n\r\n", "a line is too long")]
#[case::trailers("0\r\nx: ", "a", MOST_TRAILER_BYTES - 7, "\r\n\r\n", "trailers are too long")]
#[case::their_number("0\r\n", "x: 1\r\n", MOST_FIELDS, "\r\n", "trailers are malformed")]
fn there_are_limits(
    #[case] before: &str,
    #[case] repeated: &str,
    #[case] most: usize,
    #[case] behind: &str,
    #[case] expected: &str,
) {
    let bytes = |count: usize| format!("{before}{}{behind}", repeated.repeat(count));
    assert!(read(bytes(most).as_bytes()).is_ok());
    let large = bytes(most + 1);
    let error = read(large.as_bytes()).unwrap_err();
    assert!(error.ends_with(expected), "{error}");
    let endless = format!("{before}{}", repeated.repeat(most + 5));
    let error = read(endless.as_bytes()).unwrap_err();
    assert!(error.ends_with(expected), "{error}");
}
