use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

/// Why a body is of no kind in which a model is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnreadableBody {
    /// It is compressed, or otherwise encoded.
    #[error("the body must not be compressed: its model must be read")]
    Encoded,
    /// It is not said to be JSON in UTF-8, or not once.
    #[error("the body must be application/json: its model must be read")]
    NotJson,
}

/// Checks that a body is said to be JSON in UTF-8, once, and is not compressed (SECURITY S9, S14).
pub(in crate::route) fn check_json(headers: &HeaderMap) -> Result<(), UnreadableBody> {
    match only(headers, &CONTENT_ENCODING) {
        Ok(None) => {}
        Ok(Some(coding)) if coding.eq_ignore_ascii_case("identity") => {}
        _ => return Err(UnreadableBody::Encoded),
    }
    match only(headers, &CONTENT_TYPE) {
        Ok(Some(kind)) if is_json(kind) => Ok(()),
        _ => Err(UnreadableBody::NotJson),
    }
}

/// The one value of a header; `Err` when there are more, or it is no text.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// `application/json` or `application/…+json` (RFC 6839 3.1), with no parameter but a charset of UTF-8.
fn is_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").unwrap_or_default();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_json = subtype == "json"
        || subtype
            .strip_suffix("+json")
            .is_some_and(|before| !before.is_empty());
    is_json
        && subtype.bytes().all(is_token)
        && parts.all(|parameter| {
            let parameter = parameter.to_ascii_lowercase();
            let charset = parameter.strip_prefix("charset=").unwrap_or_default();
            matches!(charset, "utf-8" | "\"utf-8\"" | "utf8" | "\"utf8\"")
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const OK: Result<(), UnreadableBody> = Ok(());
    const ENCODED: Result<(), UnreadableBody> = Err(UnreadableBody::Encoded);
    const NOT_JSON: Result<(), UnreadableBody> = Err(UnreadableBody::NotJson);

    #[rstest]
    #[case("content-type: application/json", OK)]
    #[case("content-type: Application/JSON", OK)]
    #[case("content-type: application/json; charset=utf-8", OK)]
    #[case("content-type: application/json;charset=\"UTF-8\"", OK)]
    #[case("content-type: application/vnd.api+json", OK)]
    #[case("content-type: application/json | content-encoding: identity", OK)]
    #[case("content-type: application/json | content-encoding: gzip", ENCODED)]
    #[case(
        "content-type: application/json | content-encoding: identity, gzip",
        ENCODED
    )]
    #[case("content-type: application/json | content-encoding: ", ENCODED)]
    #[case(
        "content-type: application/json | content-encoding: identity | content-encoding: identity",
        ENCODED
    )]
    #[case("", NOT_JSON)]
    #[case("content-type: ", NOT_JSON)]
    #[case("content-type: application/json; charset=utf-16", NOT_JSON)]
    #[case(
        "content-type: application/json; charset=utf-8; charset=utf-16",
        NOT_JSON
    )]
    #[case("content-type: application/json; boundary=x", NOT_JSON)]
    #[case("content-type: application/json;", NOT_JSON)]
    #[case("content-type: application/json, text/plain", NOT_JSON)]
    #[case(
        "content-type: application/json | content-type: application/json",
        NOT_JSON
    )]
    #[case("content-type: application/jsonl", NOT_JSON)]
    #[case("content-type: application/json-seq", NOT_JSON)]
    #[case("content-type: application/+json", NOT_JSON)]
    #[case("content-type: application/x,a+json", NOT_JSON)]
    #[case("content-type: text/json", NOT_JSON)]
    #[case("content-type: text/plain", NOT_JSON)]
    #[case("content-type: application/x-www-form-urlencoded", NOT_JSON)]
    #[case("content-type: multipart/form-data; boundary=x", NOT_JSON)]
    #[case("content-type: application/grpc", NOT_JSON)]
    #[case("content-type: application/cbor", NOT_JSON)]
    #[case("content-type: \u{e9}", NOT_JSON)]
    fn a_body_is_json_when_it_is_said_to_be(
        #[case] head: &str,
        #[case] expected: Result<(), UnreadableBody>,
    ) {
        let mut headers = HeaderMap::new();
        for line in head.split(" | ").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        assert_eq!(check_json(&headers), expected);
    }
}
