//! Connections: in whatever pieces they come the guard judges them alike, and what it lets through another parser takes
//! apart at the same places.

use keyward::server::{FramingError, Guard, HeadLimits, Part};

/// The limits of the default settings.
pub const LIMITS: HeadLimits = HeadLimits {
    bytes: 32 * 1024,
    fields: 100,
};

/// What a guard says of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// How many bytes may be handed on.
    pub safe: usize,
    pub heads: usize,
    pub refused: Option<(FramingError, Part)>,
    /// Whether the caller is told so when nothing more comes in time.
    pub is_awaited: bool,
}

/// Has a guard read `bytes` in pieces that end at `cuts`.
pub fn judge(bytes: &[u8], cuts: &[usize]) -> Judged {
    let mut guard = Guard::new(LIMITS);
    let (mut safe, mut read) = (0, 0);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let piece = &bytes[read..end];
        match guard.scan(piece) {
            0 => {}
            more => safe = read + more,
        }
        read = end;
    }
    Judged {
        safe,
        heads: guard.heads(),
        refused: guard.refused(),
        is_awaited: guard.give_up_waiting(),
    }
}

/// A request as a parser reads it; no body where that did not come whole.
pub type Read = (String, Option<Vec<u8>>);

/// Where the heads end that the guard lets through.
pub fn ends_of_heads(bytes: &[u8]) -> Vec<usize> {
    let mut guard = Guard::new(LIMITS);
    let mut ends = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        guard.scan(&[*byte]);
        if guard.heads() > ends.len() {
            ends.push(at + 1);
        }
    }
    ends
}

/// What httparse reads from what the guard lets through: requests whose heads end where the guard says, and whose
/// bodies end where the next begin.
pub fn httparse_reads(bytes: &[u8], ends: &[usize]) -> Vec<Read> {
    let mut read = Vec::new();
    let mut start = 0;
    for end in ends {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Request::new(&mut fields);
        let parsed = head
            .parse(&bytes[start..])
            .expect("a head for httparse, too");
        assert_eq!(parsed, httparse::Status::Complete(end - start));
        let named = |name: &str| {
            let mut fields = head.headers.iter();
            fields.find(|field| field.name.eq_ignore_ascii_case(name))
        };
        let rest = &bytes[*end..];
        let (body, taken) = if named("transfer-encoding").is_some() {
            chunks(rest)
        } else if let Some(length) = named("content-length") {
            let length = str::from_utf8(length.value).expect("digits");
            let length: usize = length.parse().unwrap_or(usize::MAX);
            (rest.get(..length).map(<[u8]>::to_vec), length)
        } else {
            (Some(Vec::new()), 0)
        };
        let target = format!(
            "{} {}",
            head.method.expect("a method"),
            head.path.expect("a target")
        );
        read.push((target, body));
        start = end.saturating_add(taken);
    }
    read
}

/// A body in chunks, and how much it took; none when it does not come whole.
fn chunks(bytes: &[u8]) -> (Option<Vec<u8>>, usize) {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..]);
        let Ok(httparse::Status::Complete((line, size))) = parsed else {
            return (None, bytes.len());
        };
        let size = usize::try_from(size).expect("64 bits");
        at += line;
        if size == 0 {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let parsed = httparse::parse_headers(&bytes[at..], &mut fields);
            return match parsed {
                Ok(httparse::Status::Complete((end, _))) => (Some(body), at + end),
                _ => (None, bytes.len()),
            };
        }
        let Some(data) = bytes.get(at..at.saturating_add(size)) else {
            return (None, bytes.len());
        };
        body.extend_from_slice(data);
        at += size;
        if bytes.get(at..at + 2) != Some(b"\r\n") {
            return (None, bytes.len());
        }
        at += 2;
    }
}

/// No more is handed on than came, whatever the pieces; and httparse reads heads that end where the guard says.
pub fn law(input: &[u8]) {
    let judged = judge(input, &[]);
    assert!(judged.safe <= input.len(), "{}", input.escape_ascii());
    let every: Vec<usize> = (0..input.len()).collect();
    assert_eq!(judge(input, &every), judged, "{}", input.escape_ascii());
    if matches!(judged.refused, Some((FramingError::TooManyFrames, _))) {
        return;
    }
    let through = &input[..judged.safe];
    let ends = ends_of_heads(through);
    assert_eq!(ends.len(), judged.heads, "{}", input.escape_ascii());
    httparse_reads(through, &ends);
}
