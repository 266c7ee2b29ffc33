use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::registry::ListMark;

/// Which content types a body may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// JSON alone.
    Json,
    /// JSON also when it calls itself a form, as `curl --data` has it.
    JsonOrForm,
}

/// Reads a JSON body: one object, every member known, none twice.
///
/// # Errors
///
/// 415 for another content type; 400 names what is wrong, never a value.
pub fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
    accepts: Accepts,
) -> Result<T, Refusal> {
    if !is_accepted(headers, accepts) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body is `application/json`, in UTF-8",
        ));
    }
    // Serde would read a list as an object whose members come in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::invalid("the body is not a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    let read = read.map_err(|error| {
        let path = error.path().to_string();
        Refusal::invalid(describe(&path, error.inner()))
    })?;
    reader
        .end()
        .map_err(|error| Refusal::invalid(describe("", &error)))?;
    Ok(read)
}

fn is_accepted(headers: &HeaderMap, accepts: Accepts) -> bool {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (all.next().map(|value| value.to_str()), all.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_type = |wanted| essence.eq_ignore_ascii_case(wanted);
    let is_ours = is_type("application/json")
        || (accepts == Accepts::JsonOrForm && is_type("application/x-www-form-urlencoded"));
    is_ours
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            !name.eq_ignore_ascii_case("charset")
                || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Says what `serde_json` found, without any value of the caller's: a key pasted in the wrong place stays unrepeated.
fn describe(path: &str, error: &serde_json::Error) -> String {
    if !error.is_data() {
        let (line, column) = (error.line(), error.column());
        return format!("the body is not valid JSON at line {line}, column {column}");
    }
    let said = error.to_string();
    let names_a_member = ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|beginning| said.starts_with(beginning));
    if names_a_member {
        let said = said.split(" at line ").next().unwrap_or_default();
        said.replacen("field", "member", 1)
            .escape_debug()
            .take(200)
            .collect()
    } else {
        let path: String = path.escape_debug().take(200).collect();
        format!("`{path}` is not of the right type")
    }
}

/// The query's parameters called `names`; `None` for those that are not there.
///
/// # Errors
///
/// 400 for a parameter that is not known — a filter that is not applied would show more than was asked for — or is
/// there twice.
pub fn query<const N: usize>(uri: &Uri, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let parsed = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let parsed = parsed.map_err(|_| Refusal::invalid("the query cannot be read"))?;
    let mut found = [const { None }; N];
    for (name, value) in parsed.0 {
        let Some(place) = names.iter().position(|known| *known == name) else {
            let name: String = name.escape_debug().take(200).collect();
            return Err(Refusal::invalid(format!(
                "unknown query parameter `{name}`"
            )));
        };
        if found[place].replace(value).is_some() {
            return Err(Refusal::invalid(format!(
                "the query parameter `{name}` comes twice"
            )));
        }
    }
    Ok(found)
}

/// How many entries of a list can be asked for at once.
pub const MAX_LIMIT: usize = 1000;
/// How many are shown unless it is said.
const USUAL_LIMIT: usize = 100;

/// How many entries are asked for.
///
/// # Errors
///
/// 400 when it is no number that can be asked for.
pub fn limit(text: Option<&str>) -> Result<usize, Refusal> {
    let Some(text) = text else {
        return Ok(USUAL_LIMIT);
    };
    let parsed = text.parse().ok();
    let parsed = parsed.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    parsed.ok_or_else(|| Refusal::invalid(format!("`limit` is a number from 1 to {MAX_LIMIT}")))
}

/// The page of a list of keys that is asked for: after which mark, and how many. None when neither is said: the whole
/// list.
///
/// # Errors
///
/// 400 when either is none of ours.
pub fn page(
    limit: Option<&str>,
    cursor: Option<&str>,
) -> Result<Option<(Option<ListMark>, usize)>, Refusal> {
    if limit.is_none() && cursor.is_none() {
        return Ok(None);
    }
    let mark = cursor.map(|cursor| cursor.parse().map_err(|_| no_cursor()));
    Ok(Some((mark.transpose()?, self::limit(limit)?)))
}

/// A cursor that is none of ours.
pub fn no_cursor() -> Refusal {
    Refusal::invalid("`cursor` is the `next_cursor` of an earlier answer")
}

/// A part of the path, percent-decoded; what does not decode to text names nothing of ours.
pub fn in_path(part: Result<Path<String>, PathRejection>) -> String {
    part.map(|Path(text)| text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        kind: String,
        #[serde(default)]
        ids: Option<Vec<String>>,
    }

    fn headers(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())])
    }

    #[rstest]
    #[case(
        r#"{"kind":"a","idz":null}"#,
        "unknown member `idz`, expected `kind` or `ids`"
    )]
    #[case(r#"{"kind":"a","kind":"b"}"#, "duplicate member `kind`")]
    #[case(r#"{"k\u0069nd":"a","kind":"b"}"#, "duplicate member `kind`")]
    #[case("{}", "missing member `kind`")]
    #[case(r#"{"kind":null}"#, "`kind` is not of the right type")]
    #[case(r#"{"kind":"a","ids":"kw_secret"}"#, "`ids` is not of the right type")]
    #[case(r#"{"kind":"a","ids":["b",1]}"#, "`ids[1]` is not of the right type")]
    #[case(
        r#"{"kind":"\ud800"}"#,
        "the body is not valid JSON at line 1, column 16"
    )]
    #[case(
        r#"{"kind":"a"} {}"#,
        "the body is not valid JSON at line 1, column 14"
    )]
    #[case(
        "{\"kind\":\"a\u{0}\"}",
        "the body is not valid JSON at line 1, column 11"
    )]
    #[case(r#"["a"]"#, "the body is not a JSON object")]
    #[case("", "the body is not a JSON object")]
    #[case("\u{feff}{}", "the body is not a JSON object")]
    #[case(
        "{\"\u{1b}[31m\\u001b\":1}",
        "the body is not valid JSON at line 1, column 3"
    )]
    #[case(
        r#"{"\u001b[31m":1}"#,
        "unknown member `\\u{1b}[31m`, expected `kind` or `ids`"
    )]
    fn a_body_is_refused_by_name_and_without_values(#[case] body: &str, #[case] message: &str) {
        let read = json::<Body>(&headers("application/json"), body.as_bytes(), Accepts::Json);
        assert_eq!(read.unwrap_err(), Refusal::invalid(message.to_owned()));
    }

    #[rstest]
    #[case("application/json", true, true)]
    #[case("Application/JSON; Charset=\"UTF-8\"", true, true)]
    #[case("application/json; charset=utf-16", false, false)]
    #[case("application/x-www-form-urlencoded", false, true)]
    #[case("multipart/form-data; boundary=x", false, false)]
    #[case("text/plain", false, false)]
    #[case("application/json-patch+json", false, false)]
    #[case("", false, false)]
    fn a_body_calls_itself_json(#[case] named: &str, #[case] is_json: bool, #[case] is_form: bool) {
        assert_eq!(is_accepted(&headers(named), Accepts::Json), is_json);
        assert_eq!(is_accepted(&headers(named), Accepts::JsonOrForm), is_form);
        assert!(!is_accepted(&HeaderMap::new(), Accepts::JsonOrForm));
    }

    proptest! {
        #[test]
        fn nothing_panics(body: Vec<u8>, query_text in "[ -~]{0,30}") {
            let _ = json::<Body>(&headers("application/json"), &body, Accepts::Json);
            if let Ok(uri) = format!("/k?{query_text}").parse() {
                let _ = query(&uri, ["type"]);
            }
        }

        #[test]
        fn what_is_said_holds_no_value(secret in "[a-zA-Z0-9]{12,40}") {
            for body in [
                format!(r#"{{"kind":["{secret}"]}}"#),
                format!(r#"{{"kind":"a","ids":"{secret}"}}"#),
                format!(r#"{{"kind":"a","ids":[{{"{secret}":1}}]}}"#),
                format!(r#"{{"kind":"{secret}"#),
                format!(r#""{secret}""#),
            ] {
                let read = json::<Body>(&headers("application/json"), body.as_bytes(), Accepts::Json);
                prop_assert!(!read.unwrap_err().message.contains(&secret));
            }
        }
    }

    #[test]
    fn a_query_holds_what_is_known_once() {
        let read = |uri: &str| query(&uri.parse().unwrap(), ["type", "mine"]);
        assert_eq!(
            read("/k?mine=a%20b").unwrap(),
            [None, Some("a b".to_owned())]
        );
        assert_eq!(read("/k").unwrap(), [None, None]);
        assert!(read("/k?type=a&typ%65=b").is_err());
        assert_eq!(
            read("/k?limit=5").unwrap_err().message,
            "unknown query parameter `limit`"
        );
    }
}
