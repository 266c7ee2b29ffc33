use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri, Version};

use super::{UpstreamProtocol, UpstreamServer};
use crate::message::RequestHead;

/// Gives a request its target at `place` in the form of its version, and the one `host` that it names (SECURITY F18).
pub(super) fn aim(
    head: &mut RequestHead,
    place: &UpstreamServer,
    protocol: UpstreamProtocol,
    target: PathAndQuery,
    host: HeaderValue,
) {
    match protocol {
        UpstreamProtocol::Http1 => {
            head.uri = Uri::from(target);
            head.version = Version::HTTP_11;
            head.headers.insert(&HOST, host);
        }
        UpstreamProtocol::Http2 => {
            // The target alone names it (RFC 9113, 8.3.1); where to connect is the pool's to know.
            let named = Authority::try_from(host.as_bytes());
            let named = named.unwrap_or_else(|_| place.authority.clone());
            head.uri = place.uri(named, target);
            head.version = Version::HTTP_2;
            head.headers.remove(&HOST);
        }
    }
}
