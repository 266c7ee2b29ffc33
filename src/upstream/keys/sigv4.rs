//! Signing requests as AWS asks for it: Signature Version 4 ("Create a signed AWS API request" in the IAM User Guide).
//!
//! What is signed is what goes over the wire: the path as it stands there, encoded once more, as every service but S3 has
//! it. Paths with dot segments or empty ones never come here.

use std::fmt::Write as _;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::place::encoded;
use crate::key::UnixTime;
use crate::message::{RequestHead, Value};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs, and for which service.
pub(super) struct Signer<'k> {
    pub(super) access_key: &'k str,
    pub(super) secret_key: &'k str,
    pub(super) session_token: Option<&'k str>,
    pub(super) region: &'k str,
    pub(super) service: &'k str,
}

/// A request as it is signed.
struct Signed<'r> {
    method: &'r str,
    path: &'r str,
    query: &'r str,
    /// By their names, in lower case and in order.
    headers: &'r [(&'r str, String)],
    /// Of the body.
    hash: &'r str,
}

/// The SHA-256 of a body, in hexadecimal.
pub(in crate::upstream) fn hash<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

impl Signer<'_> {
    /// Signs a request whose target and host are those that go on, and whose body has the `hash`, in place of whatever
    /// signed it before. `None` when the secrets cannot stand in a header.
    pub(super) fn sign(&self, request: &mut RequestHead, hash: &str, now: UnixTime) -> Option<()> {
        let headers = &mut request.headers;
        for name in [AUTHORIZATION, DATE, TOKEN, CONTENT] {
            headers.remove(&name);
        }
        let moment = moment(now)?;
        headers.insert(&DATE, HeaderValue::from_str(&moment).ok()?);
        if let Some(token) = self.session_token {
            let mut token = HeaderValue::from_str(token).ok()?;
            token.set_sensitive(true);
            headers.insert(&TOKEN, token);
        }
        let host = match headers.get(&HOST) {
            Some(host) => host.to_str()?.to_owned(),
            // Over HTTP/2 the target alone names it.
            None => request.uri.authority()?.as_str().to_owned(),
        };
        let mut signed = vec![("host", host)];
        let further = [
            ("content-type", &CONTENT_TYPE),
            ("x-amz-date", &DATE),
            ("x-amz-security-token", &TOKEN),
        ];
        for (name, header) in further {
            if let Some(value) = headers.get(header).and_then(Value::to_str) {
                signed.push((name, value.to_owned()));
            }
        }
        signed.sort();
        let signed = Signed {
            method: request.method.as_str(),
            path: request.uri.path(),
            query: request.uri.query().unwrap_or_default(),
            headers: &signed,
            hash,
        };
        let mut authorization =
            HeaderValue::from_str(&self.authorization(&signed, &moment)).ok()?;
        authorization.set_sensitive(true);
        request.headers.insert(&AUTHORIZATION, authorization);
        Some(())
    }

    fn authorization(&self, request: &Signed<'_>, moment: &str) -> String {
        let day = moment.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let canonical = hash([request.canonical().as_bytes()]);
        let to_sign = format!("{ALGORITHM}\n{moment}\n{scope}\n{canonical}");
        let secret = format!("AWS4{}", self.secret_key);
        let steps = [day, self.region, self.service, "aws4_request", &to_sign];
        let signature = steps.iter().fold(secret.into_bytes(), |key, step| {
            let key = Key::new(HMAC_SHA256, &key);
            sign(&key, step.as_bytes()).as_ref().to_vec()
        });
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.access_key,
            request.names(),
            hex::encode(signature),
        )
    }
}

impl Signed<'_> {
    fn names(&self) -> String {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        names.join(";")
    }

    fn canonical(&self) -> String {
        let path: Vec<String> = self.path.split('/').map(encoded).collect();
        let mut parameters: Vec<(String, String)> = self
            .query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                (encoded_once(name), encoded_once(value))
            })
            .collect();
        parameters.sort();
        let query: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut text = format!("{}\n{}\n{}\n", self.method, path.join("/"), query.join("&"));
        for (name, value) in self.headers {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            let _ = writeln!(text, "{name}:{}", words.join(" "));
        }
        let _ = write!(text, "\n{}\n{}", self.names(), self.hash);
        text
    }
}

/// `text`, of which some is escaped and some is not, with all escaped that must be.
fn encoded_once(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut once = String::with_capacity(text.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let escape = match (first, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                Some((
                    [*high, *low].map(|digit| char::from(digit.to_ascii_uppercase())),
                    after,
                ))
            }
            _ => None,
        };
        if let Some(([high, low], after)) = escape {
            once.extend(['%', high, low]);
            rest = after;
        } else {
            let is_plain = first.is_ascii_alphanumeric() || b"-._~".contains(first);
            if is_plain {
                once.push(char::from(*first));
            } else {
                let _ = write!(once, "%{first:02X}");
            }
            rest = after;
        }
    }
    once
}

/// `20150830T123600Z`.
fn moment(now: UnixTime) -> Option<String> {
    let secs = i64::try_from(now.as_secs()).ok()?;
    let now = jiff::Timestamp::from_second(secs).ok()?;
    Some(now.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests;
