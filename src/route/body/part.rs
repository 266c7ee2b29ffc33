//! The head of a form's part: is it the model? Readers differ about escapes, repetitions and line ends, so these are
//! refused in every part (RFC 7578 4.2, 4.6 to 4.8).

use super::BodyFault;
use super::name::{MemberKind, MemberName};

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    Model,
    Other,
}

/// What a part's disposition says.
struct Disposition<'h> {
    name: &'h str,
    is_file: bool,
}

/// What the part with this head is; the head ends with its empty line.
///
/// # Errors
///
/// [`BodyFault::NotForm`] when it could be read in two ways, and what is wrong with a part that is the model.
pub(super) fn kind_of(head: &[u8]) -> Result<PartKind, BodyFault> {
    let head = str::from_utf8(head).map_err(|_| BodyFault::NotUtf8)?;
    let lines = head.strip_suffix("\r\n\r\n").ok_or(BodyFault::NotForm)?;
    let (mut disposition, mut kind) = (None, None);
    for line in lines.split("\r\n") {
        if line.contains(|char: char| char.is_control() && char != '\t') {
            return Err(BodyFault::NotForm);
        }
        let (name, value) = line.split_once(':').ok_or(BodyFault::NotForm)?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(BodyFault::NotForm);
        }
        let value = value.trim_matches([' ', '\t']);
        let name = name.to_ascii_lowercase();
        // Some look for the part's name wherever it stands in its head.
        if name != "content-disposition" && value.to_ascii_lowercase().contains("name=") {
            return Err(BodyFault::NotForm);
        }
        let seen_before = match name.as_str() {
            "content-disposition" => disposition.replace(read_disposition(value)?).is_some(),
            "content-type" => kind.replace(value.to_ascii_lowercase()).is_some(),
            // Where one is named, some decode and some do not.
            "content-transfer-encoding" => {
                !["7bit", "8bit", "binary"].contains(&value.to_ascii_lowercase().as_str())
            }
            _ => false,
        };
        if seen_before {
            return Err(BodyFault::NotForm);
        }
    }
    let disposition: Disposition<'_> = disposition.ok_or(BodyFault::NotForm)?;
    let kind = kind.as_deref();
    if kind.is_some_and(|kind| kind.starts_with("multipart")) {
        return Err(BodyFault::NotForm);
    }
    match kind_of_name(disposition.name)? {
        PartKind::Model if disposition.is_file || !kind.is_none_or(is_plain_text) => {
            Err(BodyFault::NotText)
        }
        kind => Ok(kind),
    }
}

fn is_plain_text(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    parts.next() == Some("text/plain")
        && parts.all(|parameter| matches!(parameter, "charset=utf-8" | "charset=us-ascii"))
}

fn kind_of_name(name: &str) -> Result<PartKind, BodyFault> {
    // It would say how all other parts are to be decoded (RFC 7578 4.6).
    if name.eq_ignore_ascii_case("_charset_") {
        return Err(BodyFault::NotForm);
    }
    let mut member = MemberName::new();
    member.push_text(name.as_bytes());
    // An encoded word, an escape and a list are `model` to some readers.
    let escaped = name.contains('%') && is_escaped_model(name);
    let is_list = name
        .split_once('[')
        .is_some_and(|(before, _)| is_like_model(before));
    match member.kind() {
        _ if escaped || is_list || name.starts_with("=?") => Err(BodyFault::Respelled),
        MemberKind::LikeModel => Err(BodyFault::Respelled),
        MemberKind::Model => Ok(PartKind::Model),
        MemberKind::Other => Ok(PartKind::Other),
    }
}

fn is_like_model(name: &str) -> bool {
    let mut member = MemberName::new();
    member.push_text(name.as_bytes());
    member.kind() != MemberKind::Other
}

fn is_escaped_model(name: &str) -> bool {
    let mut member = MemberName::new();
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let mut char = char::from(byte);
        if byte == b'%' {
            let mut ahead = bytes.clone();
            let mut digit = || char::from(ahead.next()?).to_digit(16);
            if let (Some(high), Some(low)) = (digit(), digit()) {
                char = char::from_u32(high * 16 + low).unwrap_or(char);
                bytes = ahead;
            }
        }
        member.push(char);
    }
    member.kind() != MemberKind::Other
}

/// Reads `form-data; name="…"; filename="…"`.
fn read_disposition(value: &str) -> Result<Disposition<'_>, BodyFault> {
    let (kind, mut rest) = value.split_once(';').ok_or(BodyFault::NotForm)?;
    if !kind.trim_end().eq_ignore_ascii_case("form-data") {
        return Err(BodyFault::NotForm);
    }
    let (mut name, mut filename, mut extended) = (None, None, None);
    loop {
        let (key, after) = rest.split_once('=').ok_or(BodyFault::NotForm)?;
        let (text, after) = read_value(after).ok_or(BodyFault::NotForm)?;
        if names_the_model(text) {
            return Err(BodyFault::NotForm);
        }
        let seen_before = match key
            .trim_start_matches([' ', '\t'])
            .to_ascii_lowercase()
            .as_str()
        {
            "name" => name.replace(text).is_some(),
            "filename" => filename.replace(text).is_some(),
            "filename*" => extended.replace(text).is_some(),
            _ => return Err(BodyFault::NotForm),
        };
        if seen_before {
            return Err(BodyFault::NotForm);
        }
        if after.is_empty() {
            break;
        }
        rest = after.strip_prefix(';').ok_or(BodyFault::NotForm)?;
    }
    let name = name.ok_or(BodyFault::NotForm)?;
    if name.contains('\\') {
        return Err(BodyFault::NotForm);
    }
    let is_file = filename.is_some() || extended.is_some();
    Ok(Disposition { name, is_file })
}

/// Whether the text says again that a part is the model, to those that divide at `;` or look for a name within quotes, too.
fn names_the_model(text: &str) -> bool {
    let is_mark = |char: &char| !" \t'\\".contains(*char);
    let marks: String = text.chars().filter(is_mark).collect();
    let marks = marks.to_ascii_lowercase();
    marks.contains("name=model") || marks.contains("name*=")
}

/// A token or a quoted text, and what follows it. Some end a text at `\"`, and some do not.
fn read_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = quoted.split_once('"')?;
        return (!value.ends_with('\\')).then_some((value, after.trim_start_matches([' ', '\t'])));
    }
    let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = !value.is_empty() && value.bytes().all(is_token);
    is_token.then_some((value, after.trim_start_matches([' ', '\t'])))
}
