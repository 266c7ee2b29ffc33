//! The door at which another proxy asks what we would decide, and passes the call on itself (nginx's `auth_request`,
//! Envoy's `ext_authz` over HTTP, Traefik's `ForwardAuth`).
//!
//! A question is answered for the request that it names, by the key that it brings: whoever asks without being a proxy
//! learns about his own key, and nothing goes on. But what it names is taken from headers that any caller could write. So
//! the settings say which proxy asks, only its headers are read, and only its addresses are heard.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use super::access::Told;
use super::answer::{Passed, Refusal};
use super::prepare::{OUR_NAMES, introduce, put};
use super::shown::Shown;
use super::{Proxy, Rejection};
use crate::credential::CredentialLocations;
use crate::key::Denial;
use crate::message::{Fields, RequestHead, Response};
use crate::upstream::CallerBody;

/// The door, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthConfig {
    /// Which proxy asks.
    pub asked_by: AskedBy,
    /// The path at which it asks. Envoy puts the path of the call behind it.
    #[serde(default = "default_path")]
    pub path: String,
    /// From where it asks: addresses, or networks such as `10.0.0.0/8`.
    #[serde(default = "loopback")]
    pub from: Vec<Network>,
}

/// A proxy that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// `X-Original-Method` and `X-Original-URI`, which its settings must write; the `Host` of the call. It knows no
    /// refusals but 401 and 403.
    Nginx,
    /// The call's own method, its path behind ours, its `Host`.
    Envoy,
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`, which it writes itself.
    Traefik,
}

/// Addresses whose first bits are these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an address, or a network such as `10.0.0.0/8`")]
pub struct NotANetwork;

fn default_path() -> String {
    "/keyward/decide".to_owned()
}

fn loopback() -> Vec<Network> {
    vec![
        Network {
            address: IpAddr::from([127, 0, 0, 0]),
            bits: 8,
        },
        Network {
            address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            bits: 128,
        },
    ]
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits)
                .filter(is_number)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or(NotANetwork)?,
        };
        Ok(Self { address, bits })
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether `address` is one of these.
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// By this Envoy learns what it must take off the call.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

impl ForwardAuthConfig {
    /// Checks the path as it is configured.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn check_path(&self) -> Result<(), &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
        let is_path = self.path.starts_with('/')
            && !self.path.ends_with('/')
            && !self.path.contains("//")
            && self.path.bytes().all(is_plain);
        is_path
            .then_some(())
            .ok_or("must be a path such as `/keyward/decide`: letters, digits, `-` and `_`")
    }

    /// Whether a request is a question: it comes to the door's path, from where questions come.
    pub(super) fn is_asked(&self, uri: &Uri, from: IpAddr) -> bool {
        let is_path = match (uri.path().strip_prefix(&*self.path), self.asked_by) {
            (Some(rest), AskedBy::Envoy) => rest.starts_with('/'),
            (Some(rest), AskedBy::Nginx | AskedBy::Traefik) => rest.is_empty(),
            (None, _) => false,
        };
        is_path && self.from.iter().any(|network| network.holds(from))
    }

    /// The head of the call that a question is about.
    ///
    /// # Errors
    ///
    /// When it does not say so once, and in one way.
    pub(super) fn call(&self, question: &RequestHead) -> Result<RequestHead, Rejection> {
        let headers = &question.headers;
        let (method, target) = match self.asked_by {
            AskedBy::Nginx => (
                Some(only(headers, &ORIGINAL_METHOD)?),
                only(headers, &ORIGINAL_URI)?,
            ),
            AskedBy::Traefik => (
                Some(only(headers, &FORWARDED_METHOD)?),
                only(headers, &FORWARDED_URI)?,
            ),
            AskedBy::Envoy => {
                let target = question.uri.path_and_query().map(PathAndQuery::as_str);
                let target = target.and_then(|target| target.strip_prefix(&*self.path));
                (None, target.unwrap_or_default())
            }
        };
        let method = match method {
            None => question.method.clone(),
            Some(method) => Method::from_bytes(method.as_bytes()).map_err(|_| UNTOLD)?,
        };
        let mut call = question.clone();
        call.method = method;
        let mut parts = std::mem::take(&mut call.uri).into_parts();
        parts.path_and_query = Some(read_target(target).ok_or(UNTOLD)?);
        if self.asked_by == AskedBy::Traefik {
            // The question's own host is ours.
            (parts.scheme, parts.authority) = (None, None);
            let host = only(headers, &FORWARDED_HOST)?;
            let host = HeaderValue::from_str(host).map_err(|_| UNTOLD)?;
            call.headers.insert(&HOST, host);
        }
        call.uri = Uri::from_parts(parts).map_err(|_| UNTOLD)?;
        // They speak of the question, which has no body.
        call.headers.remove(&CONTENT_LENGTH);
        call.headers.remove(&TRANSFER_ENCODING);
        Ok(call)
    }

    /// Says what the one who asked must take off the call before it passes it on: the caller's secret, and what says who
    /// calls and is not said by us. Envoy alone can be told.
    pub(super) fn take_off(
        &self,
        answer: &mut Fields,
        call: &Fields,
        locations: &CredentialLocations,
    ) {
        if self.asked_by != AskedBy::Envoy {
            return;
        }
        let ours = OUR_NAMES.iter().filter(|name| !answer.contains_key(name));
        let secrets = call
            .keys()
            .filter(|name| locations.is_credential_name(name));
        let mut names: Vec<&str> = Vec::new();
        for name in ours.chain(secrets).map(HeaderName::as_str) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if let Ok(names) = HeaderValue::from_str(&names.join(",")) {
            answer.insert(&TO_REMOVE, names);
        }
    }

    /// The status of a refusal, in words that the one who asked knows.
    pub(super) fn status(&self, refusal: StatusCode) -> StatusCode {
        match self.asked_by {
            AskedBy::Nginx if refusal.is_client_error() && refusal != StatusCode::UNAUTHORIZED => {
                StatusCode::FORBIDDEN
            }
            _ => refusal,
        }
    }
}

const UNTOLD: Rejection = Rejection::Ambiguous("the question does not say once what is called");

fn only<'h>(headers: &'h Fields, name: &HeaderName) -> Result<&'h str, Rejection> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok_or(UNTOLD),
        _ => Err(UNTOLD),
    }
}

/// A target as it may stand in a request line, in origin form (RFC 9112 3.2.1).
fn read_target(target: &str) -> Option<PathAndQuery> {
    let stands_for_itself = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    let is_target = target.starts_with('/') && target.bytes().all(stands_for_itself);
    is_target.then(|| target.parse().ok()).flatten()
}

impl Proxy {
    /// Answers another proxy's question: what would be decided about the call that it names, and who makes it.
    pub(super) async fn decide(
        &self,
        question: &RequestHead,
        body: CallerBody,
        door: &ForwardAuthConfig,
        told: &mut Told,
        started: Duration,
    ) -> Result<Passed, Refusal> {
        let now = self.now.unix_time_at(started);
        let call = match door.call(question) {
            Ok(call) => call,
            Err(why) => return Err(self.refusal(why, None, question, body)),
        };
        let mut found = None;
        let admitted = match self.admit(&call, None, now, told, &mut found).await {
            Ok(admitted) => admitted,
            Err(why) => return Err(self.refusal(why, found, &call, body)),
        };
        // What is answered there is cut to what the key may see; an answer that does not pass here cannot be.
        if Shown::of(admitted.route, admitted.permit.grant()).is_some() {
            let why = Rejection::Denied(Denial::ModelNotNamed);
            return Err(self.refusal(why, found, &call, body));
        }
        self.measure(started);
        self.remember(&admitted.permit, now);
        let mut answer = Response::new(Bytes::new());
        let caller = admitted.permit.grant().identity();
        introduce(caller, admitted.model.as_ref(), |name, value| {
            put(&mut answer.headers, name, value);
        });
        door.take_off(&mut answer.headers, &call.headers, &self.plan.locations);
        Ok(Passed::Allowed(answer, body))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::ProxyConfig;
    use super::*;

    #[rstest]
    #[case("127.0.0.1", "127.0.0.1", true)]
    #[case("127.0.0.1", "127.0.0.2", false)]
    #[case("10.0.0.0/8", "10.255.0.1", true)]
    #[case("10.0.0.0/8", "11.0.0.1", false)]
    #[case("10.0.0.0/8", "::ffff:10.1.2.3", true)]
    #[case("0.0.0.0/0", "203.0.113.9", true)]
    #[case("0.0.0.0/0", "::1", false)]
    #[case("::/0", "::1", true)]
    #[case("::/0", "127.0.0.1", false)]
    #[case("fd00::/8", "fd12::1", true)]
    #[case("fd00::/8", "fe80::1", false)]
    fn a_network_holds_its_addresses(
        #[case] network: Network,
        #[case] address: IpAddr,
        #[case] holds: bool,
    ) {
        assert_eq!(network.holds(address), holds);
    }

    #[rstest]
    #[case("")]
    #[case("10.0.0.0/33")]
    #[case("::/129")]
    #[case("10.0.0.0/")]
    #[case("10.0.0.0/+8")]
    #[case("10.0.0/8")]
    #[case("localhost")]
    fn what_is_no_network_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Network>(), Err(NotANetwork));
    }

    #[test]
    fn each_field_that_is_to_go_is_named_once() {
        let door = ForwardAuthConfig {
            asked_by: AskedBy::Envoy,
            path: default_path(),
            from: Vec::new(),
        };
        let locations = CredentialLocations::new(ProxyConfig::default().credentials).unwrap();
        let (mut call, mut answer) = (Fields::new(), Fields::new());
        for name in ["x-api-key", "accept", "x-api-key", "api-key"] {
            call.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        answer.append(OUR_NAMES[0].clone(), HeaderValue::from_static("id"));
        door.take_off(&mut answer, &call, &locations);
        let names = answer.only(&TO_REMOVE).unwrap().to_str().unwrap();
        let ours = OUR_NAMES.iter().skip(1).map(HeaderName::as_str);
        let expected: Vec<&str> = ours.chain(["x-api-key", "api-key"]).collect();
        assert_eq!(names.split(',').collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case("/", true)]
    #[case("/models/m/predict?q=%20", true)]
    #[case("", false)]
    #[case("models", false)]
    #[case("*", false)]
    #[case("http://h/", false)]
    #[case("/a b", false)]
    #[case("/a#b", false)]
    #[case("/a?q=<", false)]
    #[case("/\u{e9}", false)]
    #[case("/a\u{7f}", false)]
    fn a_target_is_as_in_a_request_line(#[case] target: &str, #[case] is_read: bool) {
        assert_eq!(read_target(target).is_some(), is_read);
    }
}
