use std::sync::Arc;

use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::{
    BodyCoding, BodyRules, BodyScanner, DecodedScanner, FormScanner, ModelScanner, RefusedMembers,
};
use crate::message::Fields;

/// Why a body is of no kind in which a model is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnreadableBody {
    /// It is compressed, or otherwise encoded, in a way that is not decoded.
    #[error("the body must not be compressed, or not so: its model must be read")]
    Encoded,
    /// It is not said to be JSON in UTF-8, or not once.
    #[error("the body must be application/json: its model must be read")]
    NotJson,
    /// It is not said to be a form with one boundary, or not once.
    #[error("the body must be multipart/form-data: its model must be read")]
    NotForm,
    /// It is neither.
    #[error("the body must be application/json or multipart/form-data: its model must be read")]
    Neither,
}

/// What reads a body that is said to be of this kind, where JSON, forms or both are read, by these rules. JSON has none of
/// the members `refused`.
///
/// # Errors
///
/// When it is said to be of another kind, or encoded (SECURITY S9, S14).
pub(in crate::route) fn scanner_for(
    headers: &Fields,
    reads_json: bool,
    reads_forms: bool,
    rules: &BodyRules,
    refused: &Arc<RefusedMembers>,
) -> Result<BodyScanner, UnreadableBody> {
    let coding = match only(headers, &CONTENT_ENCODING) {
        Ok(None) => None,
        Ok(Some(coding)) if coding.eq_ignore_ascii_case("identity") => None,
        Ok(Some(coding)) => {
            let coding = BodyCoding::named(coding).filter(|coding| rules.decode.contains(coding));
            Some(coding.ok_or(UnreadableBody::Encoded)?)
        }
        Err(()) => return Err(UnreadableBody::Encoded),
    };
    let scanner = scanner_of(headers, reads_json, reads_forms, rules.depth, refused)?;
    let Some(coding) = coding else {
        return Ok(scanner);
    };
    let scanner = DecodedScanner::new(coding, scanner, rules);
    let scanner = scanner.map_err(|_| UnreadableBody::Encoded)?;
    Ok(BodyScanner::Encoded(Box::new(scanner)))
}

/// What reads a body that is said to be of this kind, once it is decoded.
fn scanner_of(
    headers: &Fields,
    reads_json: bool,
    reads_forms: bool,
    depth: u16,
    refused: &Arc<RefusedMembers>,
) -> Result<BodyScanner, UnreadableBody> {
    let kind = only(headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    if reads_json && is_json(kind) {
        let scanner = ModelScanner::refusing(depth, Arc::clone(refused));
        return Ok(BodyScanner::Json(Box::new(scanner)));
    }
    match boundary_of(kind) {
        Some(boundary) if reads_forms => {
            Ok(BodyScanner::Form(Box::new(FormScanner::new(boundary))))
        }
        _ if reads_json && reads_forms => Err(UnreadableBody::Neither),
        _ if reads_forms => Err(UnreadableBody::NotForm),
        _ => Err(UnreadableBody::NotJson),
    }
}

/// The boundary of `multipart/form-data`, which has no other parameter (RFC 2046 5.1.1; RFC 7578 4.1). Spaces, which may
/// stand in one but never do, are refused.
fn boundary_of(kind: &str) -> Option<&str> {
    let (essence, parameter) = kind.split_once(';')?;
    let (name, value) = parameter.trim_start_matches([' ', '\t']).split_once('=')?;
    let is_form = essence
        .trim_end()
        .eq_ignore_ascii_case("multipart/form-data");
    if !is_form || !name.eq_ignore_ascii_case("boundary") {
        return None;
    }
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let special: &[u8] = if quoted.is_some() {
        b"'()+_,-./:=?"
    } else {
        b"'+_-."
    };
    let boundary = quoted.unwrap_or(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || special.contains(&byte);
    ((1..=70).contains(&boundary.len()) && boundary.bytes().all(is_plain)).then_some(boundary)
}

/// The one value of a header; `Err` when there are more, or it is no text.
fn only<'h>(headers: &'h Fields, name: &HeaderName) -> Result<Option<&'h str>, ()> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).ok_or(()),
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
        let headers = headers(head);
        assert_eq!(
            scanner_for(&headers, true, false, &rules(&[]), &Arc::default()).map(drop),
            expected
        );
    }

    fn rules(decode: &[BodyCoding]) -> BodyRules {
        BodyRules {
            depth: 1,
            decode: decode.to_vec(),
            decoded_ratio: 10,
            searched_bytes: 1000,
        }
    }

    #[rstest]
    #[case("gzip", true)]
    #[case("GZip", true)]
    #[case("x-gzip", true)]
    #[case("br", true)]
    #[case("deflate", false)]
    #[case("zstd", false)]
    #[case("gzip, br", false)]
    #[case("identity, gzip", false)]
    #[case("compress", false)]
    #[case("", false)]
    fn a_body_is_decoded_where_the_settings_say_so(#[case] coding: &str, #[case] is_read: bool) {
        let head = format!("content-type: application/json | content-encoding: {coding}");
        let rules = rules(&[BodyCoding::Gzip, BodyCoding::Br]);
        let scanner = scanner_for(&headers(&head), true, false, &rules, &Arc::default());
        let is_decoded = matches!(scanner, Ok(BodyScanner::Encoded(_)));
        assert_eq!(is_decoded, is_read);
        assert_eq!(scanner.is_ok(), is_read);
    }

    fn headers(head: &str) -> Fields {
        let mut headers = Fields::new();
        for line in head.split(" | ").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[rstest]
    #[case("multipart/form-data; boundary=B", Some("B"))]
    #[case(
        "Multipart/Form-Data;boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        Some("----WebKitFormBoundary7MA4YWxkTrZu0gW")
    )]
    #[case(
        "multipart/form-data; BOUNDARY=\"----=_Part_1:2\"",
        Some("----=_Part_1:2")
    )]
    #[case("multipart/form-data", None)]
    #[case("multipart/form-data; boundary=", None)]
    #[case("multipart/form-data; boundary=\"\"", None)]
    #[case("multipart/form-data; boundary=\"a b\"", None)]
    #[case("multipart/form-data; boundary=\"a", None)]
    #[case("multipart/form-data; boundary=a\"", None)]
    #[case("multipart/form-data; boundary=a:b", None)]
    #[case("multipart/form-data; boundary=\"a\\\"b\"", None)]
    #[case("multipart/form-data; boundary=a; boundary=b", None)]
    #[case("multipart/form-data; boundary=a; charset=utf-8", None)]
    #[case("multipart/form-data; charset=utf-8; boundary=a", None)]
    #[case("multipart/form-data; boundary*=utf-8''a", None)]
    #[case("multipart/form-data; boundary = a", None)]
    #[case("multipart/form-data, multipart/form-data; boundary=a", None)]
    #[case("multipart/mixed; boundary=a", None)]
    #[case("application/json", None)]
    fn a_form_has_one_boundary(#[case] kind: &str, #[case] expected: Option<&str>) {
        assert_eq!(boundary_of(kind), expected);
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert_eq!(boundary_of(&long), None);
    }

    #[rstest]
    #[case("application/json", true, true, "json")]
    #[case("multipart/form-data; boundary=B", true, true, "form")]
    #[case("text/plain", true, true, "neither")]
    #[case("", true, true, "neither")]
    #[case("application/json", false, true, "no form")]
    #[case("multipart/form-data; boundary=B", false, true, "form")]
    #[case("multipart/form-data; boundary=B", true, false, "no json")]
    #[case("multipart/form-data", true, true, "neither")]
    fn a_body_is_read_by_its_kind(
        #[case] kind: &str,
        #[case] json: bool,
        #[case] forms: bool,
        #[case] expected: &str,
    ) {
        let headers = headers(&format!("content-type: {kind}"));
        let read = match scanner_for(&headers, json, forms, &rules(&[]), &Arc::default()) {
            Ok(BodyScanner::Json(_)) => "json",
            Ok(BodyScanner::Form(_)) => "form",
            Ok(BodyScanner::Encoded(_)) => "decoded",
            Err(UnreadableBody::NotJson) => "no json",
            Err(UnreadableBody::NotForm) => "no form",
            Err(UnreadableBody::Neither) => "neither",
            Err(UnreadableBody::Encoded) => "encoded",
        };
        assert_eq!(read, expected);
    }
}
