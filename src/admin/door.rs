use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, EXPECT, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;
use uuid::Uuid;

use super::{AdminState, Dialect, Refusal};
use crate::key::{KeyDigest, Origin, PresentedKey, holds_a_key};
use crate::registry::Caller;
use crate::telemetry::metrics::{AdminCommand, AdminMetrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How much of an unwanted body is read and thrown away, and for how long, so that whoever sends it to its end before
/// it reads sees our answer instead of a broken connection.
const DRAINED_BYTES: usize = 32 * 1024 * 1024;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Who may pass a door.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MayPass {
    /// Whoever calls us by a name of ours.
    Anyone,
    /// Whoever has a credential that may administer.
    Administrators,
}

/// Stands before the routes of one dialect and decides who may come in, in this order: the host we are called by, a
/// foreign web page, the slow-down, the credential, its category, the body.
///
/// What comes in has its body read whole and a [`Caller`] among its extensions; what does not is refused in the
/// dialect's words.
pub struct Door {
    state: AdminState,
    dialect: &'static Dialect,
    may_pass: MayPass,
    metrics: AdminMetrics,
}

impl Door {
    /// The door of `dialect`.
    pub fn new(state: AdminState, dialect: &'static Dialect, may_pass: MayPass) -> Self {
        let metrics = state.0.metrics.admin(dialect.name);
        Self {
            state,
            dialect,
            may_pass,
            metrics,
        }
    }

    /// Answers one request, within the time a request may take. What is logged meanwhile names the request and where it
    /// came from.
    pub async fn pass(&self, request: Request, next: Next) -> Response {
        let id = request_id(request.headers());
        let span = tracing::info_span!(
            "admin",
            request.id = id.to_str().unwrap_or_default(),
            caller.address = %address_of(request.extensions()),
        );
        let answered = self.answer(request, next).instrument(span).await;
        let mut response = answered.unwrap_or_else(|refusal| (self.dialect.refuse)(&refusal));
        let command = response.extensions().get::<AdminCommand>();
        let command = command.copied().unwrap_or(AdminCommand::None);
        self.metrics.answered(command, response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn answer(&self, request: Request, next: Next) -> Result<Response, Refusal> {
        let deadline = Instant::now() + self.state.0.request_timeout;
        let (mut parts, body) = request.into_parts();
        match self.judge(&parts).await {
            Ok(Some(caller)) => drop(parts.extensions.insert(caller)),
            Ok(None) => {}
            Err(refusal) => {
                drain(&parts, body).await;
                return Err(refusal);
            }
        }
        let body = timeout_at(deadline, self.read(&parts, body)).await;
        let body = body.map_err(|_| {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
        })??;
        let request = Request::from_parts(parts, Body::from(body));
        let answered = timeout_at(deadline, next.run(request)).await;
        answered.map_err(|_| Refusal::unavailable())
    }

    /// Everything about a request but its body.
    async fn judge(&self, parts: &Parts) -> Result<Option<Caller>, Refusal> {
        self.state.0.hosts.check(parts)?;
        if parts.headers.contains_key(ORIGIN) && !self.is_our_page(parts) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "this listener does not answer web pages",
            ));
        }
        if self.may_pass == MayPass::Anyone {
            return Ok(None);
        }
        let caller = self.identify(parts).await?;
        if caller.may_administer() {
            Ok(Some(caller))
        } else {
            Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "a key of this type may not administer",
            ))
        }
    }

    /// Whether the admin page itself asks: what it comes from is what it calls, to the letter. That we are called by that
    /// name was decided before. The scheme is not compared: TLS ends in front of us.
    fn is_our_page(&self, parts: &Parts) -> bool {
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        let origin = origin.to_str().ok().and_then(|origin| {
            let https = origin.strip_prefix("https://");
            https.or_else(|| origin.strip_prefix("http://"))
        });
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(Authority::as_str));
        self.state.0.has_page && origin.is_some() && origin == host
    }

    /// Who presents the credential. An address that has failed too often is told to wait before anything is compared.
    async fn identify(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let shared = &*self.state.0;
        let text = credential(&parts.headers)?;
        let from = address_of(&parts.extensions);
        let digest = KeyDigest::of(text);
        if let Some(wait) = shared.failures.wait(from, &digest) {
            return Err(Refusal {
                retry_after: Some(wait),
                ..Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many failed attempts from this address",
                )
            });
        }
        let token = shared.token.get().ok_or_else(Refusal::unavailable)?;
        let known = match PresentedKey::parse(text) {
            Err(_) => None,
            Ok(_) if token.is(&digest) => Some(Caller::operator(Origin::Address(from))),
            Ok(presented) => {
                let known = shared
                    .registry
                    .authenticate(presented, Origin::Address(from))
                    .await;
                known.map_err(|error| Refusal::of(&error))?
            }
        };
        let Some(caller) = known else {
            if shared.failures.failed(from) {
                tracing::warn!("too many failed attempts: this address is slowed for a minute");
            }
            return Err(unauthorized("this credential is not valid"));
        };
        shared.failures.succeeded(from, digest);
        Ok(caller)
    }

    async fn read(&self, parts: &Parts, mut body: Body) -> Result<Bytes, Refusal> {
        let limit = self.state.0.body_bytes;
        let mut whole = Vec::new();
        let mut is_too_large = announced_bytes(&parts.headers).is_some_and(|bytes| bytes > limit);
        while !is_too_large {
            let Some(frame) = body.frame().await else {
                return Ok(whole.into());
            };
            let frame = frame.map_err(|_| Refusal::invalid("the body broke off"))?;
            if let Ok(data) = frame.into_data() {
                whole.extend_from_slice(&data);
                is_too_large = whole.len() > limit;
            }
        }
        drain(parts, body).await;
        Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {limit} bytes here"),
        ))
    }
}

/// The credential, as it was sent. Without exactly one in a scheme we know nothing was presented, so nothing failed.
fn credential(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(unauthorized(
            "present one credential: `Authorization: Api-Key …` or `Authorization: Bearer …`",
        ));
    };
    let value = value.as_bytes();
    let end = value.iter().position(|&byte| byte == b' ');
    let (scheme, text) = value.split_at(end.unwrap_or(value.len()));
    if [&b"api-key"[..], b"bearer"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        Ok(text.trim_ascii())
    } else {
        Err(unauthorized(
            "the scheme of a credential is `Api-Key` or `Bearer`",
        ))
    }
}

fn unauthorized(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, message)
}

/// Where the request came from. Were the server to forget to say, all would share one slow-down.
fn address_of(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

/// The caller's own id of the request if it is short and printable, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let id = id.as_bytes();
        let is_plain = (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        // It is logged and answered.
        is_plain && !holds_a_key(id)
    });
    given.cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().to_string();
        HeaderValue::try_from(id).expect("a UUID is visible ASCII")
    })
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what is not wanted to its end, within limits; past them the connection breaks. Whoever asks before it sends
/// (`Expect: 100-continue`) waits for our answer and sends nothing.
async fn drain(parts: &Parts, mut body: Body) {
    if parts.headers.contains_key(EXPECT) {
        return;
    }
    let drained = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAINED_BYTES {
                return;
            }
        }
    };
    // In time or not, the answer follows.
    let _ = timeout(DRAINED_FOR, drained).await;
}
