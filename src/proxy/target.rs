//! What a request is aimed at, and that it can be read in one way only.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{Method, uri::Scheme};

use super::prepare::is_protected;
use super::{LimitsConfig, Rejection};
use crate::credential::CredentialLocations;
use crate::message::{Fields, RequestHead};
use crate::route::RequestHost;

/// The host and the path of a request, borrowed from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'r> {
    /// The host it is meant for.
    pub(super) host: RequestHost<'r>,
    /// The path, raw.
    pub(super) path: &'r str,
}

impl<'r> Target<'r> {
    /// Reads the target, if it has only one reading.
    pub(super) fn of(
        request: &'r RequestHead,
        locations: &CredentialLocations,
        limits: &LimitsConfig,
    ) -> Result<Self, Rejection> {
        if matches!(request.method, Method::CONNECT | Method::TRACE) {
            return Err(Rejection::Method);
        }
        let uri = &request.uri;
        let path = uri.path();
        let target = uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > limits.target_bytes {
            return Err(Rejection::TargetTooLong);
        }
        // Those of HTTP/1 are counted before.
        if request.headers.len() > limits.head_fields {
            return Err(Rejection::TooManyFields);
        }
        if !path.starts_with('/') {
            return Err(Rejection::Ambiguous("the request target is no path"));
        }
        if uri
            .scheme()
            .is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS)
        {
            return Err(Rejection::Ambiguous(
                "the request target has another scheme",
            ));
        }
        one_length(&request.headers)?;
        connection_names_nothing_protected(&request.headers, locations)?;
        Ok(Self {
            host: host(request)?,
            path,
        })
    }
}

/// The host of a request that may be refused for any reason: none when it has not one alone.
pub(super) fn host_of(request: &RequestHead) -> Option<RequestHost<'_>> {
    host(request).ok()
}

/// The one host that the target and the `Host` agree about (RFC 9112, 3.2; RFC 9113, 8.3.1).
fn host(request: &RequestHead) -> Result<RequestHost<'_>, Rejection> {
    let mut hosts = request.headers.get_all(&HOST);
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Rejection::Ambiguous("there is more than one Host")),
        (None, None) => None,
        (Some(value), None) => {
            let host = value.to_str().and_then(RequestHost::parse);
            Some(host.ok_or(Rejection::Ambiguous("the Host is not valid"))?)
        }
    };
    let target = match request.uri.authority() {
        None => None,
        Some(authority) => {
            let host = RequestHost::parse(authority.as_str());
            Some(host.ok_or(Rejection::Ambiguous("the target's host is not valid"))?)
        }
    };
    match (target, header) {
        (Some(target), Some(header)) if !target.is_same_as(header) => {
            Err(Rejection::Ambiguous("the target and the Host differ"))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(Rejection::Ambiguous("there is no Host")),
    }
}

/// One canonical `Content-Length` at most (RFC 9112, 6.3).
fn one_length(headers: &Fields) -> Result<(), Rejection> {
    let mut lengths = headers.get_all(&CONTENT_LENGTH);
    let (Some(length), another) = (lengths.next(), lengths.next()) else {
        return Ok(());
    };
    let digits = length.as_bytes();
    let is_canonical = digits == b"0"
        || (digits.first().is_some_and(|first| *first != b'0')
            && digits.iter().all(u8::is_ascii_digit));
    if is_canonical && another.is_none() {
        Ok(())
    } else {
        Err(Rejection::Ambiguous(
            "the Content-Length is not one plain number",
        ))
    }
}

/// A `Connection` that names a credential or an identity header asks a proxy to take it off behind our back
/// (SECURITY C8; CONTRACTS 3).
fn connection_names_nothing_protected(
    headers: &Fields,
    locations: &CredentialLocations,
) -> Result<(), Rejection> {
    for value in headers.get_all(&CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case(b"keep-alive") || name.eq_ignore_ascii_case(b"close") {
                continue;
            }
            let Ok(name) = http::HeaderName::from_bytes(name) else {
                continue;
            };
            if is_protected(&name) || locations.is_credential_name(&name) {
                return Err(Rejection::Ambiguous("Connection names a protected header"));
            }
        }
    }
    Ok(())
}
