use std::time::Duration;

use crate::route::BodyFault;
use crate::telemetry::metrics::UpstreamFailure;

/// Why an upstream did not answer a call.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection could be made: nothing was sent.
    #[error("cannot connect to the upstream")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection in time: nothing was sent.
    #[error("connecting to the upstream took too long")]
    ConnectTimeout,
    /// The two sides do not trust each other, or do not both speak TLS: its certificate, or ours, is not what it must be.
    #[error("no TLS with the upstream")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was sent, and no response head came in time.
    #[error("the upstream did not answer in time")]
    HeadTimeout,
    /// The upstream broke off, or sent what is no HTTP.
    #[error("the upstream broke the call off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The upstream says of the call that it did not look at it (RFC 9113, 8.7).
    #[error("the upstream did not take the call")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The upstream changed protocols without being asked to, or to another than it was asked for.
    #[error("the upstream changed protocols unasked")]
    UnaskedUpgrade,
    /// The answer's end can be read in two ways, or in none that we know.
    #[error("the upstream did not say clearly where its answer ends")]
    Framing,
    /// None of the upstream's keys may be used for such a call: nothing was sent.
    #[error("no key of the upstream is for this call")]
    NoKey,
    /// All that may be used must rest, because the upstream said so: nothing was sent.
    #[error("the upstream's keys must rest")]
    KeysResting {
        /// How long the first of them does.
        retry_after: Duration,
    },
    /// There is no token for the key: nothing was sent.
    #[error("there is no token for the upstream's key")]
    NoToken,
    /// The body is larger than what may be signed: nothing was sent.
    #[error("the request body is larger than the {limit} bytes that can be signed")]
    TooLargeToSign {
        /// How much that is, in bytes.
        limit: usize,
    },
    /// All requests together hold as much as they may: nothing was sent.
    #[error("too much of other requests is held")]
    NoRoom,
    /// The caller's own request body broke off: not the upstream's fault.
    #[error("the request body broke off")]
    RequestBody(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller's request body was not framed as it must be: not the upstream's fault either.
    #[error("the request body is not framed as it says")]
    RequestFraming(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller's request body turned out, on its way, to be one that can be read in two ways.
    #[error("the request body was ended before its end")]
    RequestJudged(#[source] BodyFault),
}

impl UpstreamError {
    /// Whose fault it is, as a label; `None` when it is the caller's.
    #[must_use]
    pub const fn failure(&self) -> Option<UpstreamFailure> {
        match self {
            Self::Connect(_) => Some(UpstreamFailure::Connect),
            Self::ConnectTimeout => Some(UpstreamFailure::ConnectTimeout),
            Self::Tls(_) => Some(UpstreamFailure::Tls),
            Self::HeadTimeout => Some(UpstreamFailure::HeadTimeout),
            Self::Refused(_) => Some(UpstreamFailure::Refused),
            Self::Broken(_) | Self::UnaskedUpgrade | Self::Framing => Some(UpstreamFailure::Broken),
            Self::NoToken => Some(UpstreamFailure::Token),
            Self::NoKey
            | Self::TooLargeToSign { .. }
            | Self::NoRoom
            | Self::KeysResting { .. }
            | Self::RequestBody(_)
            | Self::RequestFraming(_)
            | Self::RequestJudged(_) => None,
        }
    }

    /// Whether the server did not look at the call.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether it says that the server which was called is not well: others may be.
    pub(super) const fn is_of_its_server(&self) -> bool {
        matches!(
            self,
            Self::Connect(_)
                | Self::ConnectTimeout
                | Self::Tls(_)
                | Self::Broken(_)
                | Self::Refused(_)
        )
    }
}
